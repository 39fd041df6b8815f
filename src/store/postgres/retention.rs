//! Retention: whole days are dropped where nothing in them is undecided, single events are deleted elsewhere.
//!
//! As with the embedded engines, a step looks at a bounded number of events and the next one goes on where
//! it ended, so that events which must stay are not looked at again in every step.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio_postgres::types::Type;

use super::fault::Fault;
use super::partitions::{Day, PARTITIONED};
use super::questions::{after_deliveries_of, readable};
use super::rows::{DELIVERY, delivery_record};
use super::session::{Readers, Session};
use super::wire::{Id, Param, raw};
use crate::clock::Timestamp;
use crate::event::{AccountId, IdempotencyKey};
use crate::id::{EventId, SubscriptionId};
use crate::store::ledger::{Balance, CountChange};
use crate::store::record::{BadRecord, StateRecord};
use crate::store::{EventSize, Excess, Pruned, StoreError, Trimmed, layout};

use super::write::send_counts;

/// Most events one step removes, and looks at.
const EVENTS_PER_STEP_MAX: usize = 512;
/// Most events of all accounts one step of trimming looks at.
const TRIM_SEEN_PER_STEP_MAX: i64 = 2_048;
/// Most expired keys one step removes.
const KEYS_PER_STEP_MAX: i64 = 2_048;
/// How often a step is tried that other transactions get in the way of.
const TRIES_MAX: u32 = 5;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '2s'";

/// Where the last step ended.
#[derive(Debug, Default)]
pub(super) struct Retention {
    up_to: Mutex<u128>,
}

/// What a step did.
#[derive(Default)]
struct Step {
    removed: usize,
    /// What was removed, where it was looked at one by one.
    events: Vec<EventSize>,
    /// Whether it was ended by its bounds.
    more: bool,
    up_to: u128,
}

