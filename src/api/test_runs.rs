//! Test runs: one lead of an offer from the click to the postback, and at which step it stops.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{self, Body};
use super::caller::Caller;
use super::integration::{base_url, link_of};
use super::problem::Invalid;
use super::s2s::{Given, Origin, Sender, take};
use super::{ApiError, ApiState, offers};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::AccountId;
use crate::id::{EventId, TestRunId};
use crate::inbound::{CallKind, CallResult, InboundCall, OfferState, ReportedStatus, TestRun, parse_decimal};
use crate::queue::{InboundCallQuery, Registry};

/// Most reports that are looked through for a run.
const CALLS_MAX: usize = 200;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTestRun {
    /// The partner whose link is tested.
    partner: AccountId,
    /// The action that is reported.
    #[schemars(length(min = 1, max = 100))]
    action: String,
    /// The price that the played advertiser reports; needed if the payout is a percentage.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-9]{1,15}(\.[0-9]{1,8})?$"))]
    price: Option<String>,
}

/// What the played advertiser reports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestReport")]
pub(super) struct TestReport {
    /// A word for a status, as an advertiser would send it.
    #[schemars(length(min = 1, max = 100))]
    status: String,
}

/// A test run as callers read it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestRunAnswer")]
pub(super) struct TestRunJson {
    #[serde(flatten)]
    run: TestRun,
    /// The link to open.
    link: String,
    /// The id under which the played advertiser reports.
    request_id: String,
    /// What has to happen, in order.
    steps: Vec<StepJson>,
}

/// One step.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestStep")]
struct StepJson {
    /// `link_opened`, `report_received`, `lead_recorded`, `event_emitted`, `postback_delivered` or `status_changed`.
    name: &'static str,
    state: StepState,
    /// What happened, or what to do.
    detail: String,
    at: Option<Timestamp>,
}

/// Whether a step was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StepState {
    Waiting,
    Passed,
    Failed,
    Skipped,
}

impl StepJson {
    fn new(name: &'static str, state: StepState, detail: impl Into<String>) -> Self {
        Self { name, state, detail: detail.into(), at: None }
    }

    const fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }
}

pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let known = offers::found(&state, &caller, &id)?;
    let offer = &known.offer;
    let NewTestRun { partner, action, price } = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let registry = state.queue.registry();
    let mut errors = Vec::new();
    // Whether an account exists is only told to those who may have it on their list.
    if !offer.spec.partners.include(&partner) || registry.account(&partner).is_none() {
        let detail = format!("account `{partner}` may have no links of this offer; use another, or add it to the offer's `partners`");
        errors.push(Invalid::new("/partner", "unknown_partner", detail));
    }
    match offer.spec.action(&action) {
        None => errors.push(Invalid::new("/action", "unknown_action", "the offer has no such action; use one of its `actions`")),
        Some(action) if action.is_percentage() && price.is_none() => {
            errors.push(Invalid::new("/price", "missing_field", "the payout is a percentage; give the price of which"));
        }
        Some(_) => {}
    }
    if let Some(Err(error)) = price.as_deref().map(parse_decimal) {
        errors.push(Invalid::new("/price", "invalid_value", error.to_string()));
    }
    if offer.spec.state == OfferState::Paused {
        errors.push(Invalid::new(
            "",
            "offer_paused",
            "the offer is paused, so that nothing of it can be tested; set its `state` to `active`",
        ));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let now = state.clock.now();
    let run = TestRun {
        id: TestRunId::from_raw(state.queue.next_id(now)),
        account: offer.account.clone(),
        offer: offer.id.clone(),
        partner,
        action: offer.spec.action(&action).map(|found| found.name.clone()).unwrap_or(action),
        price,
        click: None,
        created_at: now,
        finished_at: None,
    };
    state.queue.record_test_run(&run).await?;
    Ok((StatusCode::CREATED, Json(shown(&state, &headers, run).await?)).into_response())
}

/// The run of this id, if the caller may see it.
async fn found(state: &ApiState, caller: &Caller, id: &str) -> Result<TestRun, ApiError> {
    let run = match id.parse() {
        Ok(parsed) => state.queue.test_run(parsed).await?,
        Err(_) => None,
    };
    caller.visible("test run", id, run, |run| &run.account)
}

pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let run = found(&state, &caller, &id).await?;
    Ok(Json(shown(&state, &headers, run).await?))
}

/// `POST /v1/test-runs/{id}/report`: plays the advertiser.
pub(super) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, ApiError> {
    let run = found(&state, &caller, &id).await?;
    let TestReport { status } = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    play(&state, &caller, &run, &status, agent(&headers)).await?;
    let run = found(&state, &caller, &id).await?;
    Ok(Json(shown(&state, &headers, run).await?))
}

