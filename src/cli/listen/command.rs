//! The command: its arguments, and the receiver that prints.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::certificate::{Identity, Kind};
use super::choose::{Asked, Chooser};
use super::receiver::{Arrived, Behaviour, Door, Ended, ReadError, Step, Traffic, serve};
use super::reply;
use super::script::Script;
use super::show::{self, Shown, SignatureCheck};
use crate::cli::Failure;
use crate::cli::input::read_text;
use crate::cli::serve::stop_signal;
use crate::cli::terminal;
use crate::cli::verify::read_keys;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::request::sign::{Signed, SignedQuery, TOLERANCE, VerifyingKey, verify};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postrider listen                                            answer everything with 200 OK
  postrider listen --script examples/scripts/flaky.toml       fail twice, then take it
  postrider listen --once 1 --json                            one request as JSON, then end
  postrider listen --tls --tls-authority ca.pem               https; a sender that trusts ca.pem is answered
  postrider listen --tls expired                              https with a certificate that no sender should take

docs/local-lab.md describes scripts.")]
pub(in crate::cli) struct ListenArguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: String,
    /// What to answer (TOML), or `-`; without it `200` and `OK`
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Speak https with a certificate made for this run
    #[arg(long, value_name = "KIND", value_enum, num_args = 0..=1, default_missing_value = "good")]
    tls: Option<Kind>,
    /// Write the certificate of the authority that signed it to this file, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_authority: Option<PathBuf>,
    /// Speak https with this certificate chain, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls")]
    tls_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// End after this many requests were answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    once: Option<u64>,
    /// Check signatures with this key, `whsec_…` or `whpk_…`, or `@FILE`; may be given more than once
    #[arg(long, value_name = "KEY|@FILE", env = "POSTRIDER_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Vec<String>,
}

pub(in crate::cli) async fn run(arguments: ListenArguments) -> Result<(), Failure> {
    let script = match &arguments.script {
        Some(path) => read_script(path)?,
        None => Script::default(),
    };
    let keys = read_keys(&arguments.secret)?;
    let door = door(&arguments)?;
    let (listener, address) = bind(&arguments.listen).await?;
    let scheme = if matches!(door, Door::Tls(_)) { "https" } else { "http" };
    let desk = Arc::new(Desk {
        form: if arguments.json { Form::Json } else { Form::Text },
        keys,
        ends_after: arguments.once,
        state: Mutex::new(State { chooser: Chooser::new(script), slow: Vec::new(), answered: 0 }),
        over: Notify::new(),
    });
    desk.greet(scheme, address);
    let traffic = Arc::new(Traffic::default());
    tokio::select! {
        () = serve(listener, door, Arc::clone(&desk) as Arc<dyn Behaviour>, Arc::clone(&traffic)) => {}
        () = desk.over.notified() => {}
        () = stop_signal() => {}
    }
    eprintln!("Requests: {}, connections: {}", traffic.requests(), traffic.connections());
    Ok(())
}

/// Reads a script file, or standard input for `-`.
pub(in crate::cli) fn read_script(path: &Path) -> Result<Script, Failure> {
    let text = read_text(path)?;
    Ok(Script::parse(&text).with_context(|| format!("the script `{}` cannot be used", path.display()))?)
}

/// Plain, or with a certificate that is made or read.
fn door(arguments: &ListenArguments) -> Result<Door, Failure> {
    let identity = match (arguments.tls, &arguments.tls_certificate, &arguments.tls_key) {
        (Some(kind), ..) => Identity::make(kind, SystemClock.now()).context("no certificate could be made")?,
        (None, Some(certificate), Some(key)) => Identity::read(certificate, key)?,
        _ => return Ok(Door::Plain),
    };
    if let (Some(path), Some(authority)) = (&arguments.tls_authority, &identity.authority) {
        std::fs::write(path, authority).with_context(|| format!("`{}` cannot be written", path.display()))?;
        eprintln!("The authority's certificate is in {0}; a sender started with SSL_CERT_FILE={0} trusts it", path.display());
    }
    Ok(Door::Tls(identity.server()?))
}

async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => Failure::usage(format!("`{address}` is not an address with a port, like 127.0.0.1:9000")),
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!("`{address}` is in use; choose another port with `--listen`").into(),
        _ => anyhow::Error::from(error).context(format!("cannot listen on `{address}`")).into(),
    })?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Decides, checks and prints, one request at a time.