/// What retention does in one transaction.
#[derive(Debug)]
enum Task<'a> {
    /// Drops a day.
    DropDay(Day),
    /// Looks at events from `low` on, below `high`, and removes up to `limit` of them.
    Step { low: u128, high: u128, limit: usize },
    /// Removes the oldest events of an account that is over its limits.
    Trim { account: &'a AccountId, excess: Excess, after: u128, limit: usize },
    /// Removes these events with their keys.
    Remove(&'a [Id]),
    /// Removes keys that expired by then.
    Keys { until: i64 },
}

impl Retention {
    /// Removes about `limit` events received before `before`, and keys that expired before `now`.
    pub(super) async fn prune(
        &self,
        readers: &Readers,
        slot: i16,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        // Up to the last full minute, as the embedded engines count.
        let until = (i64::from(layout::expiry_minute(now)) - 1) * 60_000;
        loop {
            let step = do_patiently(readers, &Task::Keys { until }, slot).await?;
            pruned.keys += step.removed;
            if !step.more {
                break;
            }
        }
        for day in days_before(readers, before).await? {
            if pruned.events >= limit {
                return Ok(Pruned { more: true, ..pruned });
            }
            pruned.events += do_patiently(readers, &Task::DropDay(day), slot).await?.removed;
        }
        let high = layout::first_id_at(before);
        loop {
            let limit_left = limit.saturating_sub(pruned.events).min(EVENTS_PER_STEP_MAX);
            let low = *self.up_to.lock().unwrap_or_else(PoisonError::into_inner);
            let step = do_patiently(readers, &Task::Step { low, high, limit: limit_left }, slot).await?;
            *self.up_to.lock().unwrap_or_else(PoisonError::into_inner) = step.up_to;
            pruned.events += step.removed;
            pruned.removed.extend(step.events);
            pruned.more = step.more;
            if !step.more || pruned.events >= limit {
                return Ok(pruned);
            }
        }
    }
}

/// One step of removing the oldest events of an account that is over its limits.
pub(super) async fn trim(
    readers: &Readers,
    slot: i16,
    (account, excess): (&AccountId, Excess),
    after: EventId,
    limit: usize,
) -> Result<Trimmed, StoreError> {
    let task = Task::Trim { account, excess, after: after.raw(), limit: limit.min(EVENTS_PER_STEP_MAX) };
    let step = do_patiently(readers, &task, slot).await?;
    Ok(Trimmed { removed: step.events, next: step.more.then(|| EventId::from_raw(step.up_to)) })
}

/// Removes these events with all that hangs on them and their keys, but those of which something is
/// undecided; answers how many are gone.
pub(super) async fn remove_events(readers: &Readers, slot: i16, events: &[EventId]) -> Result<usize, StoreError> {
    let mut removed = 0;
    for step in events.chunks(EVENTS_PER_STEP_MAX) {
        let ids: Vec<Id> = step.iter().map(|event| Id(event.raw())).collect();
        removed += do_patiently(readers, &Task::Remove(&ids), slot).await?.removed;
    }
    Ok(removed)
}

/// Does a task, and again while other transactions are in the way.
async fn do_patiently(readers: &Readers, task: &Task<'_>, slot: i16) -> Result<Step, StoreError> {
    let mut tries = 0;
    loop {
        let reader = readers.reader().await?;
        let done = do_once(&reader.session, task, slot).await;
        tries += 1;
        match done {
            Ok(step) => {
                reader.give_back();
                return Ok(step);
            }
            Err(Fault::Repeat(_) | Fault::NoPartition(_)) if tries < TRIES_MAX => {}
            Err(fault) => return Err(readers.told(fault)),
        }
    }
}

/// Does a task in a transaction. If it fails, the connection is not used any more.
async fn do_once(session: &Session, task: &Task<'_>, slot: i16) -> Result<Step, Fault> {
    session.run(BEGIN).await?;
    let step = match task {
        Task::DropDay(day) => drop_day(session, *day, slot).await?,
        Task::Step { low, high, limit } => prune_step(session, *low, *high, *limit, slot).await?,
        Task::Trim { account, excess, after, limit } => trim_step(session, (account, *excess), *after, *limit, slot).await?,
        Task::Remove(events) => remove_named(session, events, slot).await?,
        Task::Keys { until } => prune_keys(session, *until).await?,
    };
    session.run("COMMIT").await?;
    Ok(step)
}

/// Who removes data of an account removes its keys too, or its events could not be sent again.
async fn remove_named(session: &Session, events: &[Id], slot: i16) -> Result<Step, Fault> {
    let statement = "SELECT id, account, key FROM postrider.events WHERE id = ANY ($1)";
    let mut keys = BTreeMap::new();
    for row in session.query(statement, &[(&events, Type::UUID_ARRAY)]).await? {
        let key = row.get::<_, Option<&str>>(2).and_then(|text| text.parse::<IdempotencyKey>().ok());
        let account = row.get::<_, &str>(1).parse::<AccountId>();
        if let (Some(key), Ok(account)) = (key, account) {
            keys.insert(Id(raw(&row, 0)), Id::from(key.digest(&account)));
        }
    }
    let gone = remove_decided(session, events, slot).await?;
    let with_key = |event: &EventSize| Some((Id(event.id.raw()), *keys.get(&Id(event.id.raw()))?));
    let (gone_events, digests): (Vec<Id>, Vec<Id>) = gone.iter().filter_map(with_key).unzip();
    let statement = "DELETE FROM postrider.keys USING unnest($1::uuid[], $2::uuid[]) AS gone (event, digest) \
         WHERE keys.digest = gone.digest AND keys.event = gone.event";
    session.query(statement, &[(&gone_events, Type::UUID_ARRAY), (&digests, Type::UUID_ARRAY)]).await?;
    Ok(Step { removed: gone.len(), ..Step::default() })
}

async fn prune_keys(session: &Session, until: i64) -> Result<Step, Fault> {
    let statement = "DELETE FROM postrider.keys WHERE digest IN \
           (SELECT digest FROM postrider.keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1";
    let removed = session.query(statement, &[(&until, Type::INT8), (&KEYS_PER_STEP_MAX, Type::INT8)]).await?.len();
    Ok(Step { removed, more: i64::try_from(removed).unwrap_or(i64::MAX) == KEYS_PER_STEP_MAX, ..Step::default() })
}

/// The days all of which lies before this moment and that have partitions, oldest first.
async fn days_before(readers: &Readers, before: Timestamp) -> Result<Vec<Day>, StoreError> {
    let statement = "SELECT child.relname::text FROM pg_inherits \
           JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent \
           JOIN pg_namespace ON pg_namespace.oid = parent.relnamespace \
         WHERE nspname = 'postrider' AND parent.relname = 'events'";
    let rows = readers.rows(statement, &[]).await?;
    let mut days: Vec<Day> =
        rows.iter().filter_map(|row| Day::of_partition(row.get(0))).filter(|day| day.next() <= Day::at(before.unix_ms())).collect();
    days.sort_unstable();
    Ok(days)
}

/// Drops the partitions of a day unless something in it is undecided.
async fn drop_day(session: &Session, day: Day, slot: i16) -> Result<Step, Fault> {
    let deliveries = day.partition("deliveries");
    // Nobody may revive one meanwhile.
    session.run(&format!("LOCK TABLE postrider.{deliveries} IN SHARE ROW EXCLUSIVE MODE")).await?;
    if !session.query(&format!("SELECT 1 FROM postrider.{deliveries} WHERE state = 0 LIMIT 1"), &[]).await?.is_empty() {
        return Ok(Step::default());
    }
    keep_newest_id(session).await?;
    let statement = format!(
        "SELECT subscription, min(account), count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2), \
           count(*) FILTER (WHERE state = 3), sum(attempts)::bigint FROM postrider.{deliveries} GROUP BY subscription"
    );
    let mut changes = Vec::new();
    for row in session.query(&statement, &[]).await? {
        let Ok(account) = row.get::<_, &str>(1).parse() else { continue };
        let less = |column| -row.get::<_, i64>(column);
        let change = Balance { waiting: 0, delivered: less(2), dead: less(3), cancelled: less(4), attempts: less(5) };
        changes.push(CountChange { subscription: SubscriptionId::from_raw(raw(&row, 0)), account, change });
    }
    send_counts(session, slot, changes).await?;
    let events = session.query(&format!("SELECT count(*) FROM postrider.{}", day.partition("events")), &[]).await?;
    for (table, _) in PARTITIONED {
        session.run(&format!("DROP TABLE postrider.{}", day.partition(table))).await?;
    }
    remove_empty_counts(session).await?;
    let removed = events.first().map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or_default());
    Ok(Step { removed, ..Step::default() })
}

