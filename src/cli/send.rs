//! `postrider send`: one delivery without a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;

use super::input::read_text;
use super::{FAILED, Failure};
use crate::api::{Trial, attempt_json, try_once};
use crate::attempt::{Attempt, Outcome};
use crate::clock::{Clock, SystemClock};
use crate::event::{EventData, EventType, catalogue};
use crate::id::{AttemptId, IdSource, SubscriptionId};
use crate::request::guard::{Guard, GuardSettings, SystemLookup, SystemLookupSettings};
use crate::request::send::{HttpTransport, TransportSettings};
use crate::rng::{Rng, SystemRng};
use crate::subscription::{FieldError, FieldNames, Subscription, SubscriptionSpec, check};

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

#[derive(Debug, Deserialize)]
struct EventFile {
    #[serde(rename = "type")]
    event_type: EventType,
    data: Box<serde_json::value::RawValue>,
}

pub(super) async fn run(arguments: SendArguments) -> Result<(), Failure> {
    let (subscription, names) = read_subscription(&arguments)?;
    let event_text = read_text(&arguments.event)?;
    let event: EventFile = serde_json::from_str(&event_text)
        .with_context(|| format!("`{}` is not an event; it needs `type` and `data`", arguments.event.display()))?;
    let data =
        EventData::parse(event.data.get()).with_context(|| format!("the data of `{}` cannot be taken", arguments.event.display()))?;
    let clock = SystemClock;
    let ids = IdSource::new(SystemRng.bits(), 0);
    let ids = (ids.next(clock.now().unix_ms()), ids.next(clock.now().unix_ms()));
    let trial = Trial { subscription: &subscription, names: &names, event_type: event.event_type, data: Arc::new(data), ids };
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

fn read_subscription(arguments: &SendArguments) -> anyhow::Result<(Subscription, FieldNames)> {
    let text = read_text(&arguments.subscription)?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let mut spec: SubscriptionSpec = serde_path_to_error::deserialize(&mut reader)
        .with_context(|| format!("`{}` is not a subscription", arguments.subscription.display()))?;
    if let Some(url) = &arguments.to {
        spec.request.url.clone_from(url);
    }
    let names = FieldNames::default();
    let known_type = |event_type: &EventType| catalogue::find(event_type.as_str()).is_some();
    let (rules, warnings) = match check(&spec, &names, &known_type) {
        Ok(checked) => checked,
        Err(errors) => bail!("`{}` cannot be used:{}", arguments.subscription.display(), listed(&errors)),
    };
    for warning in warnings {
        eprintln!("warning: {}: {} ({})", warning.pointer, warning.detail, warning.code);
    }
    let now = SystemClock.now();
    let subscription = Subscription {
        id: SubscriptionId::from_raw(0),
        version: 1,
        template_version: 1,
        created_at: now,
        updated_at: now,
        spec: Arc::new(spec),
        rules: Arc::new(rules),
    };
    Ok((subscription, names))
}

fn listed(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("\n  {}: {} ({})", error.pointer, error.detail, error.code)).collect()
}

fn dry_run(arguments: &SendArguments, trial: &Trial<'_>, clock: &dyn Clock) -> Result<(), Failure> {
    let request = trial.build(clock)?;
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
        print_message(&request.headers, &request.body);
    }
    if let Some(response) = &attempt.response {
        println!("\nHTTP {} after {:?}", response.status, Duration::from_millis(attempt.duration_ms));
        print_message(&response.headers, &response.body);
    }
    println!("\n{}: {}", attempt.outcome, attempt.reason);
}

/// Header lines and a body. What came from elsewhere must not steer the terminal.
fn print_message(headers: &[(String, String)], body: &[u8]) {
    for (name, value) in headers {
        println!("{name}: {}", value.escape_debug());
    }
    if !body.is_empty() {
        println!("\n{}", super::receiver::printable(body));
    }
}
