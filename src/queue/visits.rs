//! Clicks, reports as they came in, and test runs: records that are many, written beside events.
//!
//! A click is found by its id alone, which is in order of time, so that a list of them goes backwards through time. Reports
//! are kept by advertiser. A page of a list looks at a bounded number of records, so that it may be short and not the last.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::accept::{EmitError, IncomingEvent, PREPARED_MAX};
use super::{AcceptError, Page, Queue, StoreError};
use crate::clock::Timestamp;
use crate::event::{AccountId, EventData, OfferId};
use crate::id::{InboundCallId, TestRunId};
use crate::inbound::{CallResult, Click, InboundCall, TestRun, timed_uuid};
use crate::store::{Direction, Document, DocumentChange, DocumentKind, DocumentQuery, Make};

/// Records that are read at a time.
const STRIDE: usize = 500;
/// Most records that one page looks at.
const RECORDS_PER_PAGE_MAX: usize = 10_000;
/// Most records that one commit of retention removes.
const PRUNED_PER_STEP: usize = 500;

/// Which clicks to list.
#[derive(Debug, Clone, Default)]
pub struct ClickQuery {
    /// Only those of this partner.
    pub account: Option<AccountId>,
    /// Only those of this offer.
    pub offer: Option<OfferId>,
    /// Only those that concern this account, as the partner or as the advertiser.
    pub visible_to: Option<AccountId>,
    /// Only those at or after.
    pub since: Option<Timestamp>,
    /// Only those before.
    pub until: Option<Timestamp>,
    /// Only those before this one: where the last page ended.
    pub before: Option<u128>,
    /// How many at most.
    pub limit: usize,
}

/// Which reports to list.
#[derive(Debug, Clone, Default)]
pub struct InboundCallQuery {
    /// Only those of this advertiser; none: of all, and of nobody.
    pub account: Option<AccountId>,
    /// Only those for this offer.
    pub offer: Option<OfferId>,
    /// Only those with this result.
    pub result: Option<CallResult>,
    /// Only those with this code.
    pub code: Option<String>,
    /// Only those answered with this HTTP status.
    pub status: Option<u16>,
    /// Only those with this id of the advertiser's.
    pub request_id: Option<String>,
    /// Only those of this action.
    pub lead: Option<String>,
    /// Only those of this click.
    pub click: Option<String>,
    /// Only those from this address.
    pub address: Option<std::net::IpAddr>,
    /// Only those at or after.
    pub since: Option<Timestamp>,
    /// Only those before.
    pub until: Option<Timestamp>,
    /// Only those before this one: where the last page ended.
    pub before: Option<InboundCallId>,
    /// How many at most.
    pub limit: usize,
}

impl InboundCallQuery {
    fn wants(&self, call: &InboundCall) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        (self.offer.is_none() || self.offer == call.offer)
            && self.result.is_none_or(|result| result == call.result)
            && is(&self.code, &call.code)
            && self.status.is_none_or(|status| status == call.status)
            && is(&self.request_id, &call.request_id)
            && is(&self.lead, &call.lead)
            && is(&self.click, &call.click)
            && self.address.is_none_or(|address| address == call.address)
            && self.since.is_none_or(|since| call.at >= since)
    }
}

impl Queue {
    /// Stores a click, on disk when this returns, and with it the event `click.recorded` if a subscription of the
    /// partner wants that. A click of a test run is noted there.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored.
    pub async fn record_click(&self, click: &Click) -> Result<(), EmitError> {
        for _ in 1..PREPARED_MAX {
            match self.try_record_click(click).await {
                Err(EmitError::Accept(AcceptError::ConfigurationChanged)) => self.reload().await.map_err(AcceptError::from)?,
                done => return done,
            }
        }
        self.try_record_click(click).await
    }

