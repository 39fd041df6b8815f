//! The audit log: who changed what. Keys of an account see what concerns it.

use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::caller::{Accounts, Caller, Narrowed};
use super::page::{Listed, Parameters};
use super::{ApiError, ApiState};
use crate::id::AuditId;
use crate::queue::{AuditEntry, AuditQuery};

/// An entry as callers read it. From where the operator works is not the business of an account.
fn entry_json(entry: &AuditEntry, caller: &Caller) -> Value {
    let shows_address = caller.accounts() == Accounts::All || entry.actor.account.as_ref().is_some_and(|account| caller.sees(account));
    json!({
        "id": entry.id,
        "at": entry.at,
        "actor": {
            "key": entry.actor.key,
            "name": entry.actor.name,
            "address": entry.actor.address.filter(|_| shows_address),
        },
        "account": entry.account,
        "action": entry.action,
        "object": entry.object,
        "changes": entry.changes,
    })
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
