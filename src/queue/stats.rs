//! What is owed, what happened lately, and how each subscription is doing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Counts, EndpointHealth, Queue, StoreError, SubscriptionCounts};
use crate::attempt::Outcome;
use crate::clock::Timestamp;
use crate::event::AccountId;
use crate::id::{NodeId, SubscriptionId};
use crate::metrics::{AccountClass, AttemptMeasure, AttemptNote, Measure, MinuteReport, Point, Series, Tally};
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, RecordQuery, Settlement};
use crate::subscription::{Subscription, SubscriptionState};

/// How long the look into the due indexes is good for.
const OLDEST_DUE_KEPT: Duration = Duration::from_secs(1);
/// After how many looks into due indexes other tasks have a turn.
const LOOKS_PER_TURN: usize = 32;

/// When the oldest row of each subscription that has one was due, and when that was looked up.
pub(super) type OldestDue = Option<(Instant, Arc<HashMap<SubscriptionId, Timestamp>>)>;

/// Which numbers are wanted.
#[derive(Debug, Clone)]
pub struct StatsQuery {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Where the series begins.
    pub since: Timestamp,
    /// Where it ends.
    pub until: Timestamp,
    /// The length of its steps: whole minutes, or whole hours beyond three hours ago.
    pub step: Duration,
}

/// What a queue has to tell about itself.
#[derive(Debug)]
pub struct Stats {
    /// What the store holds, waiting ones in flight or not.
    pub counts: Counts,
    /// How many of the waiting are in flight.
    pub in_flight: usize,
    /// Since when the delivery is due that has been due longest; none if none is due.
    pub oldest_due_at: Option<Timestamp>,
    /// What happened between the query's two moments, in steps.
    pub series: Vec<Point>,
    /// All of the series together.
    pub period: Tally,
    /// Each subscription, in the order of ids.
    pub subscriptions: Vec<SubscriptionStats>,
}

/// What there is to tell about one subscription.
#[derive(Debug)]
pub struct SubscriptionStats {
    /// Which.
    pub subscription: Subscription,
    /// What the store holds.
    pub counts: Counts,
    /// As for all.
    pub oldest_due_at: Option<Timestamp>,
    /// Attempts in the last minute.
    pub attempts_per_minute: f64,
    /// How its receiver is doing.
    pub health: EndpointHealth,
}

/// What the ids of the records begin with in which servers tell each other what they did, by the minute.
const ACTIVITY: &str = "activity/";
/// Comes after all of these ids.
const ACTIVITY_END: &str = "activity0";
/// Most of these records that are read at once: 3 hours of 50 servers.
const TOLD_MAX: usize = 10_000;

/// What a server has told of itself, and heard of others.
#[derive(Debug, Default)]
pub(super) struct ToldActivity {
    /// The last minute that was told, and what.
    told: Option<(Timestamp, Option<MinuteReport>)>,
    /// When it last heard.
    heard_at: Option<Timestamp>,
}

const fn minutes(count: i64) -> Duration {
    Duration::from_secs(60 * count.unsigned_abs())
}

const fn start_of_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(at.unix_ms() - at.unix_ms().rem_euclid(60_000))
}

/// The record of one server and minute. Its id sorts by time.
fn activity_id(at: Timestamp, server: NodeId) -> String {
    format!("{ACTIVITY}{:010}/{server}", at.unix_ms() / 60_000)
}