    async fn try_record_click(&self, click: &Click) -> Result<(), EmitError> {
        let revision = self.revision();
        let (registry, now) = (self.registry(), self.clock.now());
        let event = IncomingEvent {
            account: click.account.clone(),
            event_type: "click.recorded".parse().expect("this is the name of an event type"),
            key: format!("click/{}", click.id).parse().ok(),
            occurred_at: Some((click.at.to_string(), click.at)),
            data: click_data(click, registry.offer(&click.offer).and_then(|known| known.offer.spec.campaign_id.clone()).as_deref()),
        };
        let event = self.prepare(&registry, now, 0, event, None)?;
        let prepared = if event.deliveries.is_empty() { Vec::new() } else { vec![event] };
        let mut documents = vec![put(DocumentKind::Click, click.id.clone(), click, Some(0))];
        if let Some(run) = &click.test_run {
            let id = click.id.clone();
            let opened = move |_, present: Option<&str>| {
                let mut run: TestRun = serde_json::from_str(present?).ok()?;
                run.click = Some(id.clone());
                serde_json::to_string(&run).ok()
            };
            documents.push(DocumentChange {
                kind: DocumentKind::TestRun,
                id: run.clone(),
                expected: None,
                make: Make::From(Arc::new(opened)),
            });
        }
        self.commit((&registry, revision), now, prepared, documents).await.map(drop)
    }

