//! A report from its parameters to its answer: judged, written to the ledger, noted in the incoming log.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::super::{ApiError, ApiState};
use super::answer::{Refusal, Reply};
use super::given::Given;
use super::judge::{Judged, Stop, judge, unknown_customer};
use crate::event::{AccountId, OfferId};
use crate::id::{InboundCallId, InboundKeyId};
use crate::inbound::{CallKind, CallResult, InboundCall, Outcome};
use crate::queue::{EmitError, LogReport, Queue};

/// Whose report it is.
#[derive(Debug, Clone)]
pub(in crate::api) struct Sender {
    /// The advertiser.
    pub account: AccountId,
    /// The key; none for a test run.
    pub key: Option<InboundKeyId>,
    /// The only offer that the key is for.
    pub offer: Option<OfferId>,
    /// What lead ids are made of.
    pub namespace: Uuid,
}

/// From where it came.
#[derive(Debug, Clone)]
pub(in crate::api) struct Origin {
    pub method: String,
    pub kind: CallKind,
    pub address: IpAddr,
    pub user_agent: Option<String>,
}

/// Takes a report: what it comes to is stored, with the answer, when this returns.
pub(in crate::api) async fn take(state: &ApiState, sender: &Sender, origin: &Origin, given: Result<Given, Refusal>) -> Reply {
    let mut call = blank(state, Some(sender), origin, given.as_ref().ok());
    let judged = match given {
        Ok(given) => judge(state, sender, &given, &mut call).await,
        Err(refusal) => Err(refusal.into()),
    };
    hide_visitor(state, &mut call);
    let log = log_of(&call);
    let reply = match judged {
        Ok(Judged::Report(report)) => match state.queue.record_report(&report, log).await {
            Ok(outcome) => Ok(Reply::of(&outcome)),
            // The partner's account is gone, and its clicks with it.
            Err(EmitError::UnknownAccount { .. }) => {
                let detail = "the partner of this click is not there any more; there is nothing to report of it";
                refused(state, call, Refusal::new(StatusCode::NOT_FOUND, "unknown_click", detail).into()).await
            }
            Err(error) => Err(error),
        },
        Ok(Judged::Customer(report)) => match state.queue.record_customer(&report, log).await {
            Ok(Some(outcome)) => Ok(Reply::of(&outcome)),
            Ok(None) => refused(state, call, unknown_customer().into()).await,
            Err(error) => Err(error),
        },
        Err(Stop::Refused(refusal)) => refused(state, call, refusal.into()).await,
        Err(Stop::Failed(error)) => return unavailable(state, &error),
    };
    match reply {
        Ok(reply) => {
            state.queue.metrics().inbound_call(reply.result.as_str());
            reply
        }
        Err(error) => unavailable(state, &error.into()),
    }
}

/// Makes the record of the incoming log by what comes of a report.
fn log_of(call: &InboundCall) -> LogReport {
    let call = call.clone();
    Arc::new(move |outcome: &Outcome| {
        let mut call = answered(call.clone(), &Reply::of(outcome));
        if let Outcome::Recorded { events, .. } = outcome {
            call.events.clone_from(events);
        }
        Queue::call_record(&call)
    })
}

/// Notes a report that changes nothing.
async fn refused(state: &ApiState, call: InboundCall, reply: Reply) -> Result<Reply, EmitError> {
    state.queue.record_call(&answered(call, &reply)).await?;
    Ok(reply)
}

/// Answers a report that was turned away at the door, and notes it.
pub(super) async fn turn_away(state: &ApiState, sender: Option<&Sender>, origin: &Origin, given: &Given, refusal: Refusal) -> Reply {
    let call = blank(state, sender, origin, Some(given));
    match refused(state, call, refusal.into()).await {
        Ok(reply) => {
            state.queue.metrics().inbound_call(reply.result.as_str());
            reply
        }
        Err(error) => unavailable(state, &error.into()),
    }
}

/// The store could not do it: nothing is noted, and the sender is to come again.
fn unavailable(state: &ApiState, error: &ApiError) -> Reply {
    state.queue.metrics().inbound_call("unrecorded");
    let problem = &error.0;
    // Others change the same row all the time: what was reported is no conflict, and may come again.
    let again = problem.status == StatusCode::CONFLICT.as_u16();
    let status = StatusCode::from_u16(problem.status).ok().filter(|_| !again).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Refusal::new(status, problem.code, problem.detail.clone()).retry_after(problem.retry_after_s.unwrap_or(5)).into()
}

/// A report as it came in, before anything is known of it.
fn blank(state: &ApiState, sender: Option<&Sender>, origin: &Origin, given: Option<&Given>) -> InboundCall {
    let at = state.clock.now();
    let (parameters, truncated) = given.map(Given::kept).unwrap_or_default();
    InboundCall {
        id: InboundCallId::from_raw(state.queue.next_id(at)),
        at,
        account: sender.map(|sender| sender.account.clone()),
        key: sender.and_then(|sender| sender.key),
        offer: None,
        method: origin.method.clone(),
        kind: origin.kind,
        parameters,
        truncated,
        result: CallResult::Error,
        code: None,
        status: 0,
        reply: Value::Null,
        lead: None,
        action: None,
        request_id: None,
        click: None,
        events: Vec::new(),
        address: origin.address,
        user_agent: origin.user_agent.clone(),
    }
}

/// Of a visitor's browser only as much is kept as the offer says; of a server everything.
fn hide_visitor(state: &ApiState, call: &mut InboundCall) {
    if !matches!(call.kind, CallKind::Pixel | CallKind::Frame) {
        return;
    }
    let registry = state.queue.registry();
    let privacy = call.offer.as_ref().and_then(|id| registry.offer(id)).map(|known| known.offer.spec.privacy).unwrap_or_default();
    let kept = super::super::clicks::kept_address(call.address, privacy.ip);
    call.address = kept.and_then(|text| text.parse().ok()).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    call.user_agent = call.user_agent.take().filter(|_| privacy.user_agent);
}

fn answered(mut call: InboundCall, reply: &Reply) -> InboundCall {
    call.result = reply.result;
    call.code = reply.code.map(str::to_owned);
    call.status = reply.status.as_u16();
    call.lead = reply.lead().map(str::to_owned);
    call.reply = reply.json();
    call
}
