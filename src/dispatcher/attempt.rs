//! One attempt: build the request, take the permit, send over the subscription's channel, judge, settle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use super::clerk;
use super::pace::Pace;
use super::schedule::Message;
use crate::attempt::{Attempt, Exchange, Failure, FailureKind, Outcome, ReceivedResponse};
use crate::clock::{Clock, Timestamp};
use crate::cluster::Tenure;
use crate::delivery::{DeliveryState, Next, Verdict, judge, next};
use crate::event::{Event, EventType, TraceContext};
use crate::id::{AttemptId, DeliveryId, SubscriptionId};
use crate::queue::{DueRow, Lease, Operation, OperationReport, Queue, Settlement, StoreError};
use crate::request::channel::{Carried, Carrier, Channel, Mask, Permit};
use crate::request::send::Transport;
use crate::request::{DeliveryFacts, RequestTemplate, trace_of};
use crate::rng::mix;
use crate::subscription::Subscription;

/// How much of a response body is kept on record.
const KEPT_BODY_BYTES_MAX: usize = 8 * 1024;

/// When a delivery is looked at again whose attempt could not be made or recorded.
const UNSETTLED_WAIT: Duration = Duration::from_secs(1);

/// What all attempts share.
#[derive(Debug)]
pub(super) struct Workshop {
    pub queue: Arc<Queue>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub messages: UnboundedSender<Message>,
}

/// What one attempt needs.
#[derive(Debug)]
pub(super) struct Job {
    pub subscription: Subscription,
    pub template: Result<Arc<RequestTemplate>, Failure>,
    pub channel: Result<Arc<Channel>, Failure>,
    pub row: DueRow,
    /// Set if the ceiling counts this request.
    pub pace: Option<Arc<Pace>>,
    /// Set if the lane is leased.
    pub tenure: Option<Arc<Tenure>>,
    /// Whether the receiver was taken for dead when this was started.
    pub is_probe: bool,
}

/// How an attempt ended, for its lane.
#[derive(Debug)]
pub(super) struct Ended {
    pub outcome: Option<Outcome>,
    /// Whether our own side could not send; there is no attempt then, and the delivery is due as before.
    pub not_sent: bool,
    pub retry_after: Option<Duration>,
    /// When the delivery is due again, if it is.
    pub due_at: Option<Timestamp>,
    /// Whether the job held a place before the gate and gave it up without passing.
    pub left_gate: bool,
    /// Whether it was a probe of a receiver that was taken for dead.
    pub is_probe: bool,
    /// What was recorded, if it was.
    pub facts: Option<Facts>,
}

/// What the dispatcher needs to know of a recorded attempt, to tell people of what follows from it.
#[derive(Debug)]
pub(super) struct Facts {
    pub number: u32,
    pub status: Option<u16>,
    /// Empty after a success.
    pub reason: String,
    pub event_type: EventType,
    /// Whether the delivery was given up.
    pub dead: bool,
}

/// What an exchange is recorded with.
struct Performed {
    number: u32,
    /// Its own place in a trace, and the one in which the event was reported, where spans are told.
    trace: Option<(TraceContext, Option<TraceContext>)>,
    carried: Carried,
    /// The note of it, if lanes are leased and it came that far.
    lease: Option<Lease>,
}

/// The ceiling of a lane, asked before each request.
struct LanePermit<'a> {
    workshop: &'a Workshop,
    job: &'a Job,
    /// Whether a request was let through.
    passed: &'a AtomicBool,
}

#[async_trait]
impl Permit for LanePermit<'_> {
    async fn pass(&self) -> Result<(), Failure> {
        if let Some(pace) = &self.job.pace {
            pace.pass().await;
            // A second request of the same attempt has no place before the gate to give up.
            if !self.passed.swap(true, Ordering::Relaxed) {
                let _ = self.workshop.messages.send(Message::PassedGate { subscription: self.job.subscription.id });
            }
        }
        // After every wait, and with none before the hand-over.
        match &self.job.tenure {
            Some(tenure) if !tenure.holds(&*self.workshop.clock) => {
                Err(Failure { kind: FailureKind::Local, detail: "the lease of the lane ended before the request was handed over".into() })
            }
            _ => Ok(()),
        }
    }
}

