//! The action ledger in the store: reports are judged and written, events are followed, rows are read and removed.
//!
//! A row is a document `Action`. Documents `ActionLog` list the rows of a partner, of an advertiser and of all
//! accounts in order of time, and a document `Lead` finds the row of a reported action by the lead's id alone.
//! A report is decided by what is read, and committed only if that is still so; else it is read again. Events
//! that platforms emit change rows inside of the store's writer, so that none waits for another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::accept::{EmitError, IncomingEvent};
use super::{Page, Queue, Registry};
use crate::clock::Timestamp;
use crate::event::{AccountId, EventData, OfferId};
use crate::id::EventId;
use crate::inbound::{
    ActionFact, ActionState, Customer, CustomerDecision, CustomerReport, Decision, LedgerEvent, Outcome, Report, Standing,
    action_document_id, apply, customer_document_id, decide, decide_customer,
};
use crate::store::{AcceptError, Direction, Document, DocumentChange, DocumentKind, DocumentQuery, Make, NewEvent, StoreError};

/// How often a report is decided again whose action was changed meanwhile. Reports of one action take turns,
/// so that only events that a platform emits about it can come in between.
const DECISIONS_MAX: u32 = 32;
/// How much longer the wait before each of them is: somebody who emits one event after another would else be first each time.
const DECISION_PAUSE: Duration = Duration::from_millis(1);
/// Log entries that are read together.
const STRIDE: usize = 100;
/// Log entries that one page looks at.
const ENTRIES_PER_PAGE_MAX: usize = 2_000;
/// Documents that one commit removes.
const REMOVED_PER_STEP: usize = 128;
/// Rows that one step of retention looks at.
const PRUNED_PER_STEP: usize = 200;
/// How many reports are decided at the same time at most, each of another action.
const STRIPES: usize = 1_024;

/// Makes the entry of the log of calls for an outcome. It must make one of the same kind and id for every outcome,
/// and the same one for the same: it is called to see what to write, and again when the ids of events are given.
pub type LogReport = Arc<dyn Fn(&Outcome) -> DocumentChange + Send + Sync>;

/// Lets reports of one action take turns.
#[derive(Debug)]
pub(super) struct Turns(Vec<tokio::sync::Mutex<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self(std::iter::repeat_with(Default::default).take(STRIPES).collect())
    }
}

impl Turns {
    async fn of(&self, lead: Uuid) -> tokio::sync::MutexGuard<'_, ()> {
        let stripe = usize::try_from(lead.as_u128() % STRIPES as u128).unwrap_or(0);
        self.0[stripe].lock().await
    }
}

/// Which actions to list.
#[derive(Debug, Clone, Default)]
pub struct ActionQuery {
    /// Only those of this partner.
    pub account: Option<AccountId>,
    /// Only those of this advertiser.
    pub advertiser: Option<AccountId>,
    /// Only those in which this account is partner or advertiser.
    pub seen_by: Option<AccountId>,
    /// Only those of this offer.
    pub offer: Option<OfferId>,
    /// Only those that stand so; none: all.
    pub states: Vec<Standing>,
    /// Only those that came in first at or after.
    pub since: Option<Timestamp>,
    /// Only those that came in first before.
    pub until: Option<Timestamp>,
    /// Only those before this place: where the last page ended.
    pub before: Option<u128>,
    /// How many at most.
    pub limit: usize,
}

impl ActionQuery {
    fn wants(&self, action: &ActionState) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let is_seen = |account: &AccountId| action.account == *account || action.advertiser.as_ref() == Some(account);
        is(self.account.as_ref(), Some(&action.account))
            && is(self.advertiser.as_ref(), action.advertiser.as_ref())
            && is(self.offer.as_ref(), action.offer.as_ref())
            && self.seen_by.as_ref().is_none_or(is_seen)
            && (self.states.is_empty() || self.states.contains(&action.state))
    }

    /// The log with the fewest entries that holds all that is wanted.
    fn log(&self) -> String {
        let account = self.seen_by.as_ref().or(self.account.as_ref()).or(self.advertiser.as_ref());
        log_prefix(account)
    }
}

/// Where the row of a lead is.
#[derive(Debug, Serialize, Deserialize)]
struct LeadRow {
    account: AccountId,
    action: String,
}

/// A row as it was read, and what it is found by.
struct Found {
    id: String,
    revision: u64,
    state: Option<ActionState>,
    /// Whether the lead's id finds it.
    has_lead: bool,
}

