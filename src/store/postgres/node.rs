//! This node, as the database knows it: whether it is there, and what it left when it was killed.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::session::Session;
use crate::clock::Timestamp;
use crate::store::Revision;

/// How many slots the counts of a subscription have.
const SLOTS: u64 = 16;

/// After how long without a sign a node is taken for dead.
const DEAD_AFTER: &str = "60 seconds";

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name; none for a command, which sends nothing.
    name: Option<String>,
    slot: i16,
    /// Tells its notifications from those of others.
    tag: u64,
    reachable: AtomicBool,
    /// The writer has no connection and tries to get one.
    lost: AtomicBool,
    /// Whether other nodes were there lately.
    has_others: AtomicBool,
    /// The newest configuration that was seen.
    revision: watch::Sender<Revision>,
    /// Changes when lanes may have become free.
    freed: watch::Sender<u64>,
}

impl Node {
    pub(super) fn new(name: Option<String>, tag: u64) -> Self {
        Self {
            name,
            slot: i16::try_from(tag % SLOTS).unwrap_or_default(),
            tag,
            reachable: AtomicBool::new(true),
            lost: AtomicBool::new(false),
            has_others: AtomicBool::new(false),
            revision: watch::Sender::new(Revision::default()),
            freed: watch::Sender::new(0),
        }
    }

    /// Its share of the counts.
    pub(super) const fn slot(&self) -> i16 {
        self.slot
    }

    /// Marks its notifications.
    pub(super) const fn tag(&self) -> u64 {
        self.tag
    }

    /// Whether there are others to be told of what happens here.
    pub(super) fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Acquire)
    }

    /// Notes that there is a configuration of this revision.
    pub(super) fn see_revision(&self, revision: Revision) {
        self.revision.send_if_modified(|newest| {
            let newer = revision > *newest;
            *newest = revision.max(*newest);
            newer
        });
    }

    /// The newest configuration that was seen, and those to come.
    pub(super) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Notes that lanes may have become free.
    pub(super) fn see_freed(&self) {
        self.freed.send_modify(|count| *count += 1);
    }

    /// Changes when they may have.
    pub(super) fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }

    /// The name under which others know it.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the database can be reached.
    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }

    /// Notes whether the database can be reached; true if that is another than before.
    pub(super) fn set_reachable(&self, reachable: bool) -> bool {
        self.reachable.swap(reachable, Ordering::AcqRel) != reachable
    }

    /// Whether connections are refused or broken off; then one at a time is tried, and that by the writer.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Notes whether connections can be made.
    pub(super) fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Release);
    }

    /// Takes its place among the nodes; tells whether it was here before and did not leave.
    pub(super) async fn enter(&self, session: &Session, opened_at: Timestamp) -> Result<bool, Fault> {
        let Some(name) = &self.name else { return Ok(false) };
        session.run("BEGIN; SELECT pg_advisory_xact_lock(1347375956, -2)").await?;
        let gone = session
            .query(
                &format!("DELETE FROM postrider.nodes WHERE name = $1 OR seen_at < now() - interval '{DEAD_AFTER}' RETURNING name"),
                &[(name, Type::TEXT)],
            )
            .await?;
        let gone: Vec<String> = gone.iter().map(|row| row.get(0)).collect();
        let opened_ms = opened_at.unix_ms();
        let statement = "INSERT INTO postrider.nodes (name, opened_at, seen_at) VALUES ($1, $2, now())";
        session.query(statement, &[(name, Type::TEXT), (&opened_ms, Type::INT8)]).await?;
        session.run("COMMIT").await?;
        Ok(gone.contains(name))
    }

    /// Says that it is there.
    pub(super) async fn beat(&self, session: &Session) -> Result<(), Fault> {
        let Some(name) = &self.name else { return Ok(()) };
        // A node that was taken for dead has its place again.
        let statement = "INSERT INTO postrider.nodes (name, opened_at, seen_at) VALUES ($1, 0, now()) \
             ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at WHERE nodes.seen_at < excluded.seen_at - interval '5 seconds'";
        session.query(statement, &[(name, Type::TEXT)]).await?;
        let statement = format!("SELECT 1 FROM postrider.nodes WHERE name <> $1 AND seen_at > now() - interval '{DEAD_AFTER}' LIMIT 1");
        let others = session.query(&statement, &[(name, Type::TEXT)]).await?;
        self.has_others.store(!others.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Leaves properly.
    pub(super) async fn leave(&self, session: &Session) -> Result<(), Fault> {
        let Some(name) = &self.name else { return Ok(()) };
        session.query("DELETE FROM postrider.nodes WHERE name = $1", &[(name, Type::TEXT)]).await.map(drop)
    }
}
