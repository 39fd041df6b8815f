//! From what a caller wrote to a subscription that can be used: every fault found, with its place.

use std::time::Duration;

use super::credentials::check_credentials;
use super::signing::check_signing;
use super::spec::{
    ATTEMPTS_MAX, BodyFormat, FilterValues, HEADERS_MAX, MINIMUM_DELAY_MAX_S, REQUESTS_PER_SECOND_MAX, REQUESTS_PER_SECOND_MIN, RetrySpec,
    Scope, SubscriptionSpec, TIMEOUT_MAX_MS,
};
use super::tls::check_tls;
use super::{FieldNames, Filter, ResponseRule, SubscriptionRules};
use crate::event::catalogue::{self, Provider};
use crate::event::{EventType, EventTypePattern};
use crate::template::{self, Finding, Format, Part, Template};

/// Most characters of a subscription's name.
const NAME_CHARACTERS_MAX: usize = 200;
/// Most entries of `event_types`.
pub(super) const EVENT_TYPES_MAX: usize = 100;
/// Most fields of `where`, and most values of one field.
const FILTER_FIELDS_MAX: usize = 50;
pub(super) const FILTER_VALUES_MAX: usize = 1_000;
/// Most bytes of a field's name, and of a value, in `where`.
const FILTER_NAME_BYTES_MAX: usize = 64;
const FILTER_VALUE_BYTES_MAX: usize = 1_024;
/// Most entries of `silence`.
pub(super) const SILENCE_MAX: usize = 100;
/// Most bytes of a subscription as JSON: what is kept in memory of it.
const SPEC_BYTES_MAX: usize = 256 * 1_024;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// JSON pointer to the field.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// For a template: where in it, with the repair if there is one.
    pub finding: Option<Box<Finding>>,
}

impl FieldError {
    /// What is wrong with the field at `pointer`.
    #[must_use]
    pub fn new(pointer: &str, code: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into(), finding: None }
    }
}

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionWarning {
    /// JSON pointer to the field.
    pub pointer: String,
    /// Stable code.
    pub code: String,
    /// What may go wrong and what to do.
    pub detail: String,
}

/// Checks `spec`; `names` are the macro names its templates may use and `known_type` tells which
/// event types exist.
///
/// # Errors
/// Every [`FieldError`] found, in the order of the fields.
pub fn check(
    spec: &SubscriptionSpec,
    names: &FieldNames,
    known_type: &dyn Fn(&EventType) -> bool,
) -> Result<(SubscriptionRules, Vec<SubscriptionWarning>), Vec<FieldError>> {
    let mut faults = Faults::default();
    let name_characters = spec.name.chars().count();
    if !(1..=NAME_CHARACTERS_MAX).contains(&name_characters) || spec.name.chars().any(char::is_control) {
        faults.add(
            "/name",
            "invalid_name",
            format!("the name has {name_characters} characters; use 1 to {NAME_CHARACTERS_MAX}, without control characters"),
        );
    }
    let spec_bytes = serde_json::to_vec(spec).map_or(usize::MAX, |json| json.len());
    if spec_bytes > SPEC_BYTES_MAX {
        faults.add("", "too_large", format!("the subscription has {spec_bytes} bytes as JSON; use at most {SPEC_BYTES_MAX}"));
        return Err(faults.errors);
    }
    let event_types = check_event_types(spec, names, known_type, &mut faults);
    warn_of_scope(spec, &event_types, &mut faults);
    check_filter(spec, &mut faults);
    if spec.silence.len() > SILENCE_MAX {
        faults.add("/silence", "too_many_entries", format!("{} codes; at most {SILENCE_MAX} are taken", spec.silence.len()));
    }
    check_templates(spec, names, &event_types, &mut faults);
    check_signing(spec, &mut faults);
    check_credentials(spec, &mut faults);
    check_tls(spec, &mut faults);
    let (minimum_delay, request_interval) = check_limits(spec, &mut faults);
    check_retry(&spec.retry, &mut faults);
    let success_response = check_rule(spec.success_response.as_deref(), "/success_response", &mut faults);
    let error_response = check_rule(spec.error_response.as_deref(), "/error_response", &mut faults);
    if !faults.errors.is_empty() {
        return Err(faults.errors);
    }
    let filter = Filter::new(&spec.filter.iter().map(|(name, values)| (name.clone(), values.0.clone())).collect());
    let rules = SubscriptionRules {
        event_types,
        filter,
        minimum_delay,
        request_interval,
        timeout: Duration::from_millis(spec.timeout_ms),
        success_response,
        error_response,
    };
    Ok((rules, faults.warnings))
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Faults {
    errors: Vec<FieldError>,
    warnings: Vec<SubscriptionWarning>,
}

impl Faults {
    pub fn add(&mut self, pointer: &str, code: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, code, detail));
    }

    pub fn warn(&mut self, pointer: &str, code: &str, detail: impl Into<String>) {
        self.warnings.push(SubscriptionWarning { pointer: pointer.into(), code: code.into(), detail: detail.into() });
    }
}

