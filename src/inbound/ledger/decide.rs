//! What follows from an advertiser's report.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::action::{ActionState, Source, Standing, Step, Story, less};
use crate::clock::Timestamp;
use crate::event::catalogue::{self, FieldType};
use crate::inbound::{Conflict, Report, ReportedStatus};

/// What follows from a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// These events, in order, and this state. Its story lacks them, since their ids are not given yet; the
    /// place of a new one is empty.
    Changed {
        /// The state after all of them.
        state: Box<ActionState>,
        /// What happened.
        events: Vec<LedgerEvent>,
    },
    /// Nothing: it says what is known.
    Repeated,
    /// Nothing but that it is counted.
    Conflicting {
        /// The state with one conflict more.
        state: Box<ActionState>,
        /// In what it contradicts.
        reason: Conflict,
    },
}

/// An event that follows from a report.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEvent {
    /// What happened.
    pub step: Step,
    /// When.
    pub occurred_at: Timestamp,
    /// The macro values, all of them texts.
    pub data: Map<String, Value>,
}

/// What a report comes to, by what is known of its action.
#[must_use]
pub fn decide(present: Option<&ActionState>, report: &Report) -> Decision {
    let Some(present) = present else { return first_report(report) };
    match contradiction(present, report) {
        Some(reason) => {
            let state = ActionState { conflicts: present.conflicts + 1, changed_at: report.at.max(present.changed_at), ..present.clone() };
            Decision::Conflicting { state: Box::new(state), reason }
        }
        None => next_report(present, report),
    }
}

/// In what a report contradicts what is known.
fn contradiction(present: &ActionState, report: &Report) -> Option<Conflict> {
    fn differs<T: PartialEq + ?Sized>(known: Option<&T>, reported: &T) -> bool {
        known.is_some_and(|known| known != reported)
    }
    if differs(present.offer.as_ref(), &report.offer.id) {
        return Some(Conflict::OtherOffer);
    }
    if present.source == Source::S2s && differs(present.action.as_ref(), &report.action.name) {
        return Some(Conflict::OtherAction);
    }
    if differs(present.click.as_ref(), &report.click.id) {
        return Some(Conflict::OtherClick);
    }
    if report.customer.as_ref().is_some_and(|customer| differs(present.customer.as_ref(), customer)) {
        return Some(Conflict::OtherCustomer);
    }
    let same_status = match (present.state, report.status) {
        (Standing::Pending, _) | (Standing::Locked | Standing::Cleared | Standing::Paid, ReportedStatus::Approved) => true,
        (Standing::Reversed, status) => status == ReportedStatus::Rejected,
        _ => false,
    };
    if !same_status {
        return Some(Conflict::FinalStatus);
    }
    (present.state != Standing::Pending && has_other_price(present, report)).then_some(Conflict::FinalPrice)
}

/// Whether a report gives another price than the one that is known. One without a price gives none.
fn has_other_price(present: &ActionState, report: &Report) -> bool {
    report.price.is_some_and(|price| price != present.price.or(present.amount).unwrap_or_default())
}

/// The first report of an action: what is final at once was tracked before.
fn first_report(report: &Report) -> Decision {
    // Without a price there is nothing to take a percentage of; the caller sees to it that there is one.
    let (amount, payout) =
        report.earned().map_or((report.price.unwrap_or_default(), Decimal::ZERO), |earned| (earned.amount, earned.payout));
    let state = ActionState {
        account: report.click.account.clone(),
        action_id: report.lead.to_string(),
        advertiser: None,
        offer: None,
        action: None,
        request_id: None,
        click: None,
        customer: None,
        state: Standing::Pending,
        amount: None,
        payout: None,
        intended_amount: Some(amount),
        intended_payout: Some(payout),
        price: report.price,
        currency: None,
        status_word: None,
        comment: None,
        source: Source::S2s,
        test: report.click.is_test(),
        place: String::new(),
        created_at: report.at,
        changed_at: report.at,
        occurred_at: report.at,
        events: Story::default(),
        conflicts: 0,
    };
    let mut teller = Teller::new(state, report);
    teller.tell(Step::Tracked, amount, payout);
    teller.end();
    teller.decision()
}

/// A later report that contradicts nothing.
fn next_report(present: &ActionState, report: &Report) -> Decision {
    let mut teller = Teller::new(present.clone(), report);
    // What is rejected is worth nothing, whatever price comes with it.
    let is_priced = present.state == Standing::Pending && report.status != ReportedStatus::Rejected && has_other_price(present, report);
    if let Some(earned) = report.earned().filter(|_| is_priced) {
        teller.tell(Step::Modified, earned.amount, earned.payout);
    }
    teller.end();
    if teller.events.is_empty() { Decision::Repeated } else { teller.decision() }
}

/// Tells what happens to an action, one event after another.
struct Teller<'a> {
    state: ActionState,
    report: &'a Report,
    events: Vec<LedgerEvent>,
}

impl<'a> Teller<'a> {
    /// What the report names is known from now on.
    fn new(present: ActionState, report: &'a Report) -> Self {
        let Report { offer, action, click, request_id, price, customer, comment, at, .. } = report;
        let state = ActionState {
            advertiser: Some(offer.account.clone()),
            offer: Some(offer.id.clone()),
            action: Some(action.name.clone()),
            request_id: Some(request_id.clone()),
            click: Some(click.id.clone()),
            customer: customer.clone().or(present.customer),
            price: price.or(present.price),
            currency: Some(offer.spec.currency.to_string()),
            comment: comment.clone().or(present.comment),
            changed_at: (*at).max(present.changed_at),
            occurred_at: (*at).max(present.occurred_at),
            intended_amount: present.intended_amount.or(present.amount),
            intended_payout: present.intended_payout.or(present.payout),
            ..present
        };
        Self { state, report, events: Vec::new() }
    }

