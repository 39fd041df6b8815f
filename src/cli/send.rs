//! `postrider send`: one delivery without a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::input::{read_event, read_subscription};
use super::{FAILED, Failure, terminal};
use crate::api::{Trial, attempt_json, try_once};
use crate::attempt::{Attempt, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::id::{AttemptId, IdSource};
use crate::request::guard::{Guard, GuardSettings, SystemLookup, SystemLookupSettings};
use crate::request::send::{HttpTransport, TransportSettings};
use crate::rng::{Rng, SystemRng};
use crate::subscription::shown_header;

#[derive(Debug, Args)]
pub(super) struct SendArguments {
    /// A subscription (JSON, as for the API), or `-`
    #[arg(long, value_name = "FILE")]
    subscription: PathBuf,
    /// An event (JSON, as for the API), or `-`
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Send to this URL template in place of the subscription's
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Show the request and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send to loopback, private and link-local addresses too
    #[arg(long)]
    allow_private: bool,
    /// Print the attempt as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: SendArguments) -> Result<(), Failure> {
    let local = read_subscription(&arguments.subscription, arguments.to.as_deref(), SystemClock.now())?;
    for warning in &local.warnings {
        eprintln!("warning: {}: {} ({})", warning.pointer, warning.detail, warning.code);
    }
    if let Some(secret) = &local.signing_secret {
        eprintln!("signing secret, made for this run: {}", secret.expose());
    }
    let (event_type, data) = read_event(&arguments.event)?;
    let clock = SystemClock;
    let ids = IdSource::new(SystemRng.bits(), 0);
    let ids = (ids.next(clock.now().unix_ms()), ids.next(clock.now().unix_ms()));
    let trial = Trial { subscription: &local.subscription, names: &local.names, event_type, data: Arc::new(data), ids };
    if arguments.dry_run {
        return dry_run(&arguments, &trial, &clock);
    }
    let guard = Guard::new(GuardSettings { allow_private: arguments.allow_private, ..GuardSettings::default() });
    let lookup = Arc::new(SystemLookup::new(SystemLookupSettings::default(), Arc::new(clock)));
    let transport = HttpTransport::new(TransportSettings::new(guard, lookup)).context("outgoing requests cannot be set up")?;
    let attempt = try_once(trial, &transport, &clock).await;
    if arguments.json {
        println!("{:#}", attempt_json(&attempt));
    } else {
        print_attempt(&attempt);
    }
    if attempt.outcome == Outcome::Delivered {
        Ok(())
    } else {
        Err(Failure { code: FAILED, error: anyhow::anyhow!("not delivered: {} ({})", attempt.reason, attempt.outcome) })
    }
}

fn dry_run(arguments: &SendArguments, trial: &Trial<'_>, clock: &dyn Clock) -> Result<(), Failure> {
    let request = trial.preview(clock).map_err(|failure| anyhow::anyhow!("no request: {}", failure.detail))?;
    let attempt = Attempt {
        id: AttemptId::from_raw(trial.ids.1),
        number: 1,
        started_at: clock.now(),
        duration_ms: 0,
        outcome: Outcome::Unknown,
        reason: "dry run: nothing was sent".into(),
        request: Some(request),
        response: None,
        possible_repeat: false,
        next_due_at: None,
    };
    if arguments.json {
        println!("{:#}", attempt_json(&attempt));
    } else {
        print_attempt(&attempt);
    }
    Ok(())
}

/// The request, the response and the verdict, for people.
fn print_attempt(attempt: &Attempt) {
    if let Some(request) = &attempt.request {
        println!("{} {}", request.method, request.url);
        let shown: Vec<_> = request.headers.iter().map(|(name, value)| (name.clone(), shown_header(name, value).to_owned())).collect();
        print_message(&shown, &request.body);
    }
    if let Some(response) = &attempt.response {
        println!("\nHTTP {} after {:?}", response.status, Duration::from_millis(attempt.duration_ms));
        print_message(&response.headers, &response.body);
    }
    println!("\n{}: {}", attempt.outcome, terminal::line(&attempt.reason));
}

/// Header lines and a body. What came from elsewhere must not steer the terminal.
fn print_message(headers: &[(String, String)], body: &[u8]) {
    for (name, value) in headers {
        println!("{name}: {}", terminal::line(value));
    }
    if !body.is_empty() {
        println!("\n{}", super::receiver::printable(body));
    }
}