impl Queue {
    /// Tells other servers on the same store what this one, which they know as `server`, has done of late, and
    /// hears what they did.
    pub(super) async fn exchange_activity(&self, server: NodeId, told: &mut ToldActivity) -> Result<(), ConfigureError> {
        let now = self.clock.now();
        let this_minute = start_of_minute(now);
        // The last one is told again, since more has happened in it; so are those in which nothing could be told.
        let oldest = this_minute.before(minutes(Series::MINUTES));
        let mut minute = told.told.as_ref().map_or(this_minute.before(minutes(1)), |(minute, _)| *minute).max(oldest);
        while minute <= this_minute {
            let report = self.metrics.activity().minute(minute);
            let is_new = told.told.as_ref().is_none_or(|(last, of_last)| *last != minute || *of_last != report);
            if is_new && report.is_some() {
                let value = serde_json::to_string(&report).expect("it has only text keys, so it can be written as JSON");
                let record = ConfigurationRecord { kind: ConfigurationKind::Setting, id: activity_id(minute, server), value };
                self.write_configuration(vec![ConfigurationChange::Put { record, if_absent: false }]).await?;
            }
            told.told = Some((minute, report));
            minute = minute.after(minutes(1));
        }
        // Others may be late by a look, and by what their clocks differ.
        let since = told.heard_at.map_or(now.before(minutes(Series::MINUTES)), |at| at.before(minutes(2)));
        let (from, before) = (activity_id(since, NodeId::from_raw(0)), Some(ACTIVITY_END.into()));
        let query = RecordQuery { kind: ConfigurationKind::Setting, from, before, limit: TOLD_MAX };
        for record in self.store.records(&query).await? {
            let Some((minute, other)) = record.id.strip_prefix(ACTIVITY).and_then(|rest| rest.split_once('/')) else { continue };
            let Ok(minute) = minute.parse::<i64>() else { continue };
            if other != server.to_string()
                && let Ok(report) = serde_json::from_str(&record.value)
            {
                self.metrics.activity().hear(other, Timestamp::from_unix_ms(minute * 60_000), report, since);
            }
        }
        told.heard_at = Some(told.heard_at.map_or(now, |at| at.max(now)));
        Ok(())
    }

    /// Removes what servers told each other long ago.
    pub(super) async fn prune_activity(&self) -> Result<(), ConfigureError> {
        let cutoff = activity_id(self.clock.now().before(minutes(Series::MINUTES + 1)), NodeId::from_raw(0));
        let query = RecordQuery { kind: ConfigurationKind::Setting, from: ACTIVITY.into(), before: Some(cutoff), limit: TOLD_MAX };
        let old = self.store.records(&query).await?;
        if old.is_empty() {
            return Ok(());
        }
        self.write_configuration(
            old.into_iter().map(|ConfigurationRecord { kind, id, .. }| ConfigurationChange::Remove { kind, id }).collect(),
        )
        .await
    }

    /// The numbers of all accounts, or of one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn stats(&self, query: &StatsQuery) -> Result<Stats, StoreError> {
        let now = self.clock.now();
        let registry = self.registry();
        let wanted = |account: &AccountId| query.account.as_ref().is_none_or(|only| only == account);
        let counts = self.store.counts().await?;
        let oldest = self.oldest_due(&counts).await?;
        let mut counts: HashMap<SubscriptionId, Counts> =
            counts.into_iter().filter(|of| wanted(&of.account)).map(|of| (of.subscription, of.counts)).collect();
        let oldest_due = |id: SubscriptionId| oldest.get(&id).copied().filter(|due_at| *due_at <= now);
        let rates = self.metrics.activity().attempts_per_minute(now);
        let total = counts.values().fold(Counts::default(), |sum, counts| added(sum, *counts));
        let in_flight = self.in_flight.count_of(|subscription| counts.contains_key(&subscription));
        let oldest_due_at = counts.keys().filter_map(|id| oldest_due(*id)).min();
        let series = self.metrics.activity().points(query.account.as_ref(), (query.since, query.until), query.step, now);
        let mut period = Tally::default();
        series.iter().for_each(|point| period.merge(&point.tally));
        let mut subscriptions: Vec<_> = registry
            .subscriptions()
            .filter(|subscription| wanted(&subscription.spec.account))
            .map(|subscription| SubscriptionStats {
                subscription: subscription.clone(),
                counts: counts.remove(&subscription.id).unwrap_or_default(),
                oldest_due_at: oldest_due(subscription.id),
                attempts_per_minute: rates.get(&subscription.id).copied().unwrap_or_default(),
                health: self.endpoint(subscription.id),
            })
            .collect();
        subscriptions.sort_unstable_by_key(|stats| stats.subscription.id);
        Ok(Stats { counts: total, in_flight, oldest_due_at, series, period, subscriptions })
    }

    /// Looks up what the metrics show of the present state.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn measure(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let registry = self.registry();
        let all = self.store.counts().await?;
        let oldest = self.oldest_due(&all).await?;
        let mut measures = AccountClass::ALL.map(|class| (class, Measure::default()));
        for SubscriptionCounts { subscription, account, counts } in &all {
            let measure = &mut measures[registry.class_of(account) as usize].1;
            let states = [counts.waiting, counts.delivered, counts.dead, counts.cancelled];
            measure.deliveries.iter_mut().zip(states).for_each(|(sum, count)| *sum += count);
            let age = oldest.get(subscription).map(|due_at| now.since(*due_at)).unwrap_or_default();
            measure.oldest_due_age = measure.oldest_due_age.max(age);
        }
        measures.iter().for_each(|(class, measure)| self.metrics.set_measure(*class, measure));
        let paused = registry.subscriptions().filter(|subscription| subscription.spec.state == SubscriptionState::Paused).count();
        let active = registry.subscriptions().count() - paused;
        self.metrics.set_whole(self.in_flight.count(), (active, paused), self.failing(), self.replays_running());
        Ok(())
    }

    /// When the first row of every due index is due: one look for each subscription that owes something,
    /// at most once a second.
    pub(super) async fn oldest_due(&self, counts: &[SubscriptionCounts]) -> Result<Arc<HashMap<SubscriptionId, Timestamp>>, StoreError> {
        let instant = self.clock.instant();
        if let Some((looked_at, oldest)) = &*self.oldest_due.lock().unwrap_or_else(PoisonError::into_inner)
            && instant.duration_since(*looked_at) < OLDEST_DUE_KEPT
        {
            return Ok(oldest.clone());
        }
        let mut oldest = HashMap::new();
        let nothing = HashSet::new();
        let waiting: Vec<_> = counts.iter().filter(|of| of.counts.waiting > 0).map(|of| of.subscription).collect();
        for (number, subscription) in (1..).zip(waiting) {
            // Nothing was due in the year zero, so that the first row is the next one.
            let page = self.store.due(subscription, Timestamp::from_unix_ms(i64::MIN), &nothing, 1).await?;
            oldest.extend(page.next_due.map(|due_at| (subscription, due_at)));
            if number % LOOKS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        let oldest = Arc::new(oldest);
        *self.oldest_due.lock().unwrap_or_else(PoisonError::into_inner) = Some((instant, oldest.clone()));
        Ok(oldest)
    }
}

