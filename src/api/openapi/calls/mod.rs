//! The description of every call, one file per resource.

pub(in crate::api) mod accounts;
pub(in crate::api) mod actions;
pub(in crate::api) mod deliveries;
pub(in crate::api) mod event_types;
pub(in crate::api) mod events;
pub(in crate::api) mod inbound;
pub(in crate::api) mod keys;
pub(in crate::api) mod offers;
pub(in crate::api) mod replays;
pub(in crate::api) mod server;
pub(in crate::api) mod stats;
pub(in crate::api) mod subscriptions;
pub(in crate::api) mod templates;
