//! Where an action stands after an event that a platform emitted.

use rust_decimal::Decimal;

use super::action::{ActionState, Source, Step, Story, less};
use crate::clock::Timestamp;
use crate::event::{AccountId, EventData, EventType};
use crate::id::EventId;

/// Longest action id that has a place in the ledger, in bytes.
pub const ACTION_ID_BYTES_MAX: usize = 255;
/// Longest text that is taken over from an event, in characters.
const TEXT_MAX: usize = 255;

/// What an event that a platform emitted says of its action.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionFact {
    /// Whose action it is.
    pub account: AccountId,
    /// The action.
    pub action_id: String,
    step: Step,
    occurred_at: Timestamp,
    received_at: Timestamp,
    place: String,
    amount: Option<Decimal>,
    payout: Option<Decimal>,
    intended_amount: Option<Decimal>,
    intended_payout: Option<Decimal>,
    currency: Option<String>,
    status_word: Option<String>,
    action: Option<String>,
    click: Option<String>,
}

impl ActionFact {
    /// What an event says of its action; none if it is about no action, or its id is longer than
    /// [`ACTION_ID_BYTES_MAX`]. `place` is for an action that is not known yet.
    #[must_use]
    pub fn of(
        account: &AccountId,
        event_type: &EventType,
        (occurred_at, received_at): (Timestamp, Timestamp),
        data: &EventData,
        place: String,
    ) -> Option<Self> {
        let step = Step::of(event_type)?;
        let action_id = data.scalar("ActionId").filter(|id| (1..=ACTION_ID_BYTES_MAX).contains(&id.len()))?;
        let number = |name| data.scalar(name).and_then(|text| read_amount(&text));
        let text = |name| {
            let text = data.scalar(name).filter(|text| !text.is_empty());
            text.map(|text| if text.len() <= TEXT_MAX { text } else { text.chars().take(TEXT_MAX).collect() })
        };
        Some(Self {
            account: account.clone(),
            action_id,
            step,
            occurred_at,
            received_at,
            place,
            amount: number("Amount"),
            payout: number("Payout"),
            intended_amount: number("IntendedAmount"),
            intended_payout: number("IntendedPayout"),
            currency: text("Currency"),
            status_word: text("StatusDetail"),
            action: text("ActionTrackerName"),
            click: text("RefClickId"),
        })
    }

    /// Where it stands in the lists of actions, if the action is new.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

/// Where an action stands after an event that a platform emitted. One that happened before the latest that is
/// known is part of the story and changes nothing else.
#[must_use]
pub fn apply(present: Option<ActionState>, fact: &ActionFact, event: EventId) -> ActionState {
    let mut state = match present {
        None => ActionState {
            account: fact.account.clone(),
            action_id: fact.action_id.clone(),
            advertiser: None,
            offer: None,
            action: None,
            request_id: None,
            click: None,
            customer: None,
            state: fact.step.standing_after(None),
            amount: None,
            payout: None,
            intended_amount: None,
            intended_payout: None,
            price: None,
            currency: None,
            status_word: None,
            comment: None,
            source: Source::Events,
            test: false,
            place: fact.place.clone(),
            created_at: fact.received_at,
            changed_at: fact.received_at,
            occurred_at: fact.occurred_at,
            events: Story::default(),
            conflicts: 0,
        },
        Some(present) => present,
    };
    state.events.add(event);
    state.changed_at = state.changed_at.max(fact.received_at);
    if fact.occurred_at < state.occurred_at {
        return state;
    }
    state.occurred_at = fact.occurred_at;
    state.state = fact.step.standing_after(Some(state.state));
    let is_reversed = fact.step == Step::Reversed;
    // A reversal that does not say what is left leaves nothing.
    let after = |told: Option<Decimal>, before: Option<Decimal>| {
        told.or(if is_reversed { before.map(|before| less(before, before)) } else { before })
    };
    state.intended_amount = fact.intended_amount.or(state.intended_amount).or(state.amount).or(fact.amount);
    state.intended_payout = fact.intended_payout.or(state.intended_payout).or(state.payout).or(fact.payout);
    state.amount = after(fact.amount, state.amount);
    state.payout = after(fact.payout, state.payout);
    state.currency = fact.currency.clone().or(state.currency);
    state.status_word.clone_from(&fact.status_word);
    state.action = state.action.or_else(|| fact.action.clone());
    state.click = state.click.or_else(|| fact.click.clone());
    state
}

/// A number as events may write it; none if it cannot be held with all its digits.
fn read_amount(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}