/// `POST /v1/test-runs/{id}/finish`: takes back what is not final, so that nothing of a test is paid.
pub(super) async fn finish(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let mut run = found(&state, &caller, &id).await?;
    if run.finished_at.is_none() {
        let calls = calls_of(&state, &run).await?;
        let is_open = calls.iter().any(|call| call.lead.is_some()) && !calls.iter().any(|call| is_final(&state, &run, call));
        let registry = state.queue.registry();
        let word = registry.offer(&run.offer).and_then(|known| known.offer.spec.statuses.rejected.first().cloned());
        if let Some(word) = word.filter(|_| is_open) {
            play(&state, &caller, &run, &word, agent(&headers)).await?;
        }
        run.finished_at = Some(state.clock.now());
        state.queue.record_test_run(&run).await?;
    }
    Ok(Json(shown(&state, &headers, run).await?))
}

fn agent(headers: &HeaderMap) -> Option<String> {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(|text| text.chars().take(500).collect())
}

fn request_id(run: &TestRun) -> String {
    format!("test-{}", run.id)
}

/// Reports as the advertiser would, under no key.
async fn play(state: &ApiState, caller: &Caller, run: &TestRun, status: &str, user_agent: Option<String>) -> Result<(), ApiError> {
    let conflict = |detail: &str| ApiError::new(StatusCode::CONFLICT, "test_run_not_ready", detail);
    if run.finished_at.is_some() {
        return Err(conflict("the run is finished; start another one"));
    }
    let Some(click) = &run.click else { return Err(conflict("the link of the run was not opened yet; open it first")) };
    let Some(namespace) = state.queue.registry().inbound_keys().namespace(&run.account) else {
        return Err(conflict("the advertiser has no inbound key yet; create one with `POST /v1/inbound-keys`"));
    };
    let sender = Sender { account: run.account.clone(), key: None, offer: Some(run.offer.clone()), namespace };
    let mut given = Given::default()
        .with("click_id", click.as_str())
        .with("request_id", request_id(run))
        .with("action", run.action.as_str())
        .with("status", status);
    if let Some(price) = &run.price {
        given = given.with("price", price.as_str());
    }
    let origin = Origin { method: "POST".into(), kind: CallKind::Test, address: caller.address(), user_agent };
    let reply = take(state, &sender, &origin, Ok(given)).await;
    match reply.result {
        CallResult::Success | CallResult::Repeated => Ok(()),
        CallResult::Conflict | CallResult::Error => {
            let detail = reply.detail().unwrap_or("the report was refused").to_owned();
            Err(ApiError::invalid(vec![Invalid::new("/status", reply.code.unwrap_or("refused"), detail)]))
        }
    }
}

/// The reports about a run's click, newest first.
async fn calls_of(state: &ApiState, run: &TestRun) -> Result<Vec<InboundCall>, ApiError> {
    let Some(click) = &run.click else { return Ok(Vec::new()) };
    let query = InboundCallQuery {
        account: Some(run.account.clone()),
        click: Some(click.clone()),
        since: Some(run.created_at),
        limit: CALLS_MAX,
        ..InboundCallQuery::default()
    };
    Ok(state.queue.inbound_calls(&query).await?.items)
}

/// Whether a report was taken, and said that the action is decided.
fn is_final(state: &ApiState, run: &TestRun, call: &InboundCall) -> bool {
    let registry = state.queue.registry();
    let statuses = registry.offer(&run.offer).map(|known| known.offer.spec.statuses.clone());
    let status = call.parameters.get("status").zip(statuses).and_then(|(word, statuses)| statuses.find(word));
    call.result == CallResult::Success && matches!(status, Some(ReportedStatus::Approved | ReportedStatus::Rejected))
}

async fn shown(state: &ApiState, headers: &HeaderMap, run: TestRun) -> Result<TestRunJson, ApiError> {
    let base = base_url(state, headers);
    let link = format!("{}?test_run={}", link_of(&base, &run.partner, &run.offer), run.id);
    let steps = steps(state, &run).await?;
    Ok(TestRunJson { request_id: request_id(&run), link, steps, run })
}

