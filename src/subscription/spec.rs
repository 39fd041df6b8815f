//! The JSON form of a subscription: every field with its default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::check::{EVENT_TYPES_MAX, FILTER_VALUES_MAX, SILENCE_MAX};
use super::credentials::CredentialsSpec;
use super::response_rule::RULE_BYTES_MAX;
use super::signing::SigningSpec;
use super::tls::TlsSpec;
use crate::event::{AccountId, EventType, EventTypePattern};
use crate::template::Engine;

/// Longest `minimum_delay_s`: 30 days.
pub const MINIMUM_DELAY_MAX_S: f64 = 30.0 * 86_400.0;
/// Lowest `max_requests_per_second`: one request in 100 seconds.
pub const REQUESTS_PER_SECOND_MIN: f64 = 0.01;
/// Highest `max_requests_per_second`.
pub const REQUESTS_PER_SECOND_MAX: f64 = 10_000.0;
/// Longest `timeout_ms`.
pub const TIMEOUT_MAX_MS: u64 = 60_000;
/// Most `retry.attempts`, and most entries of `retry.schedule_s`.
pub const ATTEMPTS_MAX: u32 = 100;
/// Most headers of a request.
pub const HEADERS_MAX: usize = 50;
/// What has no control characters, as a pattern.
pub(crate) const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A header's name, as a pattern.
const HEADER_NAME: &str = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$";

/// A subscription as callers write and read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionSpec {
    /// Whose events.
    pub account: AccountId,
    /// What people call it; 1 to 200 characters.
    #[schemars(length(min = 1, max = 200), regex(pattern = NO_CONTROLS))]
    pub name: String,
    /// Types, families such as `action.*`, or `*`; at least one.
    #[schemars(with = "Vec<EventTypePattern>", length(min = 1, max = EVENT_TYPES_MAX))]
    pub event_types: Vec<String>,
    /// Whether it hears of everything, or only of what happens first.
    #[serde(default)]
    pub scope: Scope,
    /// Fields and the values they may hold.
    #[serde(default, rename = "where")]
    pub filter: BTreeMap<String, FilterValues>,
    /// What is sent, and where.
    pub request: RequestSpec,
    /// How requests are signed; null for not at all.
    #[serde(default)]
    pub signing: Option<SigningSpec>,
    /// What requests prove their sender with; null for nothing.
    #[serde(default)]
    pub credentials: Option<CredentialsSpec>,
    /// Certificates of the connection; null for the usual.
    #[serde(default)]
    pub tls: Option<TlsSpec>,
    /// Least time between `occurred_at` and the first attempt, in seconds.
    #[serde(default, serialize_with = "plain::one")]
    #[schemars(range(min = 0, max = MINIMUM_DELAY_MAX_S))]
    pub minimum_delay_s: f64,
    /// Ceiling over every second; null for none.
    #[serde(default, serialize_with = "plain::some")]
    #[schemars(range(min = REQUESTS_PER_SECOND_MIN, max = REQUESTS_PER_SECOND_MAX))]
    pub max_requests_per_second: Option<f64>,
    /// Which requests the ceiling counts.
    #[serde(default)]
    pub rate_scope: RateScope,
    /// What makes a response a success; null for the status alone.
    #[serde(default)]
    #[schemars(length(min = 1, max = RULE_BYTES_MAX))]
    pub success_response: Option<String>,
    /// What makes a response a refusal for good; null for the status alone.
    #[serde(default)]
    #[schemars(length(min = 1, max = RULE_BYTES_MAX))]
    pub error_response: Option<String>,
    /// Time for a whole call, in milliseconds.
    #[serde(default = "default_timeout_ms", deserialize_with = "whole_number")]
    #[schemars(range(min = 1, max = TIMEOUT_MAX_MS))]
    pub timeout_ms: u64,
    /// When to try again.
    #[serde(default)]
    pub retry: RetrySpec,
    /// Whether deliveries of one action wait for each other.
    #[serde(default)]
    pub order: Order,
    /// Whether it sends.
    #[serde(default)]
    pub state: SubscriptionState,
    /// Lints of the templates that are not to be reported, by code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = SILENCE_MAX))]
    pub silence: Vec<String>,
}

/// The values a field may hold, as text; one value may be written without a list, and numbers bare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FilterValues(pub Vec<String>);