fn check_event_types(
    spec: &SubscriptionSpec,
    names: &FieldNames,
    known_type: &dyn Fn(&EventType) -> bool,
    faults: &mut Faults,
) -> Vec<EventTypePattern> {
    if spec.event_types.is_empty() {
        faults.add("/event_types", "no_event_types", "the list is empty; name at least one event type, a family like `action.*`, or `*`");
    }
    if spec.event_types.len() > EVENT_TYPES_MAX {
        let detail = format!("{} entries; name at most {EVENT_TYPES_MAX}, or families like `action.*`", spec.event_types.len());
        faults.add("/event_types", "too_many_entries", detail);
    }
    let mut patterns = Vec::new();
    for (index, text) in spec.event_types.iter().enumerate().take(EVENT_TYPES_MAX) {
        let pointer = format!("/event_types/{index}");
        match text.parse::<EventTypePattern>() {
            Ok(EventTypePattern::Exact(event_type)) if !known_type(&event_type) => {
                faults.add(
                    &pointer,
                    "unknown_event_type",
                    format!("event type `{event_type}` is not registered; `GET /v1/event-types` lists those that are"),
                );
            }
            Ok(pattern) => {
                if matches_nothing(&pattern, names) {
                    faults.warn(
                        &pointer,
                        "matches_no_type",
                        format!("`{pattern}` matches no event type that exists; `GET /v1/event-types` lists them"),
                    );
                }
                patterns.push(pattern);
            }
            Err(error) => faults.add(&pointer, "invalid_event_type", error.to_string()),
        }
    }
    patterns
}

fn warn_of_scope(spec: &SubscriptionSpec, event_types: &[EventTypePattern], faults: &mut Faults) {
    let is_left_out = |name: &&&str| {
        let event_type = name.parse::<EventType>();
        event_type.is_ok_and(|name| event_types.iter().any(|pattern| pattern.matches(&name)) && spec.scope.leaves_out(&name, event_types))
    };
    let left_out: Vec<&str> = Scope::LEFT_OUT.iter().filter(is_left_out).copied().collect();
    if !left_out.is_empty() {
        let named = left_out.join("` and `");
        let detail = format!("event level leaves out `{named}`; name what you need in `event_types`, or use the scope `global`");
        faults.warn("/scope", "event_level_leaves_out", detail);
    }
}

/// Whether a wildcard matches no type. A type may be registered later, so that this is no error.
fn matches_nothing(pattern: &EventTypePattern, names: &FieldNames) -> bool {
    let EventTypePattern::Prefix(_) = pattern else { return false };
    let built_in = || catalogue::types().any(|entry| entry.name.parse().is_ok_and(|name| pattern.matches(&name)));
    !built_in() && !names.defined().any(|defined| pattern.matches(&defined.name))
}

fn check_filter(spec: &SubscriptionSpec, faults: &mut Faults) {
    if spec.filter.len() > FILTER_FIELDS_MAX {
        faults.add("/where", "too_many_fields", format!("{} fields; name at most {FILTER_FIELDS_MAX}", spec.filter.len()));
    }
    for (field, values) in spec.filter.iter().take(FILTER_FIELDS_MAX) {
        let FilterValues(values) = values;
        if field.len() > FILTER_NAME_BYTES_MAX {
            let detail = format!("a field's name has at most {FILTER_NAME_BYTES_MAX} bytes; this one has {}", field.len());
            faults.add("/where", "invalid_field_name", detail);
            continue;
        }
        let pointer = format!("/where/{}", field.replace('~', "~0").replace('/', "~1"));
        if values.is_empty() {
            let detail = format!("no value of `{field}` would ever pass; list at least one, or leave the field out");
            faults.add(&pointer, "empty_filter", detail);
        }
        if values.len() > FILTER_VALUES_MAX {
            faults.add(&pointer, "too_many_entries", format!("{} values; list at most {FILTER_VALUES_MAX}", values.len()));
        }
        if values.iter().any(|value| value.len() > FILTER_VALUE_BYTES_MAX) {
            faults.add(&pointer, "out_of_range", format!("a value has at most {FILTER_VALUE_BYTES_MAX} bytes"));
        }
    }
}

