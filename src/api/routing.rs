//! Why an event was or was not sent to each subscription of its account.

use crate::event::{EventData, EventType};
use crate::queue::Registry;
use crate::subscription::{Refusal, Subscription};

/// Most values of a condition that are shown.
const VALUES_SHOWN: usize = 5;
/// Most characters of a value that are shown.
const VALUE_CHARACTERS_SHOWN: usize = 100;

/// Why a subscription does not want an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotWanted {
    /// Stable code.
    pub code: &'static str,
    /// The reason, in words for the subscription's owner.
    pub why: String,
}

/// Why a subscription as it is does not want an event of this type with this data; none if it does.
pub(super) fn not_wanted(subscription: &Subscription, event_type: &EventType, data: &EventData, _registry: &Registry) -> Option<NotWanted> {
    let reason = |code, why| Some(NotWanted { code, why });
    match subscription.refusal(event_type, data)? {
        Refusal::Type => {
            let wanted = subscription.spec.event_types.join("`, `");
            let must_be_named = !event_type.is_matched_by_wildcards() && wanted.contains('*');
            let hint = if must_be_named { format!("; wildcards do not match `{event_type}`, it must be named") } else { String::new() };
            reason("type_not_wanted", format!("the subscription wants `{wanted}`, and the event is `{event_type}`{hint}"))
        }
        Refusal::Scope => reason(
            "scope_event",
            format!("the subscription is at event level, which leaves out `{event_type}` unless `event_types` names it exactly"),
        ),
        Refusal::Field { name, wanted } => {
            let has = match data.fields().get(name) {
                None | Some(serde_json::Value::Null) => "the event has no value of it".to_owned(),
                Some(value) => match data.scalar(name) {
                    Some(text) => format!("the event has `{}`", shortened(&text)),
                    None if value.is_array() => "the event has a list, which is never equal to a value".to_owned(),
                    None => "the event has an object, which is never equal to a value".to_owned(),
                },
            };
            let mut listed = wanted.iter().take(VALUES_SHOWN).map(|value| shortened(value)).collect::<Vec<_>>().join("`, `");
            if wanted.len() > VALUES_SHOWN {
                listed.push_str(&format!("` and {} more", wanted.len() - VALUES_SHOWN));
            } else {
                listed.push('`');
            }
            reason("filtered", format!("the condition on `{name}` does not hold: {has}, and the subscription wants `{listed}"))
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARACTERS_SHOWN {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(VALUE_CHARACTERS_SHOWN).collect::<String>())
}