struct Desk {
    form: Form,
    keys: Vec<VerifyingKey>,
    ends_after: Option<u64>,
    state: Mutex<State>,
    over: Notify,
}

struct State {
    chooser: Chooser,
    /// Requests whose answer was told to take its time, so that its end is worth a line.
    slow: Vec<usize>,
    answered: u64,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where it listens, and warns if that is not only this machine.
    fn greet(&self, scheme: &str, address: SocketAddr) {
        eprintln!("Listening on {scheme}://{address}; Ctrl-C ends it");
        if !address.ip().is_loopback() {
            eprintln!("warning: {address} can be reached from other machines; whoever sends to it sees no secret, but fills this terminal");
        }
        if self.form == Form::Json {
            self.print_json(&json!({"type": "listening", "url": format!("{scheme}://{address}")}));
        }
    }

    fn print_json(&self, value: &Value) {
        self.print(&format!("{value}\n"));
    }

    /// A reader that has gone, such as `head`, ends the command.
    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.over.notify_one();
        }
    }

    fn check_signature(&self, arrived: &Arrived, now: Timestamp) -> SignatureCheck {
        if self.keys.is_empty() {
            return SignatureCheck::NotAsked;
        }
        if arrived.header("webhook-signature").is_none()
            && let Some(query) = SignedQuery::parse(&arrived.target)
        {
            return SignatureCheck::Checked(verify(&query.signed(), &self.keys, now, TOLERANCE));
        }
        let mut values = [""; 3];
        for (name, value) in ["webhook-id", "webhook-timestamp", "webhook-signature"].into_iter().zip(&mut values) {
            match arrived.header(name) {
                Some(found) => *value = found,
                None => return SignatureCheck::Missing(name),
            }
        }
        let [id, timestamp, signature] = values;
        SignatureCheck::Checked(verify(&Signed { id, timestamp, signature, body: &arrived.body }, &self.keys, now, TOLERANCE))
    }
}

impl Behaviour for Desk {
    fn connected(&self, _: usize) -> Vec<Step> {
        let fault = self.state().chooser.connection();
        if let Some(fault) = fault {
            match self.form {
                Form::Text => self.print(&format!("a connection came; {} before reading (script)\n\n", fault.as_str())),
                Form::Json => self.print_json(&json!({"type": "connection", "fault": fault.as_str()})),
            }
        }
        reply::connection_steps(fault)
    }

    fn answer(&self, arrived: &Arrived) -> Vec<Step> {
        let now = SystemClock.now();
        let signature = self.check_signature(arrived, now);
        let key = arrived.header("idempotency-key").or(arrived.header("webhook-id"));
        let asked = Asked { method: &arrived.method, target: &arrived.target, key, body: &arrived.body };
        let mut state = self.state();
        let choice = state.chooser.answer(&asked);
        let answer = &choice.answer;
        if answer.delay_ms > 0 || answer.head_bytes_per_s.is_some() || answer.body_bytes_per_s.is_some() {
            state.slow.push(arrived.number);
        }
        drop(state);
        let shown = Shown { arrived, at: now, choice: &choice, signature: &signature };
        match self.form {
            Form::Text => self.print(&format!("{}\n", shown.text())),
            Form::Json => self.print_json(&shown.json()),
        }
        reply::steps(answer, &arrived.method, now)
    }

    fn ended(&self, number: usize, ended: Ended) {
        let mut state = self.state();
        let slow = state.slow.iter().position(|slow| *slow == number);
        slow.map(|place| state.slow.swap_remove(place));
        state.answered += 1;
        let is_over = self.ends_after.is_some_and(|count| state.answered >= count);
        drop(state);
        match self.form {
            Form::Text => {
                if let Some(text) = show::ended_text(number, &ended, slow.is_some()) {
                    self.print(&format!("{text}\n"));
                }
            }
            Form::Json => self.print_json(&show::ended_json(number, &ended)),
        }
        if is_over {
            self.over.notify_one();
        }
    }

    fn unreadable(&self, connection: usize, error: &ReadError) {
        match self.form {
            Form::Text => self.print(&format!("connection {connection} closed: {}\n\n", terminal::line(&error.to_string()))),
            Form::Json => self.print_json(&json!({"type": "unreadable", "connection": connection, "detail": error.to_string()})),
        }
    }
}
