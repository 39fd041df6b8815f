//! The event types in one list, and looking things up in it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::field::{Field, Provider};
use super::{action, click, inquiry, job, operation, product, tracking_value};

/// A group of event types that people switch on and off together.
///
/// A word for pages and for the `EventFamily` macro. Nothing stores it, so a
/// family can be added without touching old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// An action is tracked, modified or reversed.
    ActionLifeCycle,
    /// An action clears.
    ActionClearing,
    /// An action locks or is paid, on dates the contract fixes.
    ActionSettlement,
    /// A partner asks about an action.
    ActionInquiry,
    /// A partner asks for a promotion code, an address or a phone number.
    TrackingValueRequest,
    /// A product of a catalogue changes.
    ProductDataChange,
    /// An export ends.
    JobCompletion,
    /// A link is clicked.
    Click,
    /// Somebody tries the connection.
    Test,
    /// Something the operator of the dispatcher should know.
    Operation,
}

impl Family {
    /// The heading people see.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ActionLifeCycle => "Action Life Cycle Events",
            Self::ActionClearing => "Action Clearing Events",
            Self::ActionSettlement => "Action Settlement Events",
            Self::ActionInquiry => "Action Inquiry Events",
            Self::TrackingValueRequest => "Tracking Value Request Events",
            Self::ProductDataChange => "Product Data Change Events",
            Self::JobCompletion => "Job Completion Events",
            Self::Click => "Click Events",
            Self::Test => "Test Events",
            Self::Operation => "Operational Events",
        }
    }

    /// The value of the `EventFamily` macro.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ActionLifeCycle => "action_life_cycle",
            Self::ActionClearing => "action_clearing",
            Self::ActionSettlement => "action_settlement",
            Self::ActionInquiry => "action_inquiry",
            Self::TrackingValueRequest => "tracking_value_request",
            Self::ProductDataChange => "product_data_change",
            Self::JobCompletion => "job_completion",
            Self::Click => "click",
            Self::Test => "test",
            Self::Operation => "operation",
        }
    }
}

/// One built-in event type and everything known of it.
#[derive(Debug, Clone, Copy)]
pub struct TypeEntry {
    /// The dotted name, such as `action.tracked`.
    pub name: &'static str,
    /// The family it belongs to.
    pub family: Family,
    /// One sentence: what happened.
    pub summary: &'static str,
    /// Whether wildcards match it. If not, it is stored, and sent only to
    /// subscriptions that name it: neither `action.*` nor `*` is enough.
    pub default_sent: bool,
    /// Its fields in the order a person would tell them, those of the
    /// dispatcher ([`Provider::System`]) last.
    pub fields: &'static [Field],
    /// The idempotency key of the sample event.
    pub(super) sample_key: &'static str,
    /// When the sample event happened, RFC 3339 in UTC.
    pub(super) sample_occurred_at: &'static str,
    /// Where the sample differs from the examples of the fields.
    pub(super) sample_values: &'static [(&'static str, &'static str)],
}

impl TypeEntry {
    /// What happened, in one word: the name's last part, the value of the
    /// `EventKind` macro.
    pub fn kind(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The field of this name, if the type has it.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields that a sender puts into `data`.
    pub fn sent_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.fields.iter().filter(|field| field.provider == Provider::Sender)
    }
}

/// All built-in event types, in the order pages show them.
pub fn types() -> impl Iterator<Item = &'static TypeEntry> {
    TYPES.iter().copied()
}

/// The event type of this exact name.
pub fn find(name: &str) -> Option<&'static TypeEntry> {
    types().find(|entry| entry.name == name)
}

/// Whether built-in types share this first part of a name, such as `action`.
pub fn is_built_in_prefix(part: &str) -> bool {
    types().any(|entry| entry.name.split('.').next() == Some(part))
}

/// The field of this exact name in any type's catalogue; the first type that
/// has it wins.
///
/// A name found here is known in every template, whatever the template's
/// subscription is for.
pub fn known_field(name: &str) -> Option<&'static Field> {
    FIELDS_BY_NAME.get(name).copied()
}

/// Every field by its name: each field of each event is looked up here when the event comes in.
static FIELDS_BY_NAME: LazyLock<HashMap<&'static str, &'static Field>> = LazyLock::new(|| {
    let mut fields = HashMap::new();
    for field in types().flat_map(|entry| entry.fields) {
        fields.entry(field.name).or_insert(field);
    }
    fields
});

/// Whether entries of any known list have a field of this name.
///
/// Inside `join` a name is looked up here when the list is not known.
pub fn is_item_field(name: &str) -> bool {
    types().flat_map(|entry| entry.fields).filter_map(|field| field.field_type.item_fields()).flatten().any(|field| field.name == name)
}

static TYPES: [&TypeEntry; 16] = [
    &action::TRACKED,
    &action::MODIFIED,
    &action::REVERSED,
    &action::CLEARED,
    &action::LOCKED,
    &action::PAID,
    &inquiry::CREATED,
    &inquiry::RESOLVED,
    &tracking_value::REQUEST_CREATED,
    &product::CHANGED,
    &job::COMPLETED,
    &click::RECORDED,
    &operation::TEST_PING,
    &operation::SUBSCRIPTION_FAILING,
    &operation::SUBSCRIPTION_RECOVERED,
    &operation::DELIVERY_DEAD,
];
