//! Replays: many decided deliveries of one subscription are made due again, behind what is new.
//!
//! ```text
//! counting ──▶ running ──▶ done          a portion and the place it reached are one commit, so that a
//!     └───────────┴──────▶ cancelled     crash neither repeats nor leaves out a delivery
//! ```
//!
//! A replay goes through the deliveries that were decided by the time it was created, oldest first. It
//! makes a small portion due at a time, and only while few rows of the subscription are due: new
//! deliveries thus wait behind no more than that portion, and a receiver that is down or paused holds
//! the replay up. The deliveries keep their ids and their counters, and are rendered with the present
//! template, as when a person retries one.
//!
//! Where several servers share the store, one of them carries replays out and the others read how they stand.
//! A cancellation is a record of its own, so that whoever carries the replay out cannot write over it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::audit::Deed;
use super::{Actor, AuditAction, Queue, StoreError};
use crate::clock::Timestamp;
use crate::cluster::Turn;
use crate::delivery::StateName;
use crate::event::AccountId;
use crate::id::{DeliveryId, ReplayId, SubscriptionId};
use crate::store::{
    ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, DecidedQuery, Page, RecordQuery, Revival, RevivalRecord,
};
use crate::subscription::SubscriptionState;

/// Rows of a subscription that may be due before a replay adds more: half of what a lane reads ahead.
const DUE_MAX: usize = 128;
/// Most deliveries that are made due by one commit.
const PORTION: usize = 64;
/// Deliveries that are counted by one look into the store.
const COUNTED_AT_ONCE: usize = 5_000;
/// Pause between two portions.
const TICK: Duration = Duration::from_millis(50);
/// Pause after something that the store did not do.
const PAUSE: Duration = Duration::from_secs(1);
/// Most of a pace that can be caught up, after a pause.
const CATCH_UP: Duration = Duration::from_secs(1);
/// Most replays that are not over.
const UNFINISHED_MAX: usize = 100;
/// Most replays that are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// Its deliveries are being counted.
    Counting,
    /// They are being made due.
    Running,
    /// It is through.
    Done,
    /// A person ended it, or the subscription is gone.
    Cancelled,
}

impl ReplayState {
    const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// What is to be replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayRequest {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Which decided deliveries.
    pub states: Vec<StateName>,
    /// Only those created at or after.
    pub since: Option<Timestamp>,
    /// Only those created before.
    pub until: Option<Timestamp>,
    /// Most deliveries that are made due in a second; none: as fast as they are taken.
    pub per_second: Option<f64>,
    /// Only count them.
    pub dry_run: bool,
}

/// A replay with its progress, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Whose subscription that is.
    pub account: AccountId,
    /// Which decided deliveries.
    pub states: Vec<StateName>,
    /// Only those created at or after.
    pub since: Option<Timestamp>,
    /// Only those created before.
    pub until: Option<Timestamp>,
    /// Most deliveries that are made due in a second.
    pub per_second: Option<f64>,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Where it stands.
    pub state: ReplayState,
    /// How many deliveries it is about, as far as they are counted.
    pub matched: u64,
    /// How many were made due.
    pub done: u64,
    /// How many were not, since something else was done with them meanwhile; known at the end.
    pub skipped: u64,
    /// When it was created; what is decided later is not part of it.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// The last delivery that was gone through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<DeliveryId>,
}

/// Why a replay was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such subscription.
    #[error("there is no subscription {0}")]
    UnknownSubscription(SubscriptionId),
    /// There is no such replay.
    #[error("there is no replay {0}")]
    NotFound(ReplayId),
    /// It is over already.
    #[error("replay {0} is over; nothing of it is left to be cancelled")]
    Over(ReplayId),
    /// Too many are not over.
    #[error("{UNFINISHED_MAX} replays are not over yet; wait for one of them, or cancel one")]
    TooMany,
    /// The store could not do it.
    #[error("the replay was not stored")]
    Store(#[from] StoreError),
}