async fn steps(state: &ApiState, run: &TestRun) -> Result<Vec<StepJson>, ApiError> {
    use StepState::{Failed, Passed, Waiting};
    let mut steps = Vec::new();
    steps.push(match state.queue.click(run.click.as_deref().unwrap_or_default()).await? {
        Some(click) => {
            let landing = click.landing_url.unwrap_or_default();
            StepJson::new("link_opened", Passed, format!("click `{}`, sent on to {landing}", click.id)).at(click.at)
        }
        None => StepJson::new("link_opened", Waiting, "open the link in a browser"),
    });
    let calls = calls_of(state, run).await?;
    let taken: Vec<&InboundCall> = calls.iter().rev().filter(|call| call.lead.is_some() && call.result != CallResult::Conflict).collect();
    let first = taken.first();
    let refused = calls.iter().find(|call| matches!(call.result, CallResult::Error | CallResult::Conflict));
    steps.push(match (calls.last(), first, refused) {
        (_, Some(call), _) => StepJson::new("report_received", Passed, format!("from {}", call.address)).at(call.at),
        (_, None, Some(call)) => {
            let why = call.reply["detail"].as_str().unwrap_or("it was refused");
            let code = call.code.as_deref().unwrap_or("error");
            StepJson::new("report_received", Failed, format!("refused with `{code}`: {why}")).at(call.at)
        }
        _ => {
            let detail = "no report of the click came in yet; have the shop report it, or play the advertiser";
            StepJson::new("report_received", Waiting, detail)
        }
    });
    steps.push(match first {
        Some(call) => {
            let lead = call.lead.as_deref().unwrap_or_default();
            StepJson::new("lead_recorded", Passed, format!("lead `{lead}`")).at(call.at)
        }
        None => StepJson::new("lead_recorded", Waiting, "follows a report that is taken"),
    });
    let events: Vec<EventId> = taken.iter().flat_map(|call| call.events.clone()).collect();
    steps.push(match events.first() {
        Some(event) => {
            let stored = state.queue.event(*event).await?;
            let name = stored.as_ref().map(|event| event.event_type.to_string()).unwrap_or_default();
            let step = StepJson::new("event_emitted", Passed, format!("{name}, event `{event}`"));
            match stored {
                Some(stored) => step.at(stored.received_at),
                None => step,
            }
        }
        None => StepJson::new("event_emitted", Waiting, "follows the lead"),
    });
    steps.push(delivered(state, run, &events).await?);
    let decided = taken.iter().find(|call| is_final(state, run, call));
    steps.push(match decided {
        Some(call) => {
            let word = call.parameters.get("status").map(String::as_str).unwrap_or_default();
            StepJson::new("status_changed", Passed, format!("to `{word}`")).at(call.at)
        }
        None => StepJson::new("status_changed", Waiting, "report the final status, approved or rejected"),
    });
    if run.finished_at.is_some() {
        let open = steps.iter_mut().filter(|step| step.state == Waiting);
        open.for_each(|step| step.state = StepState::Skipped);
    }
    Ok(steps)
}

/// Whether the partner's receivers took the postbacks of these events.
async fn delivered(state: &ApiState, run: &TestRun, events: &[EventId]) -> Result<StepJson, ApiError> {
    use StepState::{Failed, Passed, Waiting};
    const NAME: &str = "postback_delivered";
    let registry: std::sync::Arc<Registry> = state.queue.registry();
    if registry.subscriptions_of(&run.partner).next().is_none() {
        let detail = format!("account `{}` has no subscription, so that nobody is told; create one to `action.*`", run.partner);
        return Ok(StepJson::new(NAME, if events.is_empty() { Waiting } else { Failed }, detail));
    }
    if events.is_empty() {
        return Ok(StepJson::new(NAME, Waiting, "follows the event"));
    }
    let mut deliveries = Vec::new();
    for event in events {
        deliveries.extend(state.queue.deliveries_of(*event).await?);
    }
    if deliveries.is_empty() {
        let detail = format!("no subscription of account `{}` wants these events; have one ask for `action.*`", run.partner);
        return Ok(StepJson::new(NAME, Failed, detail));
    }
    let count = |wanted: &[StateName]| deliveries.iter().filter(|delivery| wanted.contains(&delivery.state.name())).count();
    let (done, dead) = (count(&[StateName::Delivered]), count(&[StateName::Dead, StateName::Cancelled]));
    let told: Vec<String> = deliveries
        .iter()
        .map(|delivery| {
            let outcome = delivery.last_outcome.map(|outcome| format!(", last {}", outcome.as_str())).unwrap_or_default();
            format!("{} to {}: {}{outcome}", delivery.event_type, delivery.subscription, delivery.state.name().as_str())
        })
        .collect();
    let step = match (done, dead) {
        (done, _) if done == deliveries.len() => Passed,
        (_, dead) if dead > 0 => Failed,
        _ => Waiting,
    };
    Ok(StepJson::new(NAME, step, told.join("; ")))
}
