//! How each subscription's receiver is doing, as the dispatcher tells it; whoever is failing is stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Queue;
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::id::SubscriptionId;
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, RecordQuery, StoreError};

/// What the ids of the stored records begin with.
const RECORD: &str = "failing/";
/// How many that other servers have found failing are known at most.
const FAILING_MAX: usize = 100_000;

/// How a receiver is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHealth {
    /// Since when it is failing; none if it is healthy.
    pub failing_since: Option<Timestamp>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// How the last attempt ended, as far as this process knows.
    pub last_outcome: Option<Outcome>,
    /// If it is failing: when the next request may go.
    #[serde(skip)]
    pub next_probe_at: Option<Timestamp>,
    /// Whether it answered 410, and nothing better since.
    pub gone: bool,
}

/// The receivers of which something is known.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What the dispatcher of this process has found out.
    own: HashMap<SubscriptionId, EndpointHealth>,
    /// Who is failing by what is stored: from an earlier process, or from another server.
    stored: HashMap<SubscriptionId, EndpointHealth>,
}

impl Known {
    fn of(&self, subscription: SubscriptionId) -> Option<EndpointHealth> {
        self.own.get(&subscription).or_else(|| self.stored.get(&subscription)).copied()
    }
}

impl Endpoints {
    /// Reads who was failing when the store was last used.
    pub(super) fn read(records: &[ConfigurationRecord]) -> Self {
        let endpoints = Self::default();
        endpoints.take_over(records);
        endpoints
    }

    fn take_over(&self, records: &[ConfigurationRecord]) {
        let of = |record: &ConfigurationRecord| {
            let id = record.id.strip_prefix(RECORD).filter(|_| record.kind == ConfigurationKind::Setting)?.parse().ok()?;
            // What cannot be read is found out again by the next attempts.
            Some((id, serde_json::from_str(&record.value).ok()?))
        };
        self.lock().stored = records.iter().filter_map(of).collect();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// How a subscription's receiver is doing; healthy if nothing is known.
    #[must_use]
    pub fn endpoint(&self, subscription: SubscriptionId) -> EndpointHealth {
        self.endpoints.lock().of(subscription).unwrap_or_default()
    }

    /// How many receivers are failing.
    #[must_use]
    pub fn failing(&self) -> usize {
        let known = self.endpoints.lock();
        let others = known.stored.iter().filter(|(id, _)| !known.own.contains_key(id)).map(|(_, health)| health);
        known.own.values().chain(others).filter(|health| health.failing_since.is_some()).count()
    }

    /// Takes note of how a receiver is doing, in memory.
    pub fn note_endpoint(&self, subscription: SubscriptionId, health: EndpointHealth) {
        self.endpoints.lock().own.insert(subscription, health);
    }

    /// Forgets a receiver, in memory: the lane is gone, or another server has it.
    pub fn forget_endpoint(&self, subscription: SubscriptionId) {
        self.endpoints.lock().own.remove(&subscription);
        if !self.store.is_shared() {
            self.endpoints.lock().stored.remove(&subscription);
        }
    }

    /// Reads again whom other servers have found failing.
    pub(super) async fn refresh_endpoints(&self) -> Result<(), StoreError> {
        let (from, before) = (RECORD.to_owned(), Some(RECORD.replace('/', "0")));
        let query = RecordQuery { kind: ConfigurationKind::Setting, before, from, limit: FAILING_MAX };
        self.endpoints.take_over(&self.store.records(&query).await?);
        Ok(())
    }

    /// Whether a receiver is failing by what is stored, whoever stored it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn stored_failing(&self, subscription: SubscriptionId) -> Result<Option<EndpointHealth>, StoreError> {
        let from = format!("{RECORD}{subscription}");
        let query = RecordQuery { kind: ConfigurationKind::Setting, before: Some(format!("{from}/")), from, limit: 1 };
        let records = self.store.records(&query).await?;
        Ok(records.first().and_then(|record| serde_json::from_str(&record.value).ok()))
    }

    /// Stores that a receiver is failing, or with none that it is not any more, so that a restart knows.
    ///
    /// # Errors
    /// [`ConfigureError::Store`] if it was not stored.
    pub async fn store_failing(&self, subscription: SubscriptionId, health: Option<EndpointHealth>) -> Result<(), ConfigureError> {
        let (kind, id) = (ConfigurationKind::Setting, format!("{RECORD}{subscription}"));
        let change = match health {
            Some(health) => {
                let value = serde_json::to_string(&health).expect("it has only text keys, so it can be written as JSON");
                ConfigurationChange::Put { record: ConfigurationRecord { kind, id, value }, if_absent: false }
            }
            None => ConfigurationChange::Remove { kind, id },
        };
        self.write_configuration(vec![change]).await
    }
}