impl From<ConfigureError> for ReplayError {
    fn from(error: ConfigureError) -> Self {
        match error {
            ConfigureError::Store(error) => Self::Store(error),
            // Records of replays are written under a lock, so that nobody else can have changed them.
            ConfigureError::Conflict { id } => {
                Self::Store(StoreError::Failed { action: "writing a replay", detail: format!("`{id}` was changed by somebody else") })
            }
        }
    }
}

/// The replays of one queue.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: Mutex<BTreeMap<ReplayId, Replay>>,
    /// Held while a replay is changed, from reading it to having stored it.
    turn: tokio::sync::Mutex<()>,
    /// Told when there is something to do.
    created: Notify,
    /// Told when one is over.
    over: Notify,
}

impl Replays {
    /// Reads the stored replays; one that cannot be read is reported and left out.
    pub(super) fn read(records: &[ConfigurationRecord]) -> Self {
        Self { known: Mutex::new(stored(records)), ..Self::default() }
    }

    /// Takes over how the replays stand by the store.
    fn take_over(&self, mut stored: BTreeMap<ReplayId, Replay>) {
        let mut known = self.known();
        let (mut some_began, mut some_ended) = (false, false);
        for replay in stored.values_mut() {
            let before = known.get(&replay.id);
            some_began |= before.is_none() && !replay.state.is_over();
            some_ended |= replay.state.is_over() && before.is_some_and(|before| !before.state.is_over());
            // What is counted so far is not stored.
            if let (ReplayState::Counting, Some(before)) = (replay.state, before) {
                replay.matched = replay.matched.max(before.matched);
            }
        }
        *known = stored;
        drop(known);
        if some_began {
            self.created.notify_one();
        }
        if some_ended {
            self.over.notify_waiters();
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ReplayId, Replay>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, replay: Replay) {
        let is_over = replay.state.is_over();
        self.known().insert(replay.id, replay);
        if is_over {
            self.over.notify_waiters();
        }
    }
}

impl Queue {
    /// A replay.
    #[must_use]
    pub fn replay(&self, id: ReplayId) -> Option<Replay> {
        self.replays.known().get(&id).cloned()
    }

    /// All replays that are remembered, newest first.
    #[must_use]
    pub fn replays(&self) -> Vec<Replay> {
        self.replays.known().values().rev().cloned().collect()
    }

    /// How many replays are not over.
    #[must_use]
    pub fn replays_running(&self) -> usize {
        self.replays.known().values().filter(|replay| !replay.state.is_over()).count()
    }

    /// Creates a replay; it begins at once and goes on by itself, over a restart too.
    ///
    /// # Errors
    /// [`ReplayError`], and nothing is stored.
    pub async fn create_replay(&self, by: &Actor, request: ReplayRequest) -> Result<Replay, ReplayError> {
        self.refresh_replays().await?;
        let _turn = self.replays.turn.lock().await;
        let now = self.clock.now();
        let registry = self.registry();
        let subscription = registry.subscription(request.subscription).ok_or(ReplayError::UnknownSubscription(request.subscription))?;
        let (unfinished, forgotten) = {
            let known = self.replays.known();
            let unfinished = known.values().filter(|replay| !replay.state.is_over()).count();
            let over: Vec<_> = known.values().filter(|replay| replay.state.is_over()).map(|replay| replay.id).collect();
            let surplus = (known.len() + 1).saturating_sub(REMEMBERED_MAX);
            (unfinished, over.into_iter().take(surplus).collect::<Vec<_>>())
        };
        if unfinished >= UNFINISHED_MAX {
            return Err(ReplayError::TooMany);
        }
        let replay = Replay {
            id: ReplayId::from_raw(self.next_id(now)),
            subscription: request.subscription,
            account: subscription.spec.account.clone(),
            states: request.states,
            since: request.since,
            until: request.until,
            per_second: request.per_second,
            dry_run: request.dry_run,
            state: ReplayState::Counting,
            matched: 0,
            done: 0,
            skipped: 0,
            created_at: now,
            finished_at: None,
            cursor: None,
        };
        let mut changes = vec![ConfigurationChange::Put { record: record(&replay), if_absent: true }];
        if !replay.dry_run {
            changes.push(self.audit(by, Deed::new(AuditAction::ReplayCreated, Some(&replay.account), &replay.id)));
        }
        changes.extend(forgotten.iter().copied().flat_map(removals));
        self.write_configuration(changes).await?;
        self.replays.known().retain(|id, _| !forgotten.contains(id));
        self.replays.put(replay.clone());
        self.replays.created.notify_one();
        Ok(replay)
    }

