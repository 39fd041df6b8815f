//! What is said of the calls about deliveries.

use super::super::operation::{Operation, Tag};
use super::super::schemas::OneOf;
use crate::api::deliveries::DeliveryJson;
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::id::{DeliveryId, EventId, SubscriptionId};

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_deliveries", Tag::Deliveries, "List deliveries")
        .of_account()
        .query::<SubscriptionId>("subscription", "Only what is owed to this subscription.")
        .query::<EventId>("event", "Only what is owed for this event.")
        .query::<OneOf<StateName>>("state", "Only those in one of these states.")
        .query::<Timestamp>("since", "Accepted from this time on.")
        .query::<Timestamp>("until", "Accepted up to this time.")
        .page()
        .lists::<DeliveryJson>("A page of deliveries.")
        .reads_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_delivery", Tag::Deliveries, "Read a delivery and its attempts")
        .path::<DeliveryId>("id", "The delivery.")
        .answers::<DeliveryJson>(200, "The delivery, with `attempt_log`.")
        .reads_store()
}

pub(in crate::api) fn retry() -> Operation {
    Operation::new("retry_delivery", Tag::Deliveries, "Send a delivery again")
        .describe("It is due now, with its counters kept, and rendered with the present template.")
        .path::<DeliveryId>("id", "The delivery; pending or dead.")
        .answers::<DeliveryJson>(200, "The delivery.")
        .fails(&["delivery_decided"])
        .writes_store()
}

pub(in crate::api) fn cancel() -> Operation {
    Operation::new("cancel_delivery", Tag::Deliveries, "Cancel a delivery")
        .path::<DeliveryId>("id", "The delivery; pending or dead.")
        .answers::<DeliveryJson>(200, "The delivery.")
        .fails(&["delivery_decided"])
        .writes_store()
}