impl JsonSchema for FilterValues {
    fn schema_name() -> Cow<'static, str> {
        "FilterValues".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return json_schema!({"type": "array", "items": {"type": "string"}, "description": "The values a field may hold, as text."});
        }
        let one = json_schema!({"type": ["string", "number", "boolean"]});
        json_schema!({
            "anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": FILTER_VALUES_MAX}],
            "description": "The values a field may hold, compared as text; one value may be written without a list.",
        })
    }
}

impl<'de> Deserialize<'de> for FilterValues {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let one = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Ok(text),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            serde_json::Value::Bool(value) => Ok(value.to_string()),
            _ => Err(D::Error::custom("a value of `where` is a text, a number, true or false")),
        };
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Array(values) => values.into_iter().map(one).collect::<Result<_, _>>().map(Self),
            value => Ok(Self(vec![one(value)?])),
        }
    }
}

/// The schema of `has_secret`, which the server sets in answers and leaves as it is in requests.
pub(super) struct HasSecret;

impl JsonSchema for HasSecret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HasSecret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() { json_schema!({"type": "boolean"}) } else { json_schema!({}) }
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// The HTTP method.
    #[serde(default)]
    pub method: Method,
    /// Template of the URL.
    #[schemars(regex(pattern = "^[Hh][Tt][Tt][Pp][Ss]?://"))]
    pub url: String,
    /// Headers whose values are templates.
    #[serde(default)]
    #[schemars(length(max = HEADERS_MAX))]
    pub headers: Vec<HeaderSpec>,
    /// The form of the body.
    #[serde(default)]
    pub body_format: BodyFormat,
    /// Template of the body, or of what is added to the query of a GET or DELETE.
    #[serde(default)]
    pub body: String,
    /// The template language.
    #[serde(default)]
    pub engine: Engine,
    /// Whether requests carry our own `Idempotency-Key` and `Postrider-…` headers.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub identification_headers: bool,
    /// Whether requests carry a `traceparent`, by which a receiver's traces of one event are found together.
    #[serde(default, skip_serializing_if = "is_no")]
    pub trace_context: bool,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSpec {
    /// Its name.
    #[schemars(regex(pattern = HEADER_NAME))]
    pub name: String,
    /// Template of its value.
    pub value: String,
}

/// When a delivery is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// Most requests for one delivery, the first included.
    #[serde(default = "default_attempts", deserialize_with = "whole_number")]
    #[schemars(range(min = 1, max = ATTEMPTS_MAX))]
    pub attempts: u32,
    /// The wait after each attempt, in seconds; the last entry repeats. Not used with `exponential`.
    #[serde(default = "default_schedule_s", serialize_with = "plain::many")]
    #[schemars(length(max = ATTEMPTS_MAX), inner(range(min = 0, max = MINIMUM_DELAY_MAX_S)))]
    pub schedule_s: Vec<f64>,
    /// A rule in place of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponential: Option<ExponentialSpec>,
    /// Largest share by which a wait is lengthened, 0 to 1.
    #[serde(default = "default_jitter", serialize_with = "plain::one")]
    #[schemars(range(min = 0, max = 1))]
    pub jitter: f64,
    /// Which responses are final.
    #[serde(default)]
    pub profile: RetryProfile,
}

/// Waits that grow by a factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExponentialSpec {
    /// The wait after the first attempt, in seconds.
    #[serde(serialize_with = "plain::one")]
    #[schemars(range(min = 0.001, max = MINIMUM_DELAY_MAX_S))]
    pub initial_s: f64,
    /// What each wait is multiplied by to give the next; 1 to 10.
    #[serde(default = "default_factor", serialize_with = "plain::one")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: f64,
    /// The longest wait, in seconds.
    #[serde(default = "default_wait_max_s", serialize_with = "plain::one")]
    #[schemars(range(min = 0.001, max = MINIMUM_DELAY_MAX_S))]
    pub max_s: f64,
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident, $case:literal { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = $case)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