    /// Ends a replay. What it has made due stays due.
    ///
    /// # Errors
    /// [`ReplayError`] if there is none, it is over, or it could not be stored.
    pub async fn cancel_replay(&self, by: &Actor, id: ReplayId) -> Result<Replay, ReplayError> {
        self.refresh_replays().await?;
        let _turn = self.replays.turn.lock().await;
        let replay = self.replay(id).ok_or(ReplayError::NotFound(id))?;
        if replay.state.is_over() {
            return Err(ReplayError::Over(id));
        }
        let at = self.clock.now();
        let note = self.audit(by, Deed::new(AuditAction::ReplayCancelled, Some(&replay.account), &replay.id));
        self.write_configuration(vec![ConfigurationChange::Put { record: cancellation(id, at), if_absent: true }, note]).await?;
        let replay = cancelled(replay, at);
        self.replays.put(replay.clone());
        Ok(replay)
    }

    /// Reads how the replays stand, where another server may carry them out.
    pub(super) async fn refresh_replays(&self) -> Result<(), StoreError> {
        if !self.store.is_shared() {
            return Ok(());
        }
        // No step of this server is under way meanwhile, of which the store would not know yet.
        let _turn = self.replays.turn.lock().await;
        let query = RecordQuery { kind: ConfigurationKind::Replay, from: String::new(), before: None, limit: 4 * REMEMBERED_MAX };
        self.replays.take_over(stored(&self.store.records(&query).await?));
        Ok(())
    }

    /// Waits until a replay is over, at most for `wait`, and tells how it stands then.
    pub async fn replay_over(&self, id: ReplayId, wait: Duration) -> Option<Replay> {
        let over = async {
            loop {
                let mut told = std::pin::pin!(self.replays.over.notified());
                told.as_mut().enable();
                if self.replay(id).is_none_or(|replay| replay.state.is_over()) {
                    return;
                }
                told.await;
            }
        };
        // If the time is over, it is shown as far as it is.
        let _ = tokio::time::timeout(wait, over).await;
        self.replay(id)
    }

    /// Removes the replays of an account that is deleted.
    pub(super) async fn forget_replays_of(&self, account: &AccountId) -> Result<(), ConfigureError> {
        let _turn = self.replays.turn.lock().await;
        let ids: Vec<_> = self.replays.known().values().filter(|replay| replay.account == *account).map(|replay| replay.id).collect();
        if !ids.is_empty() {
            self.write_configuration(ids.iter().copied().flat_map(removals).collect()).await?;
            self.replays.known().retain(|id, _| !ids.contains(id));
        }
        Ok(())
    }

    async fn finish(&self, replay: Replay, state: ReplayState) -> Result<Replay, ReplayError> {
        let skipped = if state == ReplayState::Done && !replay.dry_run { replay.matched.saturating_sub(replay.done) } else { 0 };
        let replay = Replay { state, skipped, finished_at: Some(self.clock.now()), ..replay };
        self.save(replay).await
    }

    async fn save(&self, replay: Replay) -> Result<Replay, ReplayError> {
        self.write_configuration(vec![ConfigurationChange::Put { record: record(&replay), if_absent: false }]).await?;
        self.replays.put(replay.clone());
        Ok(replay)
    }

