//! What is said of the calls about replays.

use schemars::JsonSchema;

use super::super::operation::{Operation, Tag};
use crate::api::replays::NewReplay;
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::AccountId;
use crate::id::{ReplayId, SubscriptionId};
use crate::queue::ReplayState;

/// Many decided deliveries of a subscription that are sent again.
#[derive(JsonSchema)]
#[schemars(rename = "Replay")]
#[expect(dead_code, reason = "it stands for its schema")]
struct ReplayAnswer {
    id: ReplayId,
    subscription: SubscriptionId,
    account: AccountId,
    /// Which decided deliveries.
    states: Vec<StateName>,
    /// Only those created at or after.
    since: Option<Timestamp>,
    /// Only those created before.
    until: Option<Timestamp>,
    /// Most deliveries that are made due in a second; null for as fast as the receiver takes them.
    per_second: Option<f64>,
    /// Whether it only counts.
    dry_run: bool,
    state: ReplayState,
    /// How many deliveries it is about, as far as they are counted.
    matched: u64,
    /// How many were made due.
    done: u64,
    /// How many were not, since something else was done with them meanwhile.
    skipped: u64,
    created_at: Timestamp,
    /// When it was over; null if it is not.
    finished_at: Option<Timestamp>,
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_replays", Tag::Replays, "List replays")
        .of_account()
        .query::<SubscriptionId>("subscription", "Only those of this subscription.")
        .page()
        .lists::<ReplayAnswer>("A page of replays.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_replay", Tag::Replays, "Send decided deliveries again")
        .describe("Behind live traffic, with their ids kept. It survives a restart.")
        .takes::<NewReplay>("Which deliveries of which subscription.")
        .answers::<ReplayAnswer>(201, "The replay.")
        .answers::<ReplayAnswer>(200, "With `dry_run`: how many deliveries it would be about.")
        .fails(&["too_many_replays"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_replay", Tag::Replays, "Read how far a replay is")
        .path::<ReplayId>("id", "The replay.")
        .answers::<ReplayAnswer>(200, "The replay.")
}

pub(in crate::api) fn cancel() -> Operation {
    Operation::new("cancel_replay", Tag::Replays, "Cancel a replay")
        .describe("What was made due stays so.")
        .path::<ReplayId>("id", "The replay.")
        .answers::<ReplayAnswer>(200, "The replay.")
        .fails(&["replay_over"])
        .writes_store()
}