word_enum!(
    /// An HTTP method.
    Method, "UPPERCASE" {
        /// GET, the usual method of a postback.
        #[default]
        Get,
        /// POST.
        Post,
        /// PUT.
        Put,
        /// PATCH.
        Patch,
        /// DELETE.
        Delete,
    }
);
word_enum!(
    /// The form of a body.
    BodyFormat, "lowercase" {
        /// `a=1&b=2`: the form body of POST, PUT and PATCH, part of the URL's query of GET and DELETE.
        #[default]
        Query,
        /// JSON.
        Json,
        /// XML.
        Xml,
        /// As written.
        Raw,
    }
);
word_enum!(
    /// Which events of the wanted types a subscription hears of, in the words of impact.com.
    Scope, "lowercase" {
        /// Everything that happens to an action.
        #[default]
        Global,
        /// What happens first: modifications and reversals are left out unless they are named exactly.
        Event,
    }
);
word_enum!(
    /// Which requests the ceiling counts.
    RateScope, "lowercase" {
        /// Every request of the subscription.
        #[default]
        All,
        /// Only those after the first of a delivery.
        Retries,
    }
);
word_enum!(
    /// Which responses are final.
    RetryProfile, "lowercase" {
        /// The decision table of the documentation.
        #[default]
        Standard,
        /// As impact.com documents it: 400 to 500, unresolved names and bad URLs are final.
        Impact,
        /// The standard table with the caller's own schedule.
        Custom,
    }
);
word_enum!(
    /// Whether deliveries wait for each other.
    Order, "lowercase" {
        /// Each goes when it is due.
        #[default]
        None,
        /// Of those with one `ActionId`, only the first undecided one may go.
        Action,
    }
);
word_enum!(
    /// Whether a subscription sends.
    SubscriptionState, "lowercase" {
        /// It sends.
        #[default]
        Active,
        /// Its deliveries wait.
        Paused,
    }
);

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a rendered body is sent as a body; if not, a query is added to the URL.
    #[must_use]
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

impl Scope {
    /// The types that event level leaves out.
    pub const LEFT_OUT: [&'static str; 2] = ["action.modified", "action.reversed"];

    /// Whether this scope leaves out a type that one of `patterns` matches.
    #[must_use]
    pub fn leaves_out(self, event_type: &EventType, patterns: &[EventTypePattern]) -> bool {
        self == Self::Event
            && Self::LEFT_OUT.contains(&event_type.as_str())
            && !patterns.iter().any(|pattern| matches!(pattern, EventTypePattern::Exact(named) if named == event_type))
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            attempts: default_attempts(),
            schedule_s: default_schedule_s(),
            exponential: None,
            jitter: default_jitter(),
            profile: RetryProfile::default(),
        }
    }
}

const fn default_timeout_ms() -> u64 {
    10_000
}
const fn default_attempts() -> u32 {
    16
}
const fn default_jitter() -> f64 {
    0.1
}
const fn default_factor() -> f64 {
    2.0
}
const fn default_wait_max_s() -> f64 {
    86_400.0
}
fn default_schedule_s() -> Vec<f64> {
    [10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200, 86_400].map(f64::from).to_vec()
}
const fn yes() -> bool {
    true
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_no(value: &bool) -> bool {
    !*value
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// Reads a whole number, also one that is written with a point, such as `284.0`.
///
/// JSON has one kind of number, and some languages write every number so.
///
/// # Errors
/// The number has a fraction, or does not fit.
pub fn whole_number<'de, D: serde::Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let number = f64::deserialize(deserializer)?;
    let is_exact = number.fract() == 0.0 && (0.0..9e15).contains(&number);
    let whole = is_exact.then(|| T::try_from(number as u64).ok()).flatten();
    whole.ok_or_else(|| serde::de::Error::custom(format_args!("`{number}` is not a whole number that fits here")))
}

/// The same, or null.
///
/// # Errors
/// The number has a fraction, or does not fit.
pub fn whole_number_or_none<'de, D: serde::Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(bound = "T: TryFrom<u64>")]
    struct Whole<T>(#[serde(deserialize_with = "whole_number")] T);
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// Writes numbers as people do: `60`, not `60.0`.
mod plain {
    use serde::{Serialize, Serializer};

    struct Plain(f64);

    impl Serialize for Plain {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
                serializer.serialize_i64(self.0 as i64)
            } else {
                serializer.serialize_f64(self.0)
            }
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub fn one<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Plain(*number).serialize(serializer)
    }

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub fn some<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        number.map(Plain).serialize(serializer)
    }

    pub fn many<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().map(|number| Plain(*number)))
    }
}
