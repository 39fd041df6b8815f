//! `postrider verify`: checks a signature of Standard Webhooks the way a receiver should.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::input::read_text;
use super::{FAILED, Failure};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::request::sign::{SECRET_BYTES_MIN, Signed, SignedQuery, VerifyError, VerifyingKey, verify};
use crate::subscription::SIGNATURE_PARAMETERS;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postrider verify --secret @secret.txt --id msg_1 --timestamp 1614265330 --signature 'v1,g0hM…' --body body.json
  postrider verify … --now 1614265330      as if it had just arrived
  postrider verify --secret @secret.txt --url '/postback?cid=1&webhook_id=…&webhook_timestamp=…&webhook_signature=…'

The body must be byte for byte what arrived: a line end at the end of a file counts.
Exit code 0 if the signature holds, 1 with the reason if it does not.")]
pub(super) struct VerifyArguments {
    /// The key, `whsec_…` or `whpk_…`, or `@FILE`; may be given more than once, any may match
    #[arg(long, value_name = "KEY|@FILE", required = true, env = "POSTRIDER_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// The header `webhook-id`
    #[arg(long, required_unless_present = "url")]
    id: Option<String>,
    /// The header `webhook-timestamp`
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, required_unless_present = "url")]
    timestamp: Option<String>,
    /// The header `webhook-signature`, with all its entries
    #[arg(long, value_name = "LIST", required_unless_present = "url")]
    signature: Option<String>,
    /// The body as it arrived, or `-` [default: -]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// For a signed query in place of all these: the URL as it arrived, or its path and query
    #[arg(long, value_name = "URL", conflicts_with_all = ["id", "timestamp", "signature", "body"])]
    url: Option<String>,
    /// How many seconds the timestamp may be away, before and after
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    tolerance: u64,
    /// Check as if it were this time (RFC 3339 or Unix seconds) [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: VerifyArguments) -> Result<(), Failure> {
    let keys = read_keys(&arguments.secret)?;
    let now = match &arguments.now {
        Some(text) => parse_time(text)?,
        None => SystemClock.now(),
    };
    let query = match &arguments.url {
        Some(url) => Some(SignedQuery::parse(url).ok_or_else(|| {
            let names = SIGNATURE_PARAMETERS.map(|name| format!("`{name}`")).join(", ");
            Failure::from(anyhow::anyhow!("the query is not signed: its last three parameters are not {names}"))
        })?),
        None => None,
    };
    let body = match &query {
        Some(_) => Vec::new(),
        None => read_bytes(arguments.body.as_deref().unwrap_or(Path::new("-")))?,
    };
    let text = |argument: &'_ Option<String>| argument.clone().unwrap_or_default();
    let (id, timestamp, signature) = (text(&arguments.id), text(&arguments.timestamp), text(&arguments.signature));
    let signed = match &query {
        Some(query) => query.signed(),
        None => Signed { id: &id, timestamp: &timestamp, signature: &signature, body: &body },
    };
    let tolerance = Duration::from_secs(arguments.tolerance);
    let result = verify(&signed, &keys, now, tolerance);
    if arguments.json {
        println!(
            "{}",
            match &result {
                Ok(verified) => json!({"ok": true, "version": verified.version, "signed_at": verified.signed_at.to_string()}),
                Err(error) => json!({"ok": false, "code": error.code(), "detail": error.to_string()}),
            }
        );
    }
    match result {
        Ok(verified) => {
            if !arguments.json {
                println!("good: a {} signature matches, made {}", verified.version, apart(verified.signed_at, now));
            }
            Ok(())
        }
        Err(error) => {
            let hint = line_end_hint(&error, &signed, &keys, now, tolerance);
            Err(Failure { code: FAILED, error: anyhow::anyhow!("the signature does not hold: {error}{hint}") })
        }
    }
}

/// Keys from the command line: themselves, or `@` and the file that holds one.
///
/// # Errors
/// A sentence that names the place and never the key.
pub(super) fn read_keys(secrets: &[String]) -> Result<Vec<VerifyingKey>, Failure> {
    let one = |(index, secret): (usize, &String)| {
        let (text, place) = match secret.strip_prefix('@') {
            Some(path) => (read_text(Path::new(path))?, format!("the key in `{path}`")),
            None => (secret.clone(), format!("key {} of `--secret`", index + 1)),
        };
        let key: VerifyingKey = text.parse().map_err(|error| Failure::usage(format!("{place} cannot be used: {error}")))?;
        if key.is_short() {
            eprintln!("warning: {place} has fewer than {SECRET_BYTES_MIN} bytes, which can be guessed");
        }
        Ok(key)
    };
    secrets.iter().enumerate().map(one).collect()
}

fn parse_time(text: &str) -> Result<Timestamp, Failure> {
    match text.parse::<i64>() {
        Ok(seconds) => Ok(Timestamp::from_unix_ms(seconds.saturating_mul(1_000))),
        Err(_) => text.parse().map_err(|_| Failure::usage(format!("`--now {text}` is neither RFC 3339 nor Unix seconds"))),
    }
}

fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))
}

fn apart(signed_at: Timestamp, now: Timestamp) -> String {
    if signed_at > now {
        format!("{} s ahead of now", signed_at.since(now).as_secs())
    } else {
        format!("{} s ago", now.since(signed_at).as_secs())
    }
}

/// The usual mistake: an editor or `echo` put a line end behind the body.
fn line_end_hint(error: &VerifyError, signed: &Signed<'_>, keys: &[VerifyingKey], now: Timestamp, tolerance: Duration) -> &'static str {
    let Some(shorter) = signed.body.strip_suffix(b"\n") else { return "" };
    let shorter = shorter.strip_suffix(b"\r").unwrap_or(shorter);
    let without = verify(&Signed { body: shorter, ..*signed }, keys, now, tolerance);
    if *error == VerifyError::NoMatch && without != Err(VerifyError::NoMatch) {
        "; without the line end at the end of the body it would match"
    } else {
        ""
    }
}