impl Workshop {
    /// Makes the attempt and tells the dispatcher. A panic becomes an attempt that failed on our side.
    pub async fn run(self: Arc<Self>, job: Job) {
        let (subscription, delivery) = (job.subscription.id, job.row.delivery);
        let paced = job.pace.is_some();
        let passed = AtomicBool::new(false);
        let performed = AssertUnwindSafe(self.perform(&job, &passed)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(delivery.id = %delivery, "an attempt panicked; it is recorded as failed on our side");
            Some(self.not_sent(&job, Failure { kind: FailureKind::Internal, detail: "internal error of the sender".into() }))
        });
        // What could not be settled is still due, and is looked at again after a moment.
        let again = self.clock.now().after(UNSETTLED_WAIT);
        let left_gate = paced && !passed.load(Ordering::Relaxed);
        let mut ended = Ended {
            outcome: None,
            not_sent: false,
            retry_after: None,
            due_at: Some(again),
            left_gate,
            is_probe: job.is_probe,
            facts: None,
        };
        if let Some(performed) = performed {
            self.settle(&job, performed, &mut ended).await;
        }
        self.queue.in_flight().end(delivery);
        let dead = report_of_death(subscription, delivery, &ended, self.clock.now());
        // The dispatcher drops its receiver only when it has stopped for good.
        let _ = self.messages.send(Message::Ended { subscription, delivery, ended });
        // After the place in flight is free: telling of it holds nothing up.
        if let Some(report) = dead {
            clerk::tell(&self.queue, &report).await;
        }
    }

    async fn perform(&self, job: &Job, passed: &AtomicBool) -> Option<Performed> {
        let event = match self.event(&job.row).await {
            Ok(event) => event?,
            Err(failure) => return Some(self.not_sent(job, failure)),
        };
        let number = job.row.attempts + 1;
        let facts = DeliveryFacts { id: job.row.delivery, attempt: number, at: self.clock.now() };
        let began = self.clock.instant();
        let built = job.template.clone().and_then(|template| template.build(&event, &facts).map_err(Failure::from));
        self.queue.metrics().rendered(self.clock.instant().duration_since(began));
        let (request, channel) = match built.and_then(|request| Ok((request, job.channel.clone()?))) {
            Ok(ready) => ready,
            Err(failure) => return Some(self.not_sent(job, failure)),
        };
        let lease = match &job.tenure {
            Some(tenure) => match self.lease(job, tenure).await {
                (lease, Ok(true)) => Some(lease),
                // The row was moved or decided, or another node has the lane.
                (_, Ok(false)) => return None,
                (lease, Err(error)) => {
                    let detail = format!("it could not be noted that the request goes: {error}");
                    return Some(Performed { lease: Some(lease), ..self.not_sent(job, Failure { kind: FailureKind::Local, detail }) });
                }
            },
            None => None,
        };
        let carrier = Carrier { transport: &*self.transport, clock: &*self.clock, timeout: job.subscription.rules.timeout };
        let permit = LanePermit { workshop: self, job, passed };
        let trace = self.queue.spans().map(|_| (trace_of(&event, &facts), event.data.trace()));
        let carried = channel.carry(request, job.row.delivery, carrier, &permit).await;
        Some(Performed { number, trace, carried, lease })
    }

    /// Notes that the request is about to be handed over, and tells whether it may be.
    async fn lease(&self, job: &Job, tenure: &Tenure) -> (Lease, Result<bool, StoreError>) {
        let now = self.clock.now();
        let lease = Lease {
            delivery: job.row.delivery,
            subscription: job.subscription.id,
            epoch: tenure.epoch(),
            due_at: job.row.due_at,
            attempt: AttemptId::from_raw(self.queue.next_id(now)),
            number: job.row.attempts + 1,
            at: now,
        };
        let answer = self.queue.lease(&lease).await;
        (lease, answer)
    }

    /// The event of a row; none if it is gone, which ends the attempt without a record.
    async fn event(&self, row: &DueRow) -> Result<Option<Arc<Event>>, Failure> {
        if let Some(event) = &row.event {
            return Ok(Some(event.clone()));
        }
        match self.queue.event(row.delivery.event()).await {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => Err(Failure {
                kind: FailureKind::NotRendered,
                detail: "the stored event cannot be read; it is kept in quarantine, see `docs/store.md`".into(),
            }),
            Err(error) => {
                tracing::error!(delivery.id = %row.delivery, %error, "the event of a due delivery cannot be read");
                Ok(None)
            }
        }
    }

    fn not_sent(&self, job: &Job, failure: Failure) -> Performed {
        let carried = Carried {
            request: None,
            started_at: self.clock.now(),
            duration: Duration::ZERO,
            exchange: Exchange::Failed(failure),
            mask: Mask::default(),
        };
        Performed { number: job.row.attempts + 1, trace: None, carried, lease: None }
    }

    async fn settle(&self, job: &Job, Performed { number, trace, carried, lease }: Performed, ended: &mut Ended) {
        let now = self.clock.now();
        let rules = &job.subscription.rules;
        let retry = &job.subscription.spec.retry;
        let mut judgement = judge(&carried.exchange, rules.success_response.as_ref(), rules.error_response.as_ref(), retry.profile, now);
        carried.mask.text(&mut judgement.reason);
        if judgement.verdict == Verdict::NotSent {
            ended.not_sent = true;
            tracing::warn!(
                account = %job.subscription.spec.account,
                subscription.id = %job.subscription.id,
                delivery.id = %job.row.delivery,
                reason = judgement.reason,
                "not sent, for a failure of our own side; the delivery stays due"
            );
            if let Some(lease) = lease
                && let Err(error) = self.queue.let_go(&lease).await
            {
                tracing::debug!(delivery.id = %lease.delivery, %error, "a note of a request that was not sent stays");
            }
            return;
        }
        if carried.request.is_some() {
            self.queue.metrics().sent(carried.duration);
        }
        let seed = jitter_seed(job.row.delivery.raw(), number);
        let follows = next(now, number, retry, &judgement, seed);
        ended.outcome = Some(judgement.outcome);
        if let Verdict::Retry { retry_after } = judgement.verdict {
            ended.retry_after = retry_after;
        }
        let took = carried.duration;
        let attempt = Attempt {
            id: lease.map_or_else(|| AttemptId::from_raw(self.queue.next_id(carried.started_at)), |lease| lease.attempt),
            number,
            started_at: carried.started_at,
            duration_ms: u64::try_from(carried.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: judgement.outcome,
            reason: judgement.reason,
            request: carried.request,
            response: kept(carried.exchange, &carried.mask),
            possible_repeat: self.queue.possibly_sent(job.row.due_at),
            next_due_at: match follows {
                Next::RetryAt(due_at) => Some(due_at),
                Next::Delivered | Next::Dead(_) => None,
            },
        };
        log(job, &attempt);
        if let (Some(spans), Some((own, reported_in))) = (self.queue.spans(), trace) {
            spans.attempted(own, reported_in, (job.subscription.id, job.row.delivery), &attempt, took);
        }
        let status = attempt.response.as_ref().map(|response| response.status);
        let reason = if attempt.outcome == Outcome::Delivered { String::new() } else { attempt.reason.clone() };
        let settlement = Settlement {
            delivery: job.row.delivery,
            subscription: job.subscription.id,
            leased_due_at: job.row.due_at,
            attempt,
            next: follows,
            at: now,
            epoch: job.tenure.as_ref().map(|tenure| tenure.epoch()),
        };
        let settled = match settlement.epoch {
            Some(_) => self.queue.settle_surely(settlement).await,
            None => self.queue.settle(settlement).await,
        };
        match settled {
            Ok(Some(delivery)) => {
                ended.due_at = delivery.state.due_at();
                let dead = matches!(delivery.state, DeliveryState::Dead { .. });
                ended.facts = Some(Facts { number: delivery.attempts, status, reason, event_type: delivery.event_type, dead });
            }
            Ok(None) => ended.due_at = None,
            Err(error) => {
                tracing::error!(delivery.id = %job.row.delivery, %error, "an attempt was not recorded; the delivery stays due and may be repeated");
            }
        }
    }
}