    async fn decided(&self, replay: &Replay, after: Option<DeliveryId>, limit: usize) -> Result<Page<DeliveryId>, StoreError> {
        let query = DecidedQuery {
            subscription: replay.subscription,
            states: replay.states.clone(),
            decided_by: replay.created_at,
            since: replay.since,
            until: replay.until,
            after,
            limit,
        };
        self.store.decided(&query).await
    }
}

/// What the id of the record of a cancellation ends with, behind that of the replay.
const CANCELLATION: &str = "/cancelled";

/// The stored replays. One with a cancellation is cancelled, whatever its own record says.
fn stored(records: &[ConfigurationRecord]) -> BTreeMap<ReplayId, Replay> {
    let (mut known, mut cancellations) = (BTreeMap::new(), Vec::new());
    for ConfigurationRecord { id, value, .. } in records.iter().filter(|record| record.kind == ConfigurationKind::Replay) {
        let read = match id.strip_suffix(CANCELLATION) {
            Some(of) => serde_json::from_str::<Timestamp>(value).map(|at| cancellations.extend(of.parse::<ReplayId>().map(|of| (of, at)))),
            None => serde_json::from_str::<Replay>(value).map(|replay| drop(known.insert(replay.id, replay))),
        };
        if let Err(error) = read {
            tracing::error!(replay = id, %error, "a stored replay cannot be read; it is left out");
        }
    }
    for (id, at) in cancellations {
        if let Some(replay) = known.remove(&id) {
            known.insert(id, cancelled(replay, at));
        }
    }
    known
}

fn cancelled(replay: Replay, at: Timestamp) -> Replay {
    Replay { state: ReplayState::Cancelled, skipped: 0, finished_at: Some(at), ..replay }
}

fn cancellation(id: ReplayId, at: Timestamp) -> ConfigurationRecord {
    let value = serde_json::to_string(&at).expect("a time can be written as JSON");
    ConfigurationRecord { kind: ConfigurationKind::Replay, id: format!("{id}{CANCELLATION}"), value }
}

fn removals(id: ReplayId) -> [ConfigurationChange; 2] {
    let remove = |id| ConfigurationChange::Remove { kind: ConfigurationKind::Replay, id };
    [remove(id.to_string()), remove(format!("{id}{CANCELLATION}"))]
}

fn record(replay: &Replay) -> ConfigurationRecord {
    let value = serde_json::to_string(replay).expect("a replay has only text keys, so it can be written as JSON");
    ConfigurationRecord { kind: ConfigurationKind::Replay, id: replay.id.to_string(), value }
}

/// Carries the replays of `queue` out when it is its turn, until the store is closed. Run it once per queue.
pub async fn run_replays(queue: Arc<Queue>, mut turn: Turn) {
    let mut paces: BTreeMap<ReplayId, Allowance> = BTreeMap::new();
    let mut is_new = true;
    loop {
        if !turn.is_ours() {
            turn.ours().await;
            is_new = true;
        }
        // Another server may have had it before.
        if std::mem::take(&mut is_new) && queue.refresh_replays().await.is_err() {
            is_new = true;
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let unfinished: Vec<_> = queue.replays.known().values().filter(|replay| !replay.state.is_over()).cloned().collect();
        paces.retain(|id, _| unfinished.iter().any(|replay| replay.id == *id));
        if unfinished.is_empty() {
            queue.replays.created.notified().await;
            continue;
        }
        let mut more = false;
        for replay in unfinished {
            let instant = queue.clock.instant();
            let pace = paces.entry(replay.id).or_insert_with(|| Allowance { counted: 0, after: None, left: 1.0, at: instant });
            match step(&queue, replay.id, pace).await {
                Ok(more_at_once) => more |= more_at_once,
                Err(ReplayError::Store(StoreError::Closed)) => return,
                // Space or the database may come back; the replay stands where it stood.
                Err(error) => {
                    tracing::debug!(%error, "a replay does not get on");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if !more {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// What a replay that is under way needs in memory.
struct Allowance {
    /// How many deliveries are counted so far, and the last one.
    counted: u64,
    after: Option<DeliveryId>,
    /// How many may be made due under its pace, and when that was worked out.
    left: f64,
    at: Instant,
}

impl Allowance {
    /// How many deliveries the pace allows at this moment.
    fn take(&mut self, per_second: Option<f64>, instant: Instant) -> usize {
        let Some(per_second) = per_second else { return usize::MAX };
        let most = (per_second * CATCH_UP.as_secs_f64()).max(1.0);
        self.left = (self.left + per_second * instant.duration_since(self.at).as_secs_f64()).min(most);
        self.at = instant;
        self.left as usize
    }

    fn spend(&mut self, deliveries: usize) {
        self.left -= deliveries as f64;
    }
}

/// Does a part of what a replay has to do; tells whether more can be done at once.
async fn step(queue: &Queue, id: ReplayId, allowance: &mut Allowance) -> Result<bool, ReplayError> {
    let _turn = queue.replays.turn.lock().await;
    // It may have been cancelled since it was looked up.
    let Some(replay) = queue.replay(id).filter(|replay| !replay.state.is_over()) else { return Ok(false) };
    let registry = queue.registry();
    let Some(subscription) = registry.subscription(replay.subscription) else {
        return queue.finish(replay, ReplayState::Cancelled).await.map(|_| false);
    };
    if replay.state == ReplayState::Counting {
        return count(queue, replay, allowance).await;
    }
    if subscription.spec.state == SubscriptionState::Paused {
        return Ok(false);
    }
    let now = queue.clock.now();
    let due = queue.store.due(replay.subscription, now, &HashSet::new(), DUE_MAX).await?.rows.len();
    let allowed = allowance.take(replay.per_second, queue.clock.instant());
    let portion = (DUE_MAX - due.min(DUE_MAX)).min(PORTION).min(allowed);
    if portion == 0 {
        return Ok(false);
    }
    let page = queue.decided(&replay, replay.cursor, portion).await?;
    let cursor = page.next.map(DeliveryId::from_raw).or(page.items.last().copied()).or(replay.cursor);
    let moved = Replay { cursor, ..replay };
    let revived = revive(queue, &moved, page.items, now, subscription.template_version).await?;
    allowance.spend(revived);
    let replay = Replay { done: moved.done + revived as u64, ..moved };
    queue.replays.put(replay.clone());
    if page.next.is_none() {
        queue.finish(replay, ReplayState::Done).await?;
        return Ok(false);
    }
    // Nothing of a long stretch fitted.
    Ok(revived == 0)
}

/// Makes a portion due; the place that is reached is in the same commit.
async fn revive(
    queue: &Queue,
    replay: &Replay,
    deliveries: Vec<DeliveryId>,
    at: Timestamp,
    template_version: u32,
) -> Result<usize, StoreError> {
    if deliveries.is_empty() {
        return Ok(0);
    }
    let noted = replay.clone();
    let note: RevivalRecord = Arc::new(move |revived| record(&Replay { done: noted.done + revived as u64, ..noted.clone() }));
    let revival = Revival {
        subscription: replay.subscription,
        deliveries,
        states: replay.states.clone(),
        decided_by: replay.created_at,
        at,
        template_version,
        record: note,
    };
    queue.store.revive(revival).await
}

/// Counts on. The count is stored when it is complete; a restart counts anew.
async fn count(queue: &Queue, replay: Replay, allowance: &mut Allowance) -> Result<bool, ReplayError> {
    let page = queue.decided(&replay, allowance.after, COUNTED_AT_ONCE).await?;
    allowance.counted += page.items.len() as u64;
    allowance.after = page.next.map(DeliveryId::from_raw);
    let replay = Replay { matched: allowance.counted, ..replay };
    if allowance.after.is_some() {
        queue.replays.put(replay);
    } else if replay.dry_run || replay.matched == 0 {
        queue.finish(replay, ReplayState::Done).await?;
    } else {
        queue.save(Replay { state: ReplayState::Running, ..replay }).await?;
    }
    Ok(true)
}