/// Looks at the next events and removes up to `limit` of them.
async fn prune_step(session: &Session, low: u128, high: u128, limit: usize, slot: i16) -> Result<Step, Fault> {
    let (low_id, high_id, seen_max) = (Id(low), Id(high), i64::try_from(EVENTS_PER_STEP_MAX).unwrap_or(i64::MAX));
    let statement = "SELECT id FROM postrider.events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3";
    let values: [Param<'_>; 3] = [(&low_id, Type::UUID), (&high_id, Type::UUID), (&seen_max, Type::INT8)];
    let seen: Vec<Id> = session.query(statement, &values).await?.iter().map(|row| row.get(0)).collect();
    let undecided = undecided_of(session, &seen).await?;
    let mut ended_early = seen.len() == EVENTS_PER_STEP_MAX;
    let (mut wanted, mut up_to) = (Vec::new(), low);
    for event in seen {
        if wanted.len() == limit {
            ended_early = true;
            break;
        }
        if !undecided.contains(&event) {
            wanted.push(event);
        }
        up_to = event.0 + 1;
    }
    let events = remove_decided(session, &wanted, slot).await?;
    Ok(Step { removed: events.len(), events, more: ended_early, up_to: if ended_early { up_to } else { 0 } })
}

/// Looks at the events after `after`, and removes those of the account that are decided, oldest first, up to
/// `limit` and to what is too much. It is to be gone on after `up_to` if there is more.
async fn trim_step(
    session: &Session,
    (account, mut excess): (&AccountId, Excess),
    after: u128,
    limit: usize,
    slot: i16,
) -> Result<Step, Fault> {
    let statement = "SELECT id, account = $1, octet_length(data)::bigint FROM postrider.events WHERE id > $2 ORDER BY id LIMIT $3";
    let (name, after_id) = (account.as_str(), Id(after));
    let values: [Param<'_>; 3] = [(&name, Type::TEXT), (&after_id, Type::UUID), (&TRIM_SEEN_PER_STEP_MAX, Type::INT8)];
    let rows = session.query(statement, &values).await?;
    let seen: Vec<Id> = rows.iter().map(|row| row.get(0)).collect();
    let undecided = undecided_of(session, &seen).await?;
    let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) == TRIM_SEEN_PER_STEP_MAX;
    let (mut wanted, mut up_to) = (Vec::new(), full.then(|| seen.last().map_or(after, |last| last.0)));
    for row in rows.iter().filter(|row| row.get(1)) {
        let event: Id = row.get(0);
        if excess == Excess::default() || wanted.len() == limit {
            // The next step begins with this one.
            up_to = Some(event.0 - 1);
            break;
        }
        if !undecided.contains(&event) {
            excess.events = excess.events.saturating_sub(1);
            excess.bytes = excess.bytes.saturating_sub(u64::try_from(row.get::<_, i64>(2)).unwrap_or_default());
            wanted.push(event);
        }
    }
    let events = remove_decided(session, &wanted, slot).await?;
    Ok(Step { removed: events.len(), events, more: up_to.is_some(), up_to: up_to.unwrap_or_default() })
}

/// Those of these events, which follow on each other, of which something is undecided.
async fn undecided_of(session: &Session, events: &[Id]) -> Result<HashSet<Id>, Fault> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(HashSet::new()) };
    let last = Id(after_deliveries_of(EventId::from_raw(last.0)));
    let statement = "SELECT id FROM postrider.deliveries WHERE id > $1 AND id <= $2 AND state = 0";
    let rows = session.query(statement, &[(first, Type::UUID), (&last, Type::UUID)]).await?;
    Ok(rows.iter().map(|row| event_of(row.get(0))).collect())
}

fn event_of(delivery: Id) -> Id {
    Id(delivery.0 & !0xffff)
}