fn report_of_death(subscription: SubscriptionId, delivery: DeliveryId, ended: &Ended, at: Timestamp) -> Option<OperationReport> {
    ended.facts.as_ref().filter(|facts| facts.dead).and_then(|facts| {
        let (operation, attempts) = (Operation::Dead, facts.number);
        let (event_type, reason) = (facts.event_type.clone(), facts.reason.clone());
        Some(OperationReport { operation, subscription, delivery, event_type, outcome: ended.outcome?, attempts, reason, at })
    })
}

/// Decides the jitter: the same delivery always waits the same time before the same attempt.
fn jitter_seed(delivery: u128, number: u32) -> u64 {
    mix((delivery >> 64) as u64) ^ mix(delivery as u64).rotate_left(17) ^ u64::from(number)
}

fn kept(exchange: Exchange, mask: &Mask) -> Option<ReceivedResponse> {
    match exchange {
        Exchange::Answered(mut response) => {
            // Before it is cut, or half a secret could stay at the end.
            mask.response(&mut response);
            response.shorten(KEPT_BODY_BYTES_MAX);
            Some(response)
        }
        Exchange::Failed(_) => None,
    }
}

/// One line per attempt; no URL, header or body, which may hold secrets or personal data.
fn log(job: &Job, attempt: &Attempt) {
    tracing::info!(
        account = %job.subscription.spec.account,
        subscription.id = %job.subscription.id,
        delivery.id = %job.row.delivery,
        attempt.number = attempt.number,
        outcome = attempt.outcome.as_str(),
        status = attempt.response.as_ref().map(|response| response.status),
        duration_ms = attempt.duration_ms,
        next_due_at = attempt.next_due_at.map(tracing::field::display),
        "attempt"
    );
}
