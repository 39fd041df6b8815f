//! How much is kept of each account, and the removal of what its limits leave no room for.
//!
//! Nothing is counted while no account has a limit. From then on the counts are in memory: one pass goes
//! back through what is stored, in small steps of the sweep, and what is accepted and removed meanwhile and
//! later is added and taken off. The counts are made anew at every start, and from time to time, which
//! also takes in what another server on the same database did.
//!
//! Of an account over its limits the oldest decided events go. Each account has a place in the store from
//! which on events of it are looked for, so that a round does not begin at the oldest event of all. What is
//! undecided is passed over; if the end is reached and it is still too much, that is told, and tried again later.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{AccountLimits, EventQuery, Queue, StoreError};
use crate::event::AccountId;
use crate::id::EventId;
use crate::store::{EventSize, Excess, Pruned};

/// Events that one step counts.
const COUNTED_PER_STEP: usize = 500;
/// Most events that one step removes.
const REMOVED_PER_STEP: usize = 128;
/// How long counts are taken for right.
const COUNTS_MAX_AGE: Duration = Duration::from_secs(6 * 3_600);
/// How long after a pass through all events of an account the next one begins with the oldest again.
const PASS_PAUSE: Duration = Duration::from_secs(600);

/// What is kept of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    events: u64,
    bytes: u64,
    /// No event of it is older.
    oldest: EventId,
}

type Counts = HashMap<AccountId, Kept>;

/// The counts of all accounts.
#[derive(Debug, Default)]
pub(super) struct KeptCounts(Mutex<Counting>);

#[derive(Debug, Default)]
enum Counting {
    /// No account has a limit.
    #[default]
    Off,
    /// It is about to begin, and the newest event is not known yet; these came in meanwhile.
    Begun(Vec<EventSize>),
    /// Events up to `newest` are counted back to `before`, newer ones as they come in.
    UnderWay { counts: Counts, newest: EventId, before: EventId },
    /// Everything is counted.
    Done { counts: Counts, since: Instant },
}

impl KeptCounts {
    fn lock(&self) -> MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event that was accepted.
    pub(super) fn added(&self, id: EventId, account: &AccountId, bytes: u64) {
        match &mut *self.lock() {
            Counting::Off => {}
            Counting::Begun(early) => early.push(EventSize { id, account: account.clone(), bytes }),
            Counting::UnderWay { newest, .. } if id <= *newest => {}
            Counting::UnderWay { counts, .. } | Counting::Done { counts, .. } => add(counts, id, account, bytes),
        }
    }

    /// Takes off what was removed for its age.
    pub(super) fn removed(&self, pruned: &Pruned) {
        if pruned.removed.len() == pruned.events {
            self.take_off(&pruned.removed);
        } else {
            // A store that does not tell what it removed: count again.
            let mut counting = self.lock();
            if !matches!(*counting, Counting::Off) {
                *counting = Counting::Begun(Vec::new());
            }
        }
    }

    fn take_off(&self, removed: &[EventSize]) {
        match &mut *self.lock() {
            Counting::Off | Counting::Begun(_) => {}
            // What was not come to yet is not counted.
            Counting::UnderWay { counts, before, .. } => {
                let counted = removed.iter().filter(|event| event.id >= *before);
                counted.for_each(|event| subtract(counts, event));
            }
            Counting::Done { counts, .. } => removed.iter().for_each(|event| subtract(counts, event)),
        }
    }

    /// Forgets a deleted account.
    pub(super) fn forget(&self, account: &AccountId) {
        match &mut *self.lock() {
            Counting::Off | Counting::Begun(_) => {}
            Counting::UnderWay { counts, .. } | Counting::Done { counts, .. } => drop(counts.remove(account)),
        }
    }
}

fn add(counts: &mut Counts, id: EventId, account: &AccountId, bytes: u64) {
    let kept = counts.entry(account.clone()).or_insert(Kept { events: 0, bytes: 0, oldest: id });
    kept.events += 1;
    kept.bytes += bytes;
    kept.oldest = kept.oldest.min(id);
}

fn subtract(counts: &mut Counts, event: &EventSize) {
    if let Some(kept) = counts.get_mut(&event.account) {
        kept.events = kept.events.saturating_sub(1);
        kept.bytes = kept.bytes.saturating_sub(event.bytes);
    }
}

/// How far the accounts over their limits were gone through.
#[derive(Debug, Default)]
pub(super) struct Trimming {
    passes: HashMap<AccountId, Pass>,
}

/// A pass through the events of one account, oldest first.
#[derive(Debug, Clone, Copy)]
struct Pass {
    after: EventId,
    /// When it began at the oldest event.
    began: Instant,
    /// Whether it has not rested since.
    is_whole: bool,
    /// Whether there is nothing to do, or nothing that can be done.
    rests: bool,
    /// Whether it came to the end and the account is still over its limits.
    in_vain: bool,
}

