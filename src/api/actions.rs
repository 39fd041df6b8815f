//! Actions: where each conversion stands, by whichever way it came. Partner and advertiser see it.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Accounts, Caller};
use super::events::EventJson;
use super::page::{Listed, Parameters};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::inbound::{ActionState, Source, Standing};
use crate::queue::ActionQuery;

/// Fields that a partner put on its link for itself alone.
const OF_PARTNER_ALONE: [&str; 3] = ["SubId1", "SubId2", "SubId3"];

/// An action as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Action")]
pub(super) struct ActionJson {
    /// The partner.
    account: AccountId,
    /// The action; of one that an advertiser reported, the lead's id.
    action_id: String,
    /// The advertiser; null if it was not reported here.
    advertiser: Option<AccountId>,
    /// The offer; null if it was not reported here.
    offer: Option<OfferId>,
    /// What came of the click, by the offer's or the platform's name for it.
    action: Option<String>,
    /// The advertiser's own id of it.
    request_id: Option<String>,
    /// The click.
    click: Option<String>,
    /// The advertiser's id of the customer.
    customer: Option<String>,
    state: Standing,
    /// What the advertiser earned, after all changes so far; null if it was not told.
    amount: Option<String>,
    /// What the partner earns, after all changes so far; null if it was not told.
    payout: Option<String>,
    /// The amount before anything was changed.
    intended_amount: Option<String>,
    /// The payout before anything was changed.
    intended_payout: Option<String>,
    currency: Option<String>,
    /// The advertiser's word for the state, or the platform's detail.
    status_word: Option<String>,
    /// What the advertiser says about it.
    comment: Option<String>,
    source: Source,
    /// Whether it belongs to a test run.
    test: bool,
    /// When it came in first.
    created_at: Timestamp,
    /// When it came in last.
    changed_at: Timestamp,
    /// When the latest of it happened, by the reporters' word.
    occurred_at: Timestamp,
    /// How many reports contradicted it.
    conflicts: u64,
    /// How many events it has.
    events_count: u64,
    /// Its events that are still kept, oldest first: of very many the first 8 and the last 56. Only of one action, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventJson>>,
}

impl ActionJson {
    fn of(action: ActionState) -> Self {
        let text = |amount: Option<_>| amount.map(|amount| ToString::to_string(&amount));
        let [amount, payout] = [action.amount, action.payout].map(text);
        let [intended_amount, intended_payout] = [action.intended_amount, action.intended_payout].map(text);
        Self {
            account: action.account,
            action_id: action.action_id,
            advertiser: action.advertiser,
            offer: action.offer,
            action: action.action,
            request_id: action.request_id,
            click: action.click,
            customer: action.customer,
            state: action.state,
            amount,
            payout,
            intended_amount,
            intended_payout,
            currency: action.currency,
            status_word: action.status_word,
            comment: action.comment,
            source: action.source,
            test: action.test,
            created_at: action.created_at,
            changed_at: action.changed_at,
            occurred_at: action.occurred_at,
            conflicts: action.conflicts,
            events_count: action.events.count,
            events: None,
        }
    }
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let known = ["account", "advertiser", "offer", "state", "since", "until", "limit", "cursor"];
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let wanted = ActionQuery {
        account: parameters.parse("account")?,
        advertiser: parameters.parse("advertiser")?,
        seen_by: match caller.accounts() {
            Accounts::One(own) => Some(own),
            Accounts::All => None,
        },
        offer: parameters.parse("offer")?,
        states: parameters.parse_all("state")?,
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?,
        limit: parameters.limit()?,
    };
    let page = state.queue.actions(&wanted).await?;
    Ok(Listed::new(page.items.into_iter().map(ActionJson::of).collect(), page.next))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path((account, action_id)): Path<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let not_found = || ApiError::not_found("action", &format!("{account}/{action_id}"));
    let partner: AccountId = account.parse().map_err(|_| not_found())?;
    let action = state.queue.action(&partner, &action_id).await?.ok_or_else(not_found)?;
    let is_partner = caller.sees(&action.account);
    if !is_partner && !action.advertiser.as_ref().is_some_and(|advertiser| caller.sees(advertiser)) {
        return Err(not_found());
    }
    let mut events = Vec::new();
    for id in action.events.events() {
        let Some(event) = state.queue.event(id).await? else { continue };
        events.push(if is_partner { EventJson::of(&event) } else { EventJson::without(&event, &OF_PARTNER_ALONE) });
    }
    Ok(Json(ActionJson { events: Some(events), ..ActionJson::of(action) }))
}
