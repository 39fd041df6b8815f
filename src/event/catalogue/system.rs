//! The fields every event type has, filled in by the dispatcher.

use super::field::{Field, FieldType, Provider};

pub(super) const SYSTEM: &[Field] = &[
    filled_in(
        "NotificationId",
        FieldType::Text,
        "Id of this notification; it stays the same on every retry, so a receiver can drop repeats by it.",
        "dlv_01J7E8Z4Q9X2M5T6V7W8Y9A0B1",
    ),
    filled_in("EventFamily", FieldType::Text, "Family the event belongs to, such as `action_life_cycle`.", "action_life_cycle"),
    filled_in("EventKind", FieldType::Text, "What happened, the last part of the event type, such as `tracked` or `reversed`.", "tracked"),
    filled_in("SentDate", FieldType::Date, "When this request was sent; it differs from one retry to the next.", "2024-09-10T17:51:25Z"),
    filled_in("Attempt", FieldType::Integer, "Number of this request for this notification, counted from 1.", "1"),
];

const fn filled_in(name: &'static str, field_type: FieldType, meaning: &'static str, example: &'static str) -> Field {
    Field { name, field_type, meaning, example, provider: Provider::System }
}