/// What is worth counting of a settlement, but for whether it ended the delivery.
pub(super) fn measure_of(settlement: &Settlement) -> AttemptMeasure {
    let Settlement { subscription, attempt, leased_due_at, at, .. } = settlement;
    let is_first = attempt.number == 1;
    let note = AttemptNote {
        subscription: *subscription,
        delivered: attempt.outcome == Outcome::Delivered,
        dead: false,
        latency: is_first.then(|| at.since(*leased_due_at)),
    };
    AttemptMeasure { note, outcome: attempt.outcome, retry: !is_first }
}

const fn added(a: Counts, b: Counts) -> Counts {
    Counts {
        waiting: a.waiting + b.waiting,
        delivered: a.delivered + b.delivered,
        dead: a.dead + b.dead,
        cancelled: a.cancelled + b.cancelled,
        attempts: a.attempts + b.attempts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ScriptedClock;
    use crate::rng::SeededRng;
    use crate::secret::{MasterKeys, Vault};
    use crate::store::{EmbeddedStore, MemoryKv, StoreOptions};

    #[tokio::test(start_paused = true)]
    async fn every_minute_of_another_server_is_heard_of_once_however_late() {
        let clock = Arc::new(ScriptedClock::starting_at(Timestamp::from_unix_ms(1_732_233_600_000)));
        let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
        let store = Arc::new(EmbeddedStore::inline(MemoryKv::default(), options).unwrap());
        let open = async |tag| {
            let rng = Arc::new(SeededRng::new(tag));
            let vault = Vault::new(MasterKeys::draw(&*rng), rng);
            Queue::open(store.clone(), clock.clone(), tag, minutes(60), vault).await.unwrap()
        };
        let (here, there) = (open(1).await, open(2).await);
        let (mut of_here, mut of_there) = (ToldActivity::default(), ToldActivity::default());
        let account: AccountId = "acme".parse().unwrap();
        let seen = || {
            let now = here.clock.now();
            let points = here.metrics.activity().points(None, (now.before(minutes(60)), now.after(minutes(1))), minutes(1), now);
            points.iter().map(|point| point.tally.events).sum::<u64>()
        };
        // Half a second before a minute ends, and told in the next one; then nothing is told for some minutes.
        for (count, pause) in [(1, 59_500), (2, 1_000), (3, 300_000), (4, 1_000), (5, 59_000)] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            there.metrics.activity().accepted(&account, there.clock.now(), 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            for _ in 0..2 {
                there.exchange_activity(NodeId::from_raw(2), &mut of_there).await.unwrap();
                here.exchange_activity(NodeId::from_raw(1), &mut of_here).await.unwrap();
            }
            assert_eq!(seen(), count);
        }
    }
}
