//! Partitions by the day in the ids.
//!
//! Events, deliveries and attempts of one day lie in three tables of their own, so that retention drops
//! tables and does not delete rows. A partition is attached, not created as one: that locks less of its
//! parent and disturbs nobody who reads or writes.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::session::Session;

/// Tables that are partitioned, with the column of the id.
pub(super) const PARTITIONED: [(&str, &str); 3] = [("events", "id"), ("deliveries", "id"), ("attempts", "delivery")];

const DAY_MS: u64 = 86_400_000;

/// A day since 1970, as ids count time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day(u64);

impl Day {
    /// The day in an id.
    pub(super) const fn of(raw: u128) -> Self {
        Self((raw >> 80) as u64 / DAY_MS)
    }

    /// The day of a moment, in milliseconds since 1970.
    pub(super) fn at(unix_ms: i64) -> Self {
        Self(u64::try_from(unix_ms).unwrap_or(0) / DAY_MS)
    }

    /// The day after.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The first raw id of the day.
    pub(super) fn first_id(self) -> u128 {
        u128::from(self.0 * DAY_MS) << 80
    }

    /// The name of the partition of `table`.
    pub(super) fn partition(self, table: &str) -> String {
        format!("{table}_d{:06}", self.0)
    }

    /// The day of a partition of this name.
    pub(super) fn of_partition(name: &str) -> Option<Self> {
        name.rsplit_once("_d")?.1.parse().ok().map(Self)
    }
}

/// The days whose partitions are there, as far as this node knows.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: BTreeSet<Day>,
}

impl Partitions {
    /// Those of `days` that are not known to be there.
    pub(super) fn missing(&self, days: impl IntoIterator<Item = Day>) -> BTreeSet<Day> {
        days.into_iter().filter(|day| !self.known.contains(day)).collect()
    }

    /// Forgets what is known: another node may have dropped some.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Makes the partitions of these days where they are missing.
    pub(super) async fn make(&mut self, session: &Session, days: BTreeSet<Day>) -> Result<(), Fault> {
        for day in days {
            if let Err(fault) = session.run(&making(day)).await {
                session.run("ROLLBACK").await?;
                return Err(fault);
            }
            self.known.insert(day);
        }
        Ok(())
    }
}

/// The statements that make the partitions of a day, in one transaction that waits for those of other nodes.
fn making(day: Day) -> String {
    let mut statements = "BEGIN; SET LOCAL lock_timeout = '5s'; SELECT pg_advisory_xact_lock(1347375956, 0);".to_owned();
    let bound = |id: u128| {
        let hex = format!("{id:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let (low, high) = (bound(day.first_id()), bound(day.next().first_id()));
    for (table, _) in PARTITIONED {
        let name = day.partition(table);
        statements += &format!(
            "DO $$ BEGIN IF to_regclass('postrider.{name}') IS NULL THEN \
             CREATE TABLE postrider.{name} (LIKE postrider.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE); \
             ALTER TABLE postrider.{table} ATTACH PARTITION postrider.{name} FOR VALUES FROM ('{low}') TO ('{high}'); \
             END IF; END $$;"
        );
    }
    statements + "COMMIT"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdSource;

    #[test]
    fn an_id_lies_in_the_partition_of_its_day() {
        let noon = 1_732_276_800_000;
        let id = IdSource::new(7, 0).next(noon);
        let day = Day::of(id);
        assert_eq!(day, Day::at(noon));
        assert!(day.first_id() <= id && id < day.next().first_id());
        assert_eq!(Day::of_partition(&day.partition("events")), Some(day));
        assert_eq!(Day::of_partition("events_default"), None);
    }
}