impl Queue {
    /// Decides a checked report and writes what it brings with the entry of the log, in one commit, on disk when
    /// this returns.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored, the entry neither.
    pub async fn record_report(&self, report: &Report, log: LogReport) -> Result<Outcome, EmitError> {
        let _turn = self.turns.of(report.lead).await;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_report(report, &log).await {
                Err(EmitError::Accept(AcceptError::DocumentChanged { .. })) if tries < DECISIONS_MAX => {
                    tokio::time::sleep(DECISION_PAUSE * (tries - 1)).await;
                }
                Err(EmitError::Accept(AcceptError::ConfigurationChanged)) if tries < DECISIONS_MAX => {
                    self.reload().await.map_err(AcceptError::from)?;
                }
                done => return done,
            }
        }
    }

    async fn try_report(&self, report: &Report, log: &LogReport) -> Result<Outcome, EmitError> {
        let revision = self.revision();
        let (registry, now) = (self.registry(), self.clock.now());
        let found = self.find_reported(report).await.map_err(AcceptError::Store)?;
        let lead = report.lead;
        match decide(found.state.as_ref(), report) {
            Decision::Changed { state, events } => {
                let prepared = self.prepare_report(&registry, now, report, (&found, *state, events), log)?;
                let accepted = self.commit((&registry, revision), now, prepared, Vec::new()).await?;
                Ok(Outcome::Recorded { lead, events: accepted.into_iter().map(|event| event.id).collect() })
            }
            Decision::Repeated => {
                let outcome = Outcome::Repeated { lead };
                self.store.accept_with(Vec::new(), vec![log(&outcome)]).await?;
                Ok(outcome)
            }
            Decision::Conflicting { state, reason } => {
                let outcome = Outcome::Conflict { lead, reason };
                let counted = change(DocumentKind::Action, found.id, Some(found.revision), Make::Put(written(&*state)));
                self.store.accept_with(Vec::new(), vec![counted, log(&outcome)]).await?;
                Ok(outcome)
            }
        }
    }

    /// Decides a checked report of a customer and writes what it brings with the entry of the log, in one commit, on
    /// disk when this returns. None: a customer that is not known cannot be deactivated, and nothing is stored.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored.
    pub async fn record_customer(&self, report: &CustomerReport, log: LogReport) -> Result<Option<Outcome>, EmitError> {
        let _turn = self.turns.of(report.lead).await;
        let lead = report.lead;
        let id = customer_document_id(&report.offer.account, &report.customer);
        let document = self.store.document(DocumentKind::Customer, &id).await.map_err(AcceptError::Store)?;
        let revision = document.as_ref().map_or(0, |document| document.revision);
        let (outcome, changed) = match decide_customer(document.as_ref().and_then(read).as_ref(), report) {
            CustomerDecision::Changed(customer) => (Outcome::Recorded { lead, events: Vec::new() }, Some(customer)),
            CustomerDecision::Repeated => (Outcome::Repeated { lead }, None),
            CustomerDecision::Conflicting(reason) => (Outcome::Conflict { lead, reason }, None),
            CustomerDecision::Unknown => return Ok(None),
        };
        let changed = changed.map(|customer| change(DocumentKind::Customer, id, Some(revision), Make::Put(written(&*customer))));
        let entry = log(&outcome);
        self.store.accept_with(Vec::new(), changed.into_iter().chain([entry]).collect()).await?;
        Ok(Some(outcome))
    }

    /// A customer of an advertiser.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn customer(&self, advertiser: &AccountId, customer: &str) -> Result<Option<Customer>, StoreError> {
        let id = customer_document_id(advertiser, customer);
        Ok(self.store.document(DocumentKind::Customer, &id).await?.as_ref().and_then(read))
    }

    /// The row of a report's action: that of its lead, or else where it will be.
    async fn find_reported(&self, report: &Report) -> Result<Found, StoreError> {
        let lead = self.store.document(DocumentKind::Lead, &report.lead.to_string()).await?;
        let row = lead.as_ref().and_then(read::<LeadRow>);
        let has_lead = row.is_some();
        let id = row.map_or_else(|| action_document_id(&report.click.account, &report.lead.to_string()), |row| row.action);
        let document = self.store.document(DocumentKind::Action, &id).await?;
        let state = document.as_ref().and_then(read);
        Ok(Found { id, revision: document.map_or(0, |document| document.revision), state, has_lead })
    }

    /// The events of a report, with all documents that go with them.
    fn prepare_report(
        &self,
        registry: &Registry,
        now: Timestamp,
        report: &Report,
        (found, mut state, events): (&Found, ActionState, Vec<LedgerEvent>),
        log: &LogReport,
    ) -> Result<Vec<NewEvent>, EmitError> {
        let mut entries = Vec::new();
        if state.place.is_empty() {
            state.place = self.next_place(now);
            entries.extend([Some(&state.account), None]);
        }
        // A row that began with events of a platform is not in the advertiser's list yet.
        let is_new_to_advertiser = found.state.as_ref().is_none_or(|before| before.advertiser.is_none());
        entries.extend(state.advertiser.as_ref().filter(|advertiser| is_new_to_advertiser && **advertiser != state.account).map(Some));
        let entries: Vec<_> = entries.into_iter().map(|account| log_id(account, &state.place)).collect();
        let mut last: Vec<_> = entries.into_iter().map(|entry| put(DocumentKind::ActionLog, entry, &found.id)).collect();
        if !found.has_lead {
            let row = LeadRow { account: state.account.clone(), action: found.id.clone() };
            last.push(put(DocumentKind::Lead, report.lead.to_string(), &row));
        }
        let account = state.account.clone();
        let partner = registry.account(&account).map(|account| account.name.clone());
        let count = events.len();
        let gathered = Arc::new(Gathered { lead: report.lead, state, log: log.clone(), events: Mutex::default() });
        last.push(gathered.log_change());
        let mut prepared = Vec::with_capacity(count);
        for (index, LedgerEvent { step, occurred_at, mut data }) in events.into_iter().enumerate() {
            data.extend(partner.clone().map(|name| ("MediaPartnerName".to_owned(), Value::String(name))));
            let text = serde_json::to_string(&data).expect("a map of texts can be written as JSON");
            let event = IncomingEvent {
                account: account.clone(),
                event_type: step.event_type(),
                key: format!("s2s/{}/{}/{}", report.lead, found.revision, index + 1).parse().ok(),
                occurred_at: Some((occurred_at.to_string(), occurred_at)),
                data: EventData::parse(&text).expect("the ledger's fields are scalars, as the catalogue has them"),
            };
            let mut event = self.prepare(registry, now, index, event, None)?;
            let make = Gathered::row(&gathered, index, count);
            event.documents.push(change(DocumentKind::Action, found.id.clone(), (index == 0).then_some(found.revision), make));
            if index + 1 == count {
                event.documents.append(&mut last);
            }
            prepared.push(event);
        }
        Ok(prepared)
    }

    /// What an event that a platform emits changes in the ledger.
    pub(super) fn ledger_changes(&self, event: &NewEvent) -> Vec<DocumentChange> {
        if !event.event_type.as_str().starts_with("action.") {
            return Vec::new();
        }
        let times = (event.occurred_at, event.received_at);
        let place = self.next_place(event.received_at);
        let Some(fact) = ActionFact::of(&event.account, &event.event_type, times, &event.data, place) else { return Vec::new() };
        let id = action_document_id(&fact.account, &fact.action_id);
        let entries = [Some(&fact.account), None].map(|account| log_id(account, fact.place()));
        // The entries of the log go with a new row only, and follow it in the same commit.
        let is_new = Arc::new(AtomicBool::new(false));
        let was_new = is_new.clone();
        let follow = move |event: Option<EventId>, present: Option<&str>| {
            let state = present.and_then(|text| serde_json::from_str(text).ok());
            is_new.store(state.is_none(), Ordering::Relaxed);
            event.map(|event| written(&apply(state, &fact, event)))
        };
        let entry = written(&id);
        let mut changes = vec![change(DocumentKind::Action, id, None, Make::From(Arc::new(follow)))];
        changes.extend(entries.map(|log_id| {
            let (was_new, entry) = (was_new.clone(), entry.clone());
            let enter = move |_: Option<EventId>, _: Option<&str>| was_new.load(Ordering::Relaxed).then(|| entry.clone());
            change(DocumentKind::ActionLog, log_id, None, Make::From(Arc::new(enter)))
        }));
        changes
    }

    /// A place in the lists of actions.
    fn next_place(&self, now: Timestamp) -> String {
        format!("{:032x}", self.next_id(now))
    }

    /// One action.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn action(&self, account: &AccountId, action_id: &str) -> Result<Option<ActionState>, StoreError> {
        self.action_at(&action_document_id(account, action_id)).await
    }

    /// The action of a lead, whoever the partner is.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn lead(&self, lead: Uuid) -> Result<Option<ActionState>, StoreError> {
        let document = self.store.document(DocumentKind::Lead, &lead.to_string()).await?;
        match document.as_ref().and_then(read::<LeadRow>) {
            Some(row) => self.action_at(&row.action).await,
            None => Ok(None),
        }
    }

    async fn action_at(&self, id: &str) -> Result<Option<ActionState>, StoreError> {
        Ok(self.store.document(DocumentKind::Action, id).await?.as_ref().and_then(read))
    }

    /// Actions, the newest first. A page may be short of its limit and not be the last.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn actions(&self, query: &ActionQuery) -> Result<Page<ActionState>, StoreError> {
        let prefix = query.log();
        let until = query.until.map(first_place_at);
        let mut before = query.before.into_iter().chain(until).min();
        let after = query.since.map(|since| place_id(&prefix, first_place_at(since).saturating_sub(1)));
        let mut items = Vec::new();
        let mut seen = 0;
        loop {
            let stride = DocumentQuery {
                kind: DocumentKind::ActionLog,
                prefix: prefix.clone(),
                after: after.clone(),
                before: before.map(|before| place_id(&prefix, before)),
                direction: Direction::Backward,
                limit: STRIDE,
            };
            let entries = self.store.documents(&stride).await?;
            let is_last = entries.len() < STRIDE;
            for entry in entries {
                if items.len() == query.limit || seen == ENTRIES_PER_PAGE_MAX {
                    return Ok(Page { items, next: before });
                }
                seen += 1;
                let place = &entry.id[prefix.len()..];
                before = u128::from_str_radix(place, 16).ok().or(before);
                let Some(id) = read::<String>(&entry) else { continue };
                // A row that was removed and came again is listed at its present place.
                items.extend(self.action_at(&id).await?.filter(|action| action.place == place && query.wants(action)));
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Removes some rows that did not change for as long as actions, and idempotency keys, are kept. Goes on after
    /// `place`, where the step before ended, and says where it ended itself; none at the end.
    ///
    /// # Errors
    /// [`AcceptError`] if the store fails.
    pub(super) async fn prune_actions(&self, kept: Duration, place: Option<u128>) -> Result<Option<u128>, AcceptError> {
        // A row that comes again would give its events keys that are known.
        let cutoff = self.clock.now().before(kept.max(self.key_lifetime));
        let prefix = log_prefix(None);
        let query = DocumentQuery {
            kind: DocumentKind::ActionLog,
            prefix: prefix.clone(),
            after: place.map(|place| place_id(&prefix, place)),
            before: Some(place_id(&prefix, first_place_at(cutoff))),
            direction: Direction::Forward,
            limit: PRUNED_PER_STEP,
        };
        let entries = self.store.documents(&query).await?;
        let last = entries.last().filter(|_| entries.len() == PRUNED_PER_STEP);
        let next = last.and_then(|entry| u128::from_str_radix(&entry.id[prefix.len()..], 16).ok());
        let removed = join_all(entries.iter().map(|entry| self.prune_action(entry, cutoff))).await;
        removed.into_iter().collect::<Result<(), _>>()?;
        Ok(next)
    }

    /// Removes the row of an entry in the log of all accounts, if it is old.
    async fn prune_action(&self, entry: &Document, cutoff: Timestamp) -> Result<(), AcceptError> {
        let id = read::<String>(entry).unwrap_or_default();
        let document = self.store.document(DocumentKind::Action, &id).await?;
        let state = document.as_ref().and_then(read::<ActionState>).filter(|state| entry.id.ends_with(&state.place));
        let changes = match (document, state) {
            (Some(_), Some(state)) if state.changed_at >= cutoff => return Ok(()),
            (Some(document), Some(state)) => row_removals(&document, &state),
            // The row is gone, or is listed at another place.
            _ => vec![removal(DocumentKind::ActionLog, entry.id.clone())],
        };
        match self.store.accept_with(Vec::new(), changes).await {
            // It has just changed.
            Ok(_) | Err(AcceptError::DocumentChanged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes every action of an account that is being deleted, and its lists; tells whether there was any.
    pub(super) async fn remove_actions_of(&self, account: &AccountId) -> Result<bool, AcceptError> {
        let query = prefix_query(DocumentKind::Action, format!("{account}/"));
        let mut found = false;
        loop {
            let documents = self.store.documents(&query).await?;
            if documents.is_empty() {
                return Ok(self.remove_documents(DocumentKind::ActionLog, &query.prefix).await? || found);
            }
            found = true;
            let removals = documents.iter().flat_map(|document| match read::<ActionState>(document) {
                Some(state) => row_removals(document, &state),
                None => vec![removal(document.kind, document.id.clone())],
            });
            // One that has just changed is removed with the next step.
            match self.store.accept_with(Vec::new(), removals.collect()).await {
                Ok(_) | Err(AcceptError::DocumentChanged { .. }) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the documents whose ids begin with `prefix`, in steps; tells whether there were any.
    pub(super) async fn remove_documents(&self, kind: DocumentKind, prefix: &str) -> Result<bool, AcceptError> {
        let query = prefix_query(kind, prefix.to_owned());
        let mut found = false;
        loop {
            let documents = self.store.documents(&query).await?;
            if documents.is_empty() {
                return Ok(found);
            }
            found = true;
            let removals = documents.into_iter().map(|document| removal(kind, document.id)).collect();
            self.store.accept_with(Vec::new(), removals).await?;
            tokio::task::yield_now().await;
        }
    }
}

/// Gathers the ids that the events of a report get, for the row and the log that name them.
struct Gathered {
    lead: Uuid,
    state: ActionState,
    log: LogReport,
    events: Mutex<Vec<EventId>>,
}

impl Gathered {
    /// What the row becomes with event `index` of `count`: it is written with the last one.
    fn row(gathered: &Arc<Self>, index: usize, count: usize) -> Make {
        let gathered = gathered.clone();
        Make::From(Arc::new(move |event, _| {
            let mut events = gathered.events.lock().unwrap_or_else(PoisonError::into_inner);
            // A commit that is tried again gives other ids.
            events.truncate(index);
            events.extend(event);
            (index + 1 == count).then(|| {
                let mut state = gathered.state.clone();
                events.iter().for_each(|event| state.events.add(*event));
                written(&state)
            })
        }))
    }

    /// The entry of the log of calls, which is written after the row.
    fn log_change(self: &Arc<Self>) -> DocumentChange {
        let DocumentChange { kind, id, expected, .. } = (self.log)(&Outcome::Recorded { lead: self.lead, events: Vec::new() });
        let gathered = self.clone();
        let make = move |event: Option<EventId>, present: Option<&str>| {
            let events = gathered.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match (gathered.log)(&Outcome::Recorded { lead: gathered.lead, events }).make {
                Make::Put(value) => Some(value),
                Make::From(make) => make(event, present),
                Make::Remove => None,
            }
        };
        change(kind, id, expected, Make::From(Arc::new(make)))
    }
}

/// What begins the ids of an account's log, or of that of all accounts.
fn log_prefix(account: Option<&AccountId>) -> String {
    format!("{}/", account.map_or("", AccountId::as_str))
}

fn log_id(account: Option<&AccountId>, place: &str) -> String {
    format!("{}{place}", log_prefix(account))
}

fn place_id(prefix: &str, place: u128) -> String {
    format!("{prefix}{place:032x}")
}

/// The first place that is given in the millisecond of `moment`.
fn first_place_at(moment: Timestamp) -> u128 {
    u128::from(u64::try_from(moment.unix_ms()).unwrap_or(0) & 0xffff_ffff_ffff) << 80
}

/// The removal of a row, if it is still as it was read, with all that finds it.
fn row_removals(document: &Document, state: &ActionState) -> Vec<DocumentChange> {
    let mut changes = vec![change(document.kind, document.id.clone(), Some(document.revision), Make::Remove)];
    let logs = [None, Some(&state.account), state.advertiser.as_ref()];
    let logs = logs.into_iter().enumerate().filter(|(index, account)| *index == 0 || account.is_some());
    changes.extend(logs.map(|(_, account)| removal(DocumentKind::ActionLog, log_id(account, &state.place))));
    if state.advertiser.is_some() {
        changes.push(removal(DocumentKind::Lead, state.action_id.clone()));
    }
    changes
}

fn prefix_query(kind: DocumentKind, prefix: String) -> DocumentQuery {
    DocumentQuery { kind, prefix, after: None, before: None, direction: Direction::Forward, limit: REMOVED_PER_STEP }
}

fn change(kind: DocumentKind, id: String, expected: Option<u64>, make: Make) -> DocumentChange {
    DocumentChange { kind, id, expected, make }
}

fn put(kind: DocumentKind, id: String, value: &impl Serialize) -> DocumentChange {
    change(kind, id, None, Make::Put(written(value)))
}

fn removal(kind: DocumentKind, id: String) -> DocumentChange {
    change(kind, id, None, Make::Remove)
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows of the ledger have only text keys, so they can be written as JSON")
}

/// What a document holds; none if this release cannot read it, which is logged.
fn read<T: for<'a> Deserialize<'a>>(document: &Document) -> Option<T> {
    let read = serde_json::from_str(&document.value);
    read.inspect_err(|error| {
        tracing::error!(document.kind = document.kind.as_str(), document.id = document.id, %error, "a document cannot be read; it is left out");
    })
    .ok()
}