fn check_templates(spec: &SubscriptionSpec, names: &FieldNames, event_types: &[EventTypePattern], faults: &mut Faults) {
    let request = &spec.request;
    let mut parts = Vec::new();
    let mut compile = |pointer: String, format: Format, source: &str, part: Part, faults: &mut Faults| match Template::compile(
        request.engine,
        format,
        source,
        names,
    ) {
        Ok(compiled) => {
            for finding in compiled.warnings() {
                warn_of(finding, &pointer, spec, faults);
            }
            parts.push((part, compiled));
        }
        Err(findings) => {
            for finding in findings {
                if finding.is_error() {
                    faults.errors.push(FieldError {
                        pointer: pointer.clone(),
                        code: finding.code.as_str().into(),
                        detail: finding.message.clone(),
                        finding: Some(Box::new(finding)),
                    });
                } else {
                    warn_of(&finding, &pointer, spec, faults);
                }
            }
        }
    };
    compile("/request/url".into(), Format::Url, &request.url, Part::Url, faults);
    if request.headers.len() > HEADERS_MAX {
        faults.add("/request/headers", "too_many_headers", format!("{} headers; at most {HEADERS_MAX} are sent", request.headers.len()));
    }
    for (index, header) in request.headers.iter().enumerate().take(HEADERS_MAX) {
        let pointer = format!("/request/headers/{index}");
        if !is_header_name(&header.name) {
            faults.add(
                &format!("{pointer}/name"),
                "invalid_header",
                format!("`{}` is not a header name; use letters, digits and `-`", header.name.escape_debug()),
            );
        } else if is_reserved_header(&header.name) {
            faults.add(&format!("{pointer}/name"), "reserved_header", format!("`{}` is set by the sender itself; remove it", header.name));
        }
        compile(format!("{pointer}/value"), Format::Header, &header.value, Part::Header, faults);
    }
    let body_format = match request.body_format {
        BodyFormat::Query => Format::Query,
        BodyFormat::Json => Format::Json,
        BodyFormat::Xml => Format::Xml,
        BodyFormat::Raw => Format::Raw,
    };
    if !request.body.is_empty() {
        if !request.method.has_body() && request.body_format != BodyFormat::Query {
            faults.add(
                "/request/body",
                "body_not_sent",
                format!(
                    "a {} request carries no body; use `POST`, or `\"body_format\": \"query\"` to add the values to the URL",
                    request.method.as_str()
                ),
            );
        }
        compile("/request/body".into(), body_format, &request.body, Part::Body, faults);
    }
    warn_of_missing_fields(&parts, names, event_types, faults);
    let parts: Vec<_> = parts.iter().map(|(part, compiled)| (*part, compiled)).collect();
    for finding in template::lint_request(&parts, wants_life_cycle(event_types)) {
        warn_of(&finding, "/request", spec, faults);
    }
}

fn warn_of(finding: &Finding, pointer: &str, spec: &SubscriptionSpec, faults: &mut Faults) {
    if !spec.silence.iter().any(|code| code == finding.code.as_str()) {
        faults.warn(pointer, finding.code.as_str(), finding.message.clone());
    }
}