impl Queue {
    /// One step of keeping accounts to their limits; tells whether there is more to do at once.
    pub(super) async fn keep_to_limits(&self, default: AccountLimits, trimming: &mut Trimming) -> Result<bool, StoreError> {
        if !default.are_set() && !self.registry().accounts().any(|account| account.limits.are_set()) {
            *self.kept.lock() = Counting::Off;
            trimming.passes.clear();
            self.metrics.set_accounts_over_limit(0);
            return Ok(false);
        }
        if self.count_kept().await? {
            return Ok(true);
        }
        let (over, registry, now) = (self.over_limits(default), self.registry(), self.clock.instant());
        trimming.passes.retain(|account, pass| {
            if !over.iter().any(|(other, ..)| other == account) {
                (pass.rests, pass.in_vain) = (true, false);
            }
            registry.account(account).is_some()
        });
        let mut is_more = false;
        for (account, excess, oldest) in over {
            let after = EventId::from_raw(oldest.raw().saturating_sub(1));
            let anew = Pass { after, began: now, is_whole: true, rests: false, in_vain: false };
            let pass = trimming.passes.entry(account.clone()).or_insert(anew);
            if pass.rests {
                let may_begin_anew = now.duration_since(pass.began) >= PASS_PAUSE;
                *pass = match (may_begin_anew, pass.in_vain) {
                    (true, in_vain) => Pass { in_vain, ..anew },
                    (false, true) => continue,
                    (false, false) => Pass { rests: false, is_whole: false, ..*pass },
                };
            }
            let trimmed = self.store.trim(&account, excess, pass.after, REMOVED_PER_STEP).await?;
            self.kept.take_off(&trimmed.removed);
            self.metrics.events_removed("limit", trimmed.removed.len());
            is_more = true;
            match (trimmed.next, trimmed.removed.last()) {
                (Some(next), _) => pass.after = next,
                (None, Some(last)) if left(excess, &trimmed.removed) == Excess::default() => pass.after = last.id,
                // What was undecided when it was passed over may be decided by now.
                (None, _) if !pass.is_whole => *pass = anew,
                (None, _) => {
                    if !pass.in_vain {
                        tracing::warn!(%account, "the account is over its limits, and what is left of it is undecided, which is never removed");
                    }
                    (pass.rests, pass.in_vain) = (true, true);
                }
            }
        }
        self.metrics.set_accounts_over_limit(trimming.passes.values().filter(|pass| pass.in_vain).count());
        Ok(is_more)
    }

    /// One step of counting; tells whether it goes on.
    async fn count_kept(&self) -> Result<bool, StoreError> {
        let now = self.clock.instant();
        let place = match &mut *self.kept.lock() {
            Counting::Done { since, .. } if now.duration_since(*since) < COUNTS_MAX_AGE => return Ok(false),
            Counting::UnderWay { before, .. } => Some(*before),
            counting @ (Counting::Off | Counting::Done { .. }) => {
                *counting = Counting::Begun(Vec::new());
                None
            }
            Counting::Begun(_) => None,
        };
        let limit = if place.is_some() { COUNTED_PER_STEP } else { 1 };
        let page = self.store.events(&EventQuery { before: place, limit, ..EventQuery::default() }).await?;
        let mut counting = self.kept.lock();
        match &mut *counting {
            Counting::Begun(early) => {
                let newest = page.items.first().map_or(EventId::from_raw(0), |event| event.id);
                let mut counts = Counts::new();
                early.iter().filter(|event| event.id > newest).for_each(|event| add(&mut counts, event.id, &event.account, event.bytes));
                *counting = Counting::UnderWay { counts, newest, before: EventId::from_raw(newest.raw().saturating_add(1)) };
            }
            Counting::UnderWay { counts, before, .. } => {
                page.items.iter().for_each(|event| add(counts, event.id, &event.account, event.data.stored().len() as u64));
                match page.next {
                    Some(next) => *before = EventId::from_raw(next),
                    None => *counting = Counting::Done { counts: std::mem::take(counts), since: now },
                }
            }
            Counting::Off | Counting::Done { .. } => {}
        }
        Ok(true)
    }

    /// The accounts over their limits, by how much, and where their oldest event is.
    fn over_limits(&self, default: AccountLimits) -> Vec<(AccountId, Excess, EventId)> {
        let registry = self.registry();
        let Counting::Done { counts, .. } = &*self.kept.lock() else { return Vec::new() };
        let mut over = Vec::new();
        for (account, kept) in counts {
            let Some(limits) = registry.account(account).map(|account| account.limits.or(default)) else { continue };
            let excess = Excess {
                events: limits.events_max.map_or(0, |max| kept.events.saturating_sub(max)),
                bytes: limits.bytes_max.map_or(0, |max| kept.bytes.saturating_sub(max)),
            };
            if excess != Excess::default() {
                over.push((account.clone(), excess, kept.oldest));
            }
        }
        over
    }
}

/// What is still too much after these were removed.
fn left(excess: Excess, removed: &[EventSize]) -> Excess {
    let bytes: u64 = removed.iter().map(|event| event.bytes).sum();
    Excess { events: excess.events.saturating_sub(removed.len() as u64), bytes: excess.bytes.saturating_sub(bytes) }
}