/// Removes those of the events of which nothing is undecided, with deliveries and attempts; answers which.
async fn remove_decided(session: &Session, events: &[Id], slot: i16) -> Result<Vec<EventSize>, Fault> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    keep_newest_id(session).await?;
    let ends: Vec<Id> = events.iter().map(|event| Id(after_deliveries_of(EventId::from_raw(event.0)))).collect();
    let statement = format!(
        "SELECT {DELIVERY} FROM postrider.deliveries WHERE id IN (SELECT found.id FROM unnest($1::uuid[], $2::uuid[]) AS asked (low, high) \
           CROSS JOIN LATERAL (SELECT id FROM postrider.deliveries WHERE id > asked.low AND id <= asked.high) AS found) ORDER BY id FOR UPDATE"
    );
    let rows = session.query(&statement, &[(&events, Type::UUID_ARRAY), (&ends, Type::UUID_ARRAY)]).await?;
    let mut undecided = HashSet::new();
    let mut deliveries = Vec::new();
    for row in &rows {
        let (id, subscription, record) =
            delivery_record(row).map_err(|error| Fault::Refused(format!("a delivery cannot be read: {error}")))?;
        let event = Id(id.event().raw());
        if matches!(record.state, StateRecord::Pending { .. }) {
            undecided.insert(event);
        }
        deliveries.push((event, Id(id.raw()), subscription, record));
    }
    let mut changes: BTreeMap<SubscriptionId, CountChange> = BTreeMap::new();
    let mut gone_deliveries = Vec::new();
    for (_, id, subscription, record) in deliveries.into_iter().filter(|(event, ..)| !undecided.contains(event)) {
        gone_deliveries.push(id);
        let account = record.account.clone();
        let entry = changes.entry(subscription).or_insert_with(|| CountChange { subscription, account, change: Balance::default() });
        let change = &mut entry.change;
        change.attempts -= i64::from(record.attempts);
        match record.state {
            StateRecord::Pending { .. } => {}
            StateRecord::Delivered { .. } => change.delivered -= 1,
            StateRecord::Dead { .. } => change.dead -= 1,
            StateRecord::Cancelled { .. } => change.cancelled -= 1,
        }
    }
    send_counts(session, slot, changes.into_values().collect()).await?;
    session.query("DELETE FROM postrider.attempts WHERE delivery = ANY ($1)", &[(&gone_deliveries, Type::UUID_ARRAY)]).await?;
    session.query("DELETE FROM postrider.deliveries WHERE id = ANY ($1)", &[(&gone_deliveries, Type::UUID_ARRAY)]).await?;
    let gone: Vec<Id> = events.iter().filter(|event| !undecided.contains(event)).copied().collect();
    let statement = "DELETE FROM postrider.events WHERE id = ANY ($1) RETURNING id, account, octet_length(data)::bigint";
    let rows = session.query(statement, &[(&gone, Type::UUID_ARRAY)]).await?;
    remove_empty_counts(session).await?;
    let size = |row: &tokio_postgres::Row| {
        let bytes = u64::try_from(row.get::<_, i64>(2)).unwrap_or_default();
        let account = row.get::<_, &str>(1).parse().map_err(|_| BadRecord::Content)?;
        Ok(EventSize { id: EventId::from_raw(raw(row, 0)), account, bytes })
    };
    let mut sizes = readable(&rows, size);
    sizes.sort_unstable_by_key(|event| event.id);
    Ok(sizes)
}

/// Removes the counts of subscriptions of which nothing is left, as far as one slot tells.
async fn remove_empty_counts(session: &Session) -> Result<(), Fault> {
    session.run("DELETE FROM postrider.counts WHERE waiting = 0 AND delivered = 0 AND dead = 0 AND cancelled = 0 AND attempts = 0").await
}

/// Keeps the newest id where the last event may go.
async fn keep_newest_id(session: &Session) -> Result<(), Fault> {
    session
        .run(
            "INSERT INTO postrider.meta (name, value) \
             SELECT 'newest_id', replace(id::text, '-', '') FROM (SELECT id FROM postrider.events ORDER BY id DESC LIMIT 1) AS newest \
             ON CONFLICT (name) DO UPDATE SET value = greatest(meta.value, excluded.value)",
        )
        .await
}

/// The newest raw id that was ever given, as far as the tables tell.
pub(super) async fn newest_id(session: &Session) -> Result<u128, Fault> {
    let kept = session.query("SELECT value FROM postrider.meta WHERE name = 'newest_id'", &[]).await?;
    let kept = kept.first().and_then(|row| u128::from_str_radix(row.get(0), 16).ok()).unwrap_or(0);
    let newest = session.query("SELECT id FROM postrider.events ORDER BY id DESC LIMIT 1", &[]).await?;
    Ok(newest.first().map_or(0, |row| raw(row, 0)).max(kept))
}