    /// What the reported status brings.
    fn end(&mut self) {
        let (amount, payout) = (self.state.amount.unwrap_or_default(), self.state.payout.unwrap_or_default());
        match (self.report.status, self.state.state) {
            (ReportedStatus::Approved, standing @ (Standing::Pending | Standing::Locked)) => {
                if self.report.action.locks && standing == Standing::Pending {
                    self.tell(Step::Locked, amount, payout);
                }
                self.tell(Step::Cleared, amount, payout);
            }
            // Zero with as many places as before.
            (ReportedStatus::Rejected, Standing::Pending) => self.tell(Step::Reversed, less(amount, amount), less(payout, payout)),
            _ => {}
        }
    }

    fn tell(&mut self, step: Step, amount: Decimal, payout: Decimal) {
        let before = (self.state.amount.unwrap_or_default(), self.state.payout.unwrap_or_default());
        let standing = step.standing_after(Some(self.state.state));
        let is_reported = matches!(
            (standing, self.report.status),
            (Standing::Pending, ReportedStatus::Hold)
                | (Standing::Locked | Standing::Cleared, ReportedStatus::Approved)
                | (Standing::Reversed, ReportedStatus::Rejected)
        );
        self.state.state = standing;
        (self.state.amount, self.state.payout) = (Some(amount), Some(payout));
        if is_reported {
            self.state.status_word = Some(self.report.status_word.clone());
        }
        let word = if is_reported { self.report.status_word.as_str() } else { "" };
        let data = self.data(standing, word, (less(amount, before.0), less(payout, before.1)));
        self.events.push(LedgerEvent { step, occurred_at: self.state.occurred_at, data });
    }

    /// The fields of an event, as texts.
    fn data(&self, standing: Standing, word: &str, (delta_amount, delta_payout): (Decimal, Decimal)) -> Map<String, Value> {
        let (state, report) = (&self.state, self.report);
        let (offer, click) = (&report.offer, &report.click);
        let text = |amount: Option<Decimal>| Some(amount.unwrap_or_default().to_string());
        let campaign = click.campaign_id.clone().or_else(|| offer.spec.campaign_id.clone()).unwrap_or_else(|| offer.id.to_string());
        let cleared_at = (standing == Standing::Cleared).then(|| state.occurred_at.to_string());
        let locked_at = matches!(standing, Standing::Locked | Standing::Cleared).then(|| state.occurred_at.to_string());
        let fields = [
            ("CampaignId", Some(campaign)),
            ("CampaignName", Some(offer.spec.name.clone())),
            ("ActionTrackerName", Some(report.action.name.clone())),
            ("ActionType", Some(report.action.action_type.clone())),
            ("MediaPartnerId", Some(state.account.to_string())),
            ("ActionId", Some(state.action_id.clone())),
            ("RequestId", Some(report.request_id.clone())),
            ("Status", Some(standing.status().into())),
            ("StatusDetail", Some(word.into())),
            ("Payout", text(state.payout)),
            ("DeltaPayout", Some(delta_payout.to_string())),
            ("IntendedPayout", text(state.intended_payout)),
            ("Amount", text(state.amount)),
            ("DeltaAmount", Some(delta_amount.to_string())),
            ("IntendedAmount", text(state.intended_amount)),
            ("Currency", state.currency.clone()),
            ("EventDate", Some(state.created_at.to_string())),
            ("CreationDate", Some(state.created_at.to_string())),
            ("LockingDate", locked_at),
            ("ClearedDate", cleared_at),
            ("ReferringType", (!click.unknown).then(|| "CLICK_COOKIE".into())),
            ("ReferringDomain", click.referring_domain.clone()),
            ("LandingPageUrl", click.landing_url.clone()),
            ("RefCustomerCountry", click.country.clone()),
            ("RefClickId", Some(click.id.clone())),
            ("SharedId", click.shared_id.clone()),
            ("SubId1", click.sub_id1.clone()),
            ("SubId2", click.sub_id2.clone()),
            ("SubId3", click.sub_id3.clone()),
            ("PromoCode", click.promo_code.clone()),
            ("Comment", report.comment.clone()),
        ];
        let own = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
        let extra = report.extra.iter().filter(|(name, _)| !is_ledger_field(name));
        own.chain(extra.map(|(name, value)| (name.clone(), Value::String(value.clone())))).collect()
    }

    fn decision(self) -> Decision {
        Decision::Changed { state: Box::new(self.state), events: self.events }
    }
}

/// The fields that the ledger fills itself; the partner's name comes from its account.
const OWN_FIELDS: [&str; 32] = [
    "CampaignId",
    "CampaignName",
    "ActionTrackerName",
    "ActionType",
    "MediaPartnerId",
    "MediaPartnerName",
    "ActionId",
    "RequestId",
    "Status",
    "StatusDetail",
    "Payout",
    "DeltaPayout",
    "IntendedPayout",
    "Amount",
    "DeltaAmount",
    "IntendedAmount",
    "Currency",
    "EventDate",
    "CreationDate",
    "LockingDate",
    "ClearedDate",
    "ReferringType",
    "ReferringDomain",
    "LandingPageUrl",
    "RefCustomerCountry",
    "RefClickId",
    "SharedId",
    "SubId1",
    "SubId2",
    "SubId3",
    "PromoCode",
    "Comment",
];

/// Whether an event of a report has this field from the ledger, or has a list in it: extra parameters do not go there.
#[must_use]
pub fn is_ledger_field(name: &str) -> bool {
    let is_list = || catalogue::known_field(name).is_some_and(|field| matches!(field.field_type, FieldType::List(_)));
    OWN_FIELDS.contains(&name) || is_list()
}
