//! The audit log: who changed what. Keys of an account see what concerns it.

use std::net::IpAddr;

use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Accounts, Caller, Narrowed};
use super::page::{Listed, Parameters};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::AuditId;
use crate::queue::{AuditEntry, AuditQuery, KeyRef};

/// An entry as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub(super) struct EntryJson {
    id: AuditId,
    at: Timestamp,
    actor: ActorJson,
    /// Whose account it concerns; null: the server as a whole.
    account: Option<AccountId>,
    /// What was done, such as `subscription.created`.
    action: String,
    /// The id of what was changed; null if there is none.
    object: Option<String>,
    /// JSON pointers to what is different from before, never values.
    changes: Vec<String>,
}

/// Who did it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
struct ActorJson {
    /// The key; null: the server itself, or somebody without a valid key.
    key: Option<KeyRef>,
    /// What people call the key.
    name: Option<String>,
    /// From where; null: from inside of the server, or not for this caller to see.
    #[schemars(with = "Option<String>")]
    address: Option<IpAddr>,
}

/// An entry as a caller reads it. From where the operator works is not the business of an account.
fn entry_json(entry: &AuditEntry, caller: &Caller) -> EntryJson {
    let shows_address = caller.accounts() == Accounts::All || entry.actor.account.as_ref().is_some_and(|account| caller.sees(account));
    EntryJson {
        id: entry.id,
        at: entry.at,
        actor: ActorJson { key: entry.actor.key, name: entry.actor.name.clone(), address: entry.actor.address.filter(|_| shows_address) },
        account: entry.account.clone(),
        action: entry.action.clone(),
        object: entry.object.clone(),
        changes: entry.changes.clone(),
    }
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let known = ["account", "actor", "action", "object", "since", "until", "limit", "cursor"];
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let account = caller.narrow(&state.queue.registry(), parameters.parse("account")?);
    let mut wanted = AuditQuery {
        account: None,
        actor: parameters.parse("actor")?,
        action: parameters.get("action").map(str::to_owned),
        object: parameters.get("object").map(str::to_owned),
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?.map(AuditId::from_raw),
        limit: parameters.limit()?,
    };
    let Narrowed::To(account) = account else { return Ok(Listed::empty()) };
    wanted.account = account;
    let page = state.queue.audit_log(&wanted).await?;
    Ok(Listed::new(page.items.iter().map(|entry| entry_json(entry, &caller)).collect(), page.next))
}
