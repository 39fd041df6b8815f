//! Events about the dispatcher itself: a ping, and what an operator should know.
//!
//! No wildcard matches them. A subscription that took `*` and failed would
//! otherwise be told of its own dead deliveries, and each telling would be
//! another one that dies.

use super::field::{Field, concat, date, integer, text};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static PING_FIELDS: [Field; PING.len() + SYSTEM.len()] = concat(PING, SYSTEM);
static FIELDS: [Field; OPERATION.len() + SYSTEM.len()] = concat(OPERATION, SYSTEM);

pub(super) static TEST_PING: TypeEntry = TypeEntry {
    name: "test.ping",
    family: Family::Test,
    summary: "Somebody wants to see whether notifications arrive.",
    default_sent: false,
    fields: &PING_FIELDS,
    sample_key: "test-ping-1",
    sample_occurred_at: "2024-09-10T12:00:00Z",
    sample_values: &[],
};

pub(super) static SUBSCRIPTION_FAILING: TypeEntry = TypeEntry {
    name: "subscription.failing",
    family: Family::Operation,
    summary: "A subscription's receiver keeps failing; its deliveries wait and one is tried now and then.",
    default_sent: false,
    fields: &FIELDS,
    sample_key: "sub_01J7E8Q2M4K6N8P0R2T4V6X8Z0:failing:1",
    sample_occurred_at: "2024-09-10T18:30:00Z",
    sample_values: &[("EventDate", "2024-09-10T18:30:00Z"), ("Attempts", "10")],
};

pub(super) static SUBSCRIPTION_RECOVERED: TypeEntry = TypeEntry {
    name: "subscription.recovered",
    family: Family::Operation,
    summary: "A subscription that was failing delivers again.",
    default_sent: false,
    fields: &FIELDS,
    sample_key: "sub_01J7E8Q2M4K6N8P0R2T4V6X8Z0:recovered:1",
    sample_occurred_at: "2024-09-10T20:05:00Z",
    sample_values: &[("EventDate", "2024-09-10T20:05:00Z"), ("Outcome", "delivered"), ("Attempts", "12"), ("Reason", "")],
};

pub(super) static DELIVERY_DEAD: TypeEntry = TypeEntry {
    name: "delivery.dead",
    family: Family::Operation,
    summary: "A delivery was given up and waits for a person.",
    default_sent: false,
    fields: &FIELDS,
    sample_key: "dlv_01J7E8Z4Q9X2M5T6V7W8Y9A0B1:dead:1",
    sample_occurred_at: "2024-09-13T05:10:00Z",
    sample_values: &[],
};

const PING: &[Field] = &[
    text("Message", "Text for whoever reads the receiver's log.", "Hello from Postrider"),
    date("EventDate", "When the ping was asked for.", "2024-09-10T12:00:00Z"),
];

const OPERATION: &[Field] = &[
    text("SubscriptionId", "Id of the subscription.", "sub_01J7E8Q2M4K6N8P0R2T4V6X8Z0"),
    text("SubscriptionName", "Name of the subscription.", "Clearing events to our tracker"),
    text("DeliveryId", "Id of the delivery that was given up, or whose attempt brought the change.", "dlv_01J7E8Z4Q9X2M5T6V7W8Y9A0B1"),
    text("EventId", "Id of the event that delivery carries.", "evt_01J7E8Y7C3F5H7J9K1M3N5P7Q9"),
    text("ActionId", "Id of the action that event is about; empty if it is about none.", "1000.4636.158133"),
    text("Outcome", "What the last attempt came to, such as `delivered`, `timed_out` or `refused`.", "unreachable"),
    integer("Attempts", "How many requests were made for that delivery.", "16"),
    text("Reason", "What went wrong, in words for a person; empty if nothing did.", "connection refused by tracker.example"),
    date("EventDate", "When it happened.", "2024-09-13T05:10:00Z"),
];
