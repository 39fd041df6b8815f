//! Who wants it: endpoint, filter, template source, response rules, limits.
//!
//! A [`SubscriptionSpec`] is the JSON that a caller writes and reads; a [`Subscription`] is one whose
//! every part was checked. Its secrets are
//! beside the spec, never in it. Nothing here stores, sends, signs or renders.

mod check;
mod credentials;
mod filter;
mod names;
mod preset;
mod response_rule;
mod secrets;
mod signing;
mod spec;
mod target;
mod tls;

pub use check::{FieldError, SubscriptionWarning, check};
pub use credentials::{ClientAuthentication, CredentialsSpec, SECRET_BYTES_MAX};
pub use filter::Filter;
pub use names::{EventNames, FieldNames};
pub use preset::{Preset, PresetLimit, PresetParameter, PresetReply};
pub use response_rule::{RULE_BYTES_MAX, ResponseRule, ResponseRuleError};
pub use secrets::{HIDDEN, SubscriptionSecrets, rotate_signing, settle_secrets, shown_header};
pub use signing::{SIGNATURE_HEADERS, SIGNATURE_PARAMETERS, SignatureForm, SignatureVersion, SigningSpec};
pub use spec::{
    ATTEMPTS_MAX, BodyFormat, ExponentialSpec, HeaderSpec, MINIMUM_DELAY_MAX_S, Method, Order, REQUESTS_PER_SECOND_MAX,
    REQUESTS_PER_SECOND_MIN, RateScope, RequestSpec, RetryProfile, RetrySpec, Scope, SubscriptionSpec, SubscriptionState, TIMEOUT_MAX_MS,
    whole_number, whole_number_or_none,
};
pub use target::literal_target;
pub use tls::TlsSpec;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{EventData, EventType, EventTypePattern};
use crate::id::SubscriptionId;

/// A checked subscription. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Counts the changes, from 1; the API's `ETag`.
    pub version: u32,
    /// The version in which the request last changed; deliveries are pinned to it.
    pub template_version: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What the caller wrote, with the defaults filled in.
    pub spec: Arc<SubscriptionSpec>,
    /// The parsed parts of the spec.
    pub rules: Arc<SubscriptionRules>,
    /// What the spec leaves out, since it is not shown.
    pub secrets: Arc<SubscriptionSecrets>,
}

/// The parts of a spec in the form in which they are used.
#[derive(Debug)]
pub struct SubscriptionRules {
    /// The wanted event types.
    pub event_types: Vec<EventTypePattern>,
    /// The condition on the event's fields.
    pub filter: Filter,
    /// Time from `occurred_at` to the first attempt.
    pub minimum_delay: Duration,
    /// Least time between two requests; none without a ceiling.
    pub request_interval: Option<Duration>,
    /// Time for a whole call.
    pub timeout: Duration,
    /// What makes a response a success.
    pub success_response: Option<ResponseRule>,
    /// What makes a response a refusal.
    pub error_response: Option<ResponseRule>,
}

/// Why a subscription does not want an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// It does not ask for the type.
    Type,
    /// It is at event level, which leaves the type out.
    Scope,
    /// The event does not hold one of these values in this field.
    Field {
        /// The field.
        name: &'a str,
        /// The values it may hold.
        wanted: &'a [String],
    },
}

impl Subscription {
    /// Whether events of this type with this data are to be delivered to it.
    #[must_use]
    pub fn wants(&self, event_type: &EventType, data: &EventData) -> bool {
        self.refusal(event_type, data).is_none()
    }

    /// Why an event of this type with this data is not to be delivered to it; none if it is.
    #[must_use]
    pub fn refusal(&self, event_type: &EventType, data: &EventData) -> Option<Refusal<'_>> {
        let rules = &*self.rules;
        if !rules.event_types.iter().any(|pattern| pattern.matches(event_type)) {
            return Some(Refusal::Type);
        }
        if self.spec.scope.leaves_out(event_type, &rules.event_types) {
            return Some(Refusal::Scope);
        }
        rules.filter.first_unmet(data).map(|(name, wanted)| Refusal::Field { name, wanted })
    }
}
