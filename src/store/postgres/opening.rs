//! Opening a database, and then serving it.

use std::sync::{Arc, mpsc};

use tokio::runtime::Handle;
use tokio::sync::mpsc as tokio_mpsc;

use super::fault::Fault;
use super::inbox::Inbox;
use super::known::Known;
use super::leases::Leases;
use super::listener::Listener;
use super::migrate::{MigrateError, migrate};
use super::node::Node;
use super::questions::sums_of_counts;
use super::retention::newest_id;
use super::session::{Connector, Readers, Session};
use super::writer::{Writer, WriterParts};
use crate::clock::Timestamp;
use crate::store::cache::EventCache;
use crate::store::ledger::{Ledger, LedgerParts};
use crate::store::{CommitNotices, StoreOptions};

/// What the thread of a store begins with.
pub(super) struct Opening {
    pub(super) connector: Connector,
    pub(super) node: Arc<Node>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) notices: Arc<CommitNotices>,
    pub(super) cache: Arc<EventCache>,
    pub(super) options: StoreOptions,
}

/// What it hands over when the database is ready.
pub(super) struct Opened {
    pub(super) readers: Arc<Readers>,
    pub(super) leases: Leases,
    /// When it was opened, if an earlier process of this node did not leave properly.
    pub(super) unclean_stop: Option<Timestamp>,
}

impl Opening {
    /// Opens, tells how that went, and serves until the store ends.
    pub(super) async fn serve(self, opened: &mpsc::Sender<Result<Opened, String>>) {
        let readers = Readers::new(self.connector.clone(), self.node.clone(), Handle::current());
        let (connector, node, notices) = (self.connector.clone(), self.node.clone(), self.notices.clone());
        match self.begin().await {
            // Whoever opened it is waiting.
            Err(error) => drop(opened.send(Err(error))),
            Ok((mut writer, unclean_stop)) => {
                let (teller, news) = tokio_mpsc::unbounded_channel();
                writer.tell_others_by(teller);
                let leases = Leases::start(connector.clone());
                if node.name().is_some() {
                    tokio::spawn(Listener { connector, node, notices, news }.run());
                }
                let _ = opened.send(Ok(Opened { readers, leases, unclean_stop }));
                writer.run().await;
            }
        }
    }

    async fn begin(self) -> Result<(Writer, Option<Timestamp>), String> {
        let words = |fault: Fault| match fault {
            Fault::Lost(detail) | Fault::Repeat(detail) | Fault::NoPartition(detail) | Fault::Full(detail) | Fault::Refused(detail) => {
                detail
            }
        };
        let session = self.connector.connect().await.map_err(words)?;
        migrate(&session, self.options.must_exist).await.map_err(|error| match error {
            MigrateError::Fault(fault) => words(fault),
            MigrateError::Unfit(detail) => detail,
        })?;
        self.begin_with(session).await.map_err(words)
    }

    async fn begin_with(self, session: Session) -> Result<(Writer, Option<Timestamp>), Fault> {
        let Self { connector, node, inbox, notices, cache, options } = self;
        let opened_at = options.clock.now();
        let commits_early = commits_early(&session).await?;
        let newest = newest_id(&session).await?;
        let unclean = node.enter(&session, opened_at).await?;
        let parts = LedgerParts { kv: Arc::new(Known::default()), cache, quarantined: Arc::default() };
        let (clock, observer) = (options.clock.clone(), options.observer.clone());
        let mut ledger = Ledger::new(parts, options, newest);
        ledger.set_counts(sums_of_counts(&session).await?);
        let parts = WriterParts { connector, session, ledger, inbox, notices, node, clock, observer, commits_early };
        let writer = Writer::new(parts);
        Ok((writer, unclean.then_some(opened_at)))
    }
}

/// Whether the server answers commits before they are on its disk.
async fn commits_early(session: &Session) -> Result<bool, Fault> {
    let rows = session.query("SELECT current_setting('synchronous_commit') = 'off'", &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