    /// A click by its id, as an advertiser may have written it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn click(&self, id: &str) -> Result<Option<Click>, StoreError> {
        let id = id.trim().to_ascii_lowercase();
        if id.is_empty() || id.len() > 100 {
            return Ok(None);
        }
        Ok(self.store.document(DocumentKind::Click, &id).await?.and_then(|document| read(&document)))
    }

    /// Clicks, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn clicks(&self, query: &ClickQuery) -> Result<Page<Click>, StoreError> {
        let registry = self.registry();
        let is_visible = |click: &Click| {
            let Some(account) = &query.visible_to else { return true };
            *account == click.account || registry.offer(&click.offer).is_some_and(|known| known.offer.account == *account)
        };
        let wants = |click: &Click| {
            query.account.as_ref().is_none_or(|account| *account == click.account)
                && query.offer.as_ref().is_none_or(|offer| *offer == click.offer)
                && is_visible(click)
        };
        let before = query.until.map(first_click_at).into_iter().chain(query.before).min();
        let since = query.since.map(first_click_at);
        let mut before = before.map(|raw| uuid::Uuid::from_u128(raw).to_string());
        let (mut items, mut seen) = (Vec::new(), 0);
        loop {
            let stride = backwards(DocumentKind::Click, String::new(), before.clone());
            let documents = self.store.documents(&stride).await?;
            let is_last = documents.len() < STRIDE;
            for document in documents {
                let raw = document.id.parse::<uuid::Uuid>().map_or(0, |id| id.as_u128());
                if since.is_some_and(|since| raw < since) {
                    return Ok(Page { items, next: None });
                }
                if items.len() == query.limit || seen == RECORDS_PER_PAGE_MAX {
                    let next = before.and_then(|id| id.parse::<uuid::Uuid>().ok()).map(|id| id.as_u128());
                    return Ok(Page { items, next });
                }
                seen += 1;
                items.extend(read::<Click>(&document).filter(wants));
                before = Some(document.id);
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The record of a report as it came in.
    #[must_use]
    pub fn call_record(call: &InboundCall) -> DocumentChange {
        put(DocumentKind::InboundCall, call_id(call.account.as_ref(), call.id), call, None)
    }

    /// Stores a report that changed nothing, as it came in.
    ///
    /// # Errors
    /// [`EmitError`] if it was not stored.
    pub async fn record_call(&self, call: &InboundCall) -> Result<(), EmitError> {
        self.record_documents(vec![Self::call_record(call)]).await
    }

    /// Stores changes of documents without an event.
    async fn record_documents(&self, documents: Vec<DocumentChange>) -> Result<(), EmitError> {
        Ok(self.store.accept_with(Vec::new(), documents).await.map(drop)?)
    }

    /// A report of one of these advertisers; `None` stands for reports of nobody.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn inbound_call(&self, account: Option<&AccountId>, id: InboundCallId) -> Result<Option<InboundCall>, StoreError> {
        Ok(self.store.document(DocumentKind::InboundCall, &call_id(account, id)).await?.and_then(|document| read(&document)))
    }

    /// The advertisers that may have reports: those with offers or inbound keys.
    #[must_use]
    pub fn advertisers(&self) -> Vec<AccountId> {
        let registry = self.registry();
        let keys = registry.inbound_keys().iter().map(|key| key.account.clone());
        let mut accounts: Vec<_> = registry.offers().map(|known| known.offer.account.clone()).chain(keys).collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    /// Reports as they came in, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn inbound_calls(&self, query: &InboundCallQuery) -> Result<Page<InboundCall>, StoreError> {
        let accounts: Vec<Option<AccountId>> = match &query.account {
            Some(account) => vec![Some(account.clone())],
            None => self.advertisers().into_iter().map(Some).chain([None]).collect(),
        };
        let mut found: Vec<InboundCall> = Vec::new();
        let mut next: Option<InboundCallId> = None;
        for account in &accounts {
            let page = self.inbound_calls_of(account.as_ref(), query).await?;
            found.extend(page.items);
            // The page goes on from the newest place at which one of the lists was left.
            next = next.max(page.next.map(InboundCallId::from_raw));
        }
        found.sort_by_key(|call| std::cmp::Reverse(call.id));
        if let Some(place) = next {
            found.retain(|call| call.id >= place);
        }
        if found.len() > query.limit {
            found.truncate(query.limit);
            next = found.last().map(|call| call.id);
        }
        Ok(Page { items: found, next: next.map(InboundCallId::raw) })
    }

    async fn inbound_calls_of(&self, account: Option<&AccountId>, query: &InboundCallQuery) -> Result<Page<InboundCall>, StoreError> {
        let prefix = call_prefix(account);
        let until = query.until.map(first_call_at);
        let mut before = query.before.into_iter().chain(until).min();
        let since = query.since.map(first_call_at);
        let (mut items, mut seen) = (Vec::new(), 0);
        loop {
            let stride = backwards(DocumentKind::InboundCall, prefix.clone(), before.map(|id| format!("{prefix}{id}")));
            let documents = self.store.documents(&stride).await?;
            let is_last = documents.len() < STRIDE;
            for document in documents {
                let id: Option<InboundCallId> = document.id.strip_prefix(&prefix).and_then(|id| id.parse().ok());
                if since.is_some_and(|since| id.is_some_and(|id| id < since)) {
                    return Ok(Page { items, next: None });
                }
                if items.len() == query.limit || seen == RECORDS_PER_PAGE_MAX {
                    return Ok(Page { items, next: before.map(InboundCallId::raw) });
                }
                seen += 1;
                items.extend(read::<InboundCall>(&document).filter(|call| query.wants(call)));
                before = id.or(before);
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// A test run.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn test_run(&self, id: TestRunId) -> Result<Option<TestRun>, StoreError> {
        Ok(self.store.document(DocumentKind::TestRun, &id.to_string()).await?.and_then(|document| read(&document)))
    }

    /// Stores a test run.
    ///
    /// # Errors
    /// [`EmitError`], and nothing is stored.
    pub async fn record_test_run(&self, run: &TestRun) -> Result<(), EmitError> {
        self.record_documents(vec![put(DocumentKind::TestRun, run.id.to_string(), run, None)]).await
    }

    /// Removes clicks, and reports as they came in, that are older than they are kept.
    ///
    /// # Errors
    /// [`StoreError`] if the store is full or fails; the rest is removed by the next call.
    pub async fn prune_inbound(&self, clicks: Duration, calls: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let first_click = uuid::Uuid::from_u128(first_click_at(now.before(clicks))).to_string();
        self.remove_before(DocumentKind::Click, String::new(), first_click).await?;
        let first_call = first_call_at(now.before(calls));
        for account in self.advertisers().into_iter().map(Some).chain([None]) {
            let prefix = call_prefix(account.as_ref());
            self.remove_before(DocumentKind::InboundCall, prefix.clone(), format!("{prefix}{first_call}")).await?;
        }
        let first_run = TestRunId::from_raw(first_call.raw()).to_string();
        self.remove_before(DocumentKind::TestRun, String::new(), first_run).await
    }

    /// Removes what an account that is being deleted has of clicks, reports, customers and test runs.
    ///
    /// # Errors
    /// [`StoreError`] if the store is full or fails; the rest is removed by the next call.
    pub(super) async fn remove_inbound_of(&self, account: &AccountId) -> Result<(), StoreError> {
        // The id that follows every one with the prefix: `0` is the character after `/`.
        let end = format!("{account}0");
        for kind in [DocumentKind::InboundCall, DocumentKind::Customer] {
            self.remove_before(kind, format!("{account}/"), end.clone()).await?;
        }
        self.remove_where(DocumentKind::Click, |document| read::<Click>(document).is_some_and(|click| click.account == *account)).await?;
        let is_of_account = |run: TestRun| run.account == *account || run.partner == *account;
        self.remove_where(DocumentKind::TestRun, |document| read(document).is_some_and(is_of_account)).await
    }

    async fn remove_before(&self, kind: DocumentKind, prefix: String, before: String) -> Result<(), StoreError> {
        let query =
            DocumentQuery { kind, prefix, after: None, before: Some(before), direction: Direction::Forward, limit: PRUNED_PER_STEP };
        loop {
            let documents = self.store.documents(&query).await?;
            let is_last = documents.len() < PRUNED_PER_STEP;
            self.remove_listed(documents).await?;
            if is_last {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn remove_where(&self, kind: DocumentKind, is_gone: impl Fn(&Document) -> bool) -> Result<(), StoreError> {
        let mut query =
            DocumentQuery { kind, prefix: String::new(), after: None, before: None, direction: Direction::Forward, limit: STRIDE };
        loop {
            let documents = self.store.documents(&query).await?;
            let last = documents.last().map(|document| document.id.clone());
            let is_last = documents.len() < STRIDE;
            self.remove_listed(documents.into_iter().filter(&is_gone).collect()).await?;
            if is_last {
                return Ok(());
            }
            query.after = last;
            tokio::task::yield_now().await;
        }
    }

    async fn remove_listed(&self, documents: Vec<Document>) -> Result<(), StoreError> {
        if documents.is_empty() {
            return Ok(());
        }
        let remove = |Document { kind, id, .. }| DocumentChange { kind, id, expected: None, make: Make::Remove };
        match self.store.accept_with(Vec::new(), documents.into_iter().map(remove).collect()).await {
            Ok(_) => Ok(()),
            Err(AcceptError::Store(error)) => Err(error),
            // Nothing is expected of documents that go, and there are no events.
            Err(error) => Err(StoreError::Failed { action: "removing documents", detail: error.to_string() }),
        }
    }
}

fn put(kind: DocumentKind, id: String, value: &impl serde::Serialize, expected: Option<u64>) -> DocumentChange {
    let value = serde_json::to_string(value).expect("records have only text keys, so they can be written as JSON");
    DocumentChange { kind, id, expected, make: Make::Put(value) }
}

fn read<T: DeserializeOwned>(document: &Document) -> Option<T> {
    let read = serde_json::from_str(&document.value);
    read.inspect_err(|error| tracing::error!(document = document.id, %error, "a stored record cannot be read; it is left out")).ok()
}

const fn backwards(kind: DocumentKind, prefix: String, before: Option<String>) -> DocumentQuery {
    DocumentQuery { kind, prefix, after: None, before, direction: Direction::Backward, limit: STRIDE }
}

/// What the ids of an advertiser's reports begin with; those of nobody have none.
fn call_prefix(account: Option<&AccountId>) -> String {
    format!("{}/", account.map(AccountId::as_str).unwrap_or_default())
}

fn call_id(account: Option<&AccountId>, id: InboundCallId) -> String {
    format!("{}{id}", call_prefix(account))
}

/// The first id that a report may have at this time.
fn first_call_at(moment: Timestamp) -> InboundCallId {
    InboundCallId::from_raw(u128::from(u64::try_from(moment.unix_ms()).unwrap_or(0) & 0xffff_ffff_ffff) << 80)
}

/// The first id that a click may have at this time, without its version.
fn first_click_at(moment: Timestamp) -> u128 {
    let unix_ms = u64::try_from(moment.unix_ms()).unwrap_or(0);
    timed_uuid(unix_ms, [0; 10]).as_u128() >> 80 << 80
}

/// The values of `click.recorded`.
fn click_data(click: &Click, campaign: Option<&str>) -> EventData {
    let campaign = click.campaign_id.as_deref().or(campaign).unwrap_or(click.offer.as_str());
    let mut data = json!({
        "ClickId": click.id,
        "CampaignId": campaign,
        "MediaPartnerId": click.account,
        "EventDate": click.at,
    });
    let optional = [
        ("SubId1", &click.sub_id1),
        ("SubId2", &click.sub_id2),
        ("SubId3", &click.sub_id3),
        ("SharedId", &click.shared_id),
        ("LandingPageUrl", &click.landing_url),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            data[name] = Value::String(value.clone());
        }
    }
    EventData::parse(&data.to_string()).expect("these are texts under names of the catalogue")
}
