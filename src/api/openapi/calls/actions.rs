//! What is said of the calls about actions.

use super::super::operation::{Operation, Tag};
use super::super::schemas::{OneOf, Text};
use crate::api::actions::ActionJson;
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::inbound::Standing;

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_actions", Tag::Inbound, "List actions")
        .describe("Where each conversion stands, whether an advertiser reported it or a platform emitted its events. A key of an account sees the actions in which it is the partner or the advertiser.")
        .query::<AccountId>("account", "Only those of this partner.")
        .query::<AccountId>("advertiser", "Only those of this advertiser.")
        .query::<OfferId>("offer", "Only those of this offer.")
        .query::<OneOf<Standing>>("state", "Only those in one of these states.")
        .query::<Timestamp>("since", "Came in first from this time on.")
        .query::<Timestamp>("until", "Came in first up to this time.")
        .page()
        .lists::<ActionJson>("A page of actions.")
        .reads_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_action", Tag::Inbound, "Read an action and its events")
        .describe("The advertiser does not see the values that the partner put on its link for itself alone, `SubId1` to `SubId3`.")
        .path::<AccountId>("account", "The partner.")
        .path::<Text>("action_id", "The action; of one that an advertiser reported, the lead's id.")
        .answers::<ActionJson>(200, "The action, with `events`.")
        .reads_store()
}