fn wants_life_cycle(event_types: &[EventTypePattern]) -> bool {
    ["action.tracked", "action.modified", "action.reversed"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .any(|event_type| event_types.iter().any(|pattern| pattern.matches(&event_type)))
}

fn warn_of_missing_fields(parts: &[(Part, Template)], names: &FieldNames, event_types: &[EventTypePattern], faults: &mut Faults) {
    let is_wanted = |event_type: &EventType| event_types.iter().any(|pattern| pattern.matches(event_type));
    let built_in: Vec<_> = catalogue::types().filter(|entry| entry.name.parse().is_ok_and(|name| is_wanted(&name))).collect();
    let defined: Vec<_> = names.defined().filter(|defined| is_wanted(&defined.name)).collect();
    if built_in.is_empty() && defined.is_empty() {
        return;
    }
    let mut reported = Vec::new();
    for (part, compiled) in parts {
        for name in compiled.names_used() {
            let in_catalogue = catalogue::known_field(name).is_some() || names.defined().any(|defined| defined.field(name).is_some());
            let is_system = catalogue::known_field(name).is_some_and(|field| field.provider == Provider::System);
            let carried = built_in.iter().any(|entry| entry.field(name).is_some())
                || defined.iter().any(|defined| defined.field(name).is_some())
                || names.is_extra(name);
            if in_catalogue && !is_system && !carried && !reported.contains(&name) {
                reported.push(name);
                let pointer = match part {
                    Part::Url => "/request/url",
                    Part::Header => "/request/headers",
                    Part::Body => "/request/body",
                };
                faults.warn(pointer, "field_not_in_type", format!("no subscribed event type carries `{name}`; it will always be empty"));
            }
        }
    }
}

fn check_limits(spec: &SubscriptionSpec, faults: &mut Faults) -> (Duration, Option<Duration>) {
    if !(0.0..=MINIMUM_DELAY_MAX_S).contains(&spec.minimum_delay_s) {
        faults.add(
            "/minimum_delay_s",
            "out_of_range",
            format!("{} seconds; use 0 to {MINIMUM_DELAY_MAX_S} (30 days)", spec.minimum_delay_s),
        );
    }
    let rate = spec.max_requests_per_second;
    if rate.is_some_and(|rate| !(REQUESTS_PER_SECOND_MIN..=REQUESTS_PER_SECOND_MAX).contains(&rate)) {
        faults.add(
            "/max_requests_per_second",
            "out_of_range",
            format!("use {REQUESTS_PER_SECOND_MIN} to {REQUESTS_PER_SECOND_MAX}, or null for no ceiling; to stop sending, pause the subscription"),
        );
    }
    if !(1..=TIMEOUT_MAX_MS).contains(&spec.timeout_ms) {
        faults.add("/timeout_ms", "out_of_range", format!("{} milliseconds; use 1 to {TIMEOUT_MAX_MS}", spec.timeout_ms));
    }
    if !faults.errors.is_empty() {
        return (Duration::ZERO, None);
    }
    // Rounded up to whole nanoseconds, so that rounding never lets one request too many through.
    let interval = rate.map(|rate| Duration::from_nanos((1e9 / rate).ceil() as u64));
    (Duration::from_secs_f64(spec.minimum_delay_s), interval)
}

fn check_retry(retry: &RetrySpec, faults: &mut Faults) {
    let seconds = 0.0..=MINIMUM_DELAY_MAX_S;
    if !(1..=ATTEMPTS_MAX).contains(&retry.attempts) {
        faults.add("/retry/attempts", "out_of_range", format!("{} attempts; use 1 to {ATTEMPTS_MAX}, the first included", retry.attempts));
    }
    if retry.schedule_s.len() > ATTEMPTS_MAX as usize {
        faults.add("/retry/schedule_s", "out_of_range", format!("{} entries; at most {ATTEMPTS_MAX}", retry.schedule_s.len()));
    }
    if retry.schedule_s.is_empty() && retry.exponential.is_none() && retry.attempts > 1 {
        faults.add(
            "/retry/schedule_s",
            "empty_schedule",
            "the schedule is empty; give the wait after each attempt in seconds, set `exponential`, or set `attempts` to 1",
        );
    }
    for (index, wait) in retry.schedule_s.iter().enumerate().take(ATTEMPTS_MAX as usize) {
        if !seconds.contains(wait) {
            faults.add(
                &format!("/retry/schedule_s/{index}"),
                "out_of_range",
                format!("{wait} seconds; use 0 to {MINIMUM_DELAY_MAX_S} (30 days)"),
            );
        }
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        faults.add("/retry/jitter", "out_of_range", format!("{}; use a share from 0 to 1", retry.jitter));
    }
    if let Some(rule) = &retry.exponential {
        if !(0.001..=MINIMUM_DELAY_MAX_S).contains(&rule.initial_s) {
            faults.add(
                "/retry/exponential/initial_s",
                "out_of_range",
                format!("{} seconds; use 0.001 to {MINIMUM_DELAY_MAX_S}", rule.initial_s),
            );
        }
        if !(1.0..=10.0).contains(&rule.factor) {
            faults.add("/retry/exponential/factor", "out_of_range", format!("{}; use 1 to 10", rule.factor));
        }
        if !(rule.initial_s..=MINIMUM_DELAY_MAX_S).contains(&rule.max_s) {
            faults.add(
                "/retry/exponential/max_s",
                "out_of_range",
                format!("{} seconds; use `initial_s` to {MINIMUM_DELAY_MAX_S}", rule.max_s),
            );
        }
    }
}

fn check_rule(text: Option<&str>, pointer: &str, faults: &mut Faults) -> Option<ResponseRule> {
    match ResponseRule::parse(text?) {
        Ok(rule) => {
            for warning in rule.warnings() {
                faults.warn(pointer, "response_rule", warning);
            }
            Some(rule)
        }
        Err(error) => {
            faults.add(pointer, "invalid_response_rule", error.to_string());
            None
        }
    }
}

pub(super) fn is_header_name(name: &str) -> bool {
    (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Headers that frame the message: a caller who could set them could break the request apart.
pub(super) fn is_reserved_header(name: &str) -> bool {
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive", "proxy-connection"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}
