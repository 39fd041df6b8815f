//! Connections: made, used, kept for the next reader.
//!
//! Statements are unnamed and carry the types of their values, so that each takes one round trip and a
//! pooler in transaction mode may give every transaction another server. What a transaction needs of
//! settings it sets for itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::join;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row};

use super::address::{Address, Tls};
use super::fault::Fault;
use super::node::Node;
use super::tls::Encryption;
use super::wire::Param;
use crate::store::StoreError;

/// Most connections of one node that answer questions.
const READERS_MAX: usize = 6;
/// How long a question may take.
const QUESTION_MAX: Duration = Duration::from_secs(20);
/// How long the driver waits for an answer beyond what the server allows itself.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// Begins a transaction that only reads and sees one moment.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '20s'";

/// The same for the first rows in the order of an index. Of a lane that has filled up since the statistics were
/// made, the planner thinks that it has few rows, and would read them all and sort them.
const BEGIN_READING_IN_ORDER: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '20s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";

/// The same without a bound.
const BEGIN_LONG_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
}

/// Makes connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) address: Address,
    encryption: Option<Encryption>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connector").field(&self.address).finish()
    }
}

impl Connector {
    /// For `address`.
    ///
    /// # Errors
    /// What is wrong with the authorities that the address names.
    pub(super) fn new(address: Address) -> Result<Self, String> {
        let encryption = match &address.tls {
            Tls::Off => None,
            checked => Some(Encryption::new(checked)?),
        };
        Ok(Self { address, encryption })
    }

    /// A connection, driven by a task of its own.
    pub(super) async fn connect(&self) -> Result<Session, Fault> {
        self.open(&self.address.config, None).await
    }

    /// The same, past the pooler if there is one; what other sessions notify goes to `heard`, which is closed
    /// when the connection ends.
    pub(super) async fn connect_listening(&self, heard: mpsc::UnboundedSender<String>) -> Result<Session, Fault> {
        self.open(self.address.listening.as_ref().unwrap_or(&self.address.config), Some(heard)).await
    }

    async fn open(&self, config: &Config, heard: Option<mpsc::UnboundedSender<String>>) -> Result<Session, Fault> {
        let made = async {
            match self.encryption.clone() {
                None => {
                    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                    tokio::spawn(drive(connection, heard));
                    Ok(Session { client })
                }
                Some(encryption) => {
                    let (client, connection) = config.connect(encryption).await?;
                    tokio::spawn(drive(connection, heard));
                    Ok(Session { client })
                }
            }
        };
        tokio::time::timeout(QUESTION_MAX, made).await.unwrap_or_else(|_| Err(Fault::too_slow("connecting")))
    }
}

/// Moves a connection's bytes until it ends.
async fn drive<S, T>(mut connection: Connection<S, T>, heard: Option<mpsc::UnboundedSender<String>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        match (message, &heard) {
            (Ok(AsyncMessage::Notification(notification)), Some(heard)) => {
                // Whoever listened may have ended.
                let _ = heard.send(notification.payload().to_owned());
            }
            (Ok(_), _) => {}
            // Whoever uses the connection is told by it.
            (Err(_), _) => return,
        }
    }
}

impl Session {
    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The rows that a statement gives.
    pub(super) async fn query(&self, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query_typed(statement, values).await?)
    }

    /// Statements without values, separated by semicolons.
    pub(super) async fn run(&self, statements: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// The rows of one question, asked in a transaction of its own, in one round trip.
    async fn ask(&self, begin: &str, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        // In this order, since each is sent when it is first polled.
        let (begun, rows, ended) = join!(self.run(begin), self.query(statement, values), self.run("COMMIT"));
        begun.and(rows).and_then(|rows| ended.map(|()| rows))
    }
}

/// The connections that answer questions, shared by everybody who asks.
#[derive(Debug)]
pub(super) struct Readers {
    connector: Connector,
    node: Arc<Node>,
    /// Where connections are driven.
    runtime: Handle,
    idle: Mutex<Vec<Session>>,
    places: Semaphore,
    closed: AtomicBool,
}

/// A connection that somebody reads with. Dropped before it was given back, it is closed: a transaction may
/// be open.
pub(super) struct Reader<'a> {
    pub(super) session: Session,
    /// Whether it was kept from an earlier question: then it may be gone without anybody having noticed.
    was_idle: bool,
    readers: &'a Readers,
    _place: SemaphorePermit<'a>,
}

impl Reader<'_> {
    /// Ends the transaction and keeps the connection for the next question.
    pub(super) async fn end(self) -> Result<(), StoreError> {
        in_time(self.session.run("COMMIT")).await.map_err(|fault| self.readers.told(fault))?;
        self.give_back();
        Ok(())
    }

    /// Keeps a connection without a transaction for the next question.
    pub(super) fn give_back(self) {
        if !self.session.is_closed() && !self.readers.closed.load(Ordering::Acquire) {
            self.readers.idle().push(self.session);
        }
    }
}

impl Readers {
    pub(super) fn new(connector: Connector, node: Arc<Node>, runtime: Handle) -> Arc<Self> {
        let (idle, places) = (Mutex::default(), Semaphore::new(READERS_MAX));
        Arc::new(Self { connector, node, runtime, idle, places, closed: AtomicBool::new(false) })
    }

    /// From here on every question is answered with [`StoreError::Closed`].
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.places.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of one question. Asked again once if the connection turns out to be gone, as it is after the
    /// database was restarted.
    pub(super) async fn rows(&self, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.rows_by(BEGIN_READING, statement, values).await
    }

    /// The same of a question for the first rows in the order of an index, however many there are.
    pub(super) async fn first_rows(&self, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.rows_by(BEGIN_READING_IN_ORDER, statement, values).await
    }

    async fn rows_by(&self, begin: &str, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut reader = self.reader().await?;
        loop {
            match in_time(reader.session.ask(begin, statement, values)).await {
                Ok(rows) => {
                    reader.give_back();
                    return Ok(rows);
                }
                Err(Fault::Lost(_)) if reader.was_idle => {
                    self.idle().clear();
                    reader = self.reader().await?;
                }
                Err(fault) => return Err(self.told(fault)),
            }
        }
    }

    /// The rows of a statement that changes something, and is a transaction of its own.
    pub(super) async fn change(&self, statement: &str, values: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let reader = self.reader().await?;
        let rows = in_time(reader.session.query(statement, values)).await.map_err(|fault| self.told(fault))?;
        reader.give_back();
        Ok(rows)
    }

    /// A connection on which all questions see the same moment, until it is [given back](Reader::end).
    pub(super) async fn at_one_moment(&self) -> Result<Reader<'_>, StoreError> {
        self.begun(BEGIN_READING).await
    }

    /// The same for questions that go through everything and take as long as they take.
    pub(super) async fn at_leisure(&self) -> Result<Reader<'_>, StoreError> {
        self.begun(BEGIN_LONG_READING).await
    }

    async fn begun(&self, begin: &str) -> Result<Reader<'_>, StoreError> {
        loop {
            let reader = self.reader().await?;
            match in_time(reader.session.run(begin)).await {
                Ok(()) => return Ok(reader),
                Err(Fault::Lost(_)) if reader.was_idle => self.idle().clear(),
                Err(fault) => return Err(self.told(fault)),
            }
        }
    }

    /// What a caller is told of a fault: of a closed store, only that it is closed.
    pub(super) fn told(&self, fault: Fault) -> StoreError {
        if self.closed.load(Ordering::Acquire) { StoreError::Closed } else { fault.into() }
    }

    /// A connection of its own for somebody, driven where all are.
    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        let connector = self.connector.clone();
        let connected = self.runtime.spawn(async move { connector.connect().await }).await;
        connected.map_err(|_| StoreError::Closed)?.map_err(|fault| self.told(fault))
    }

    /// A connection, outside of any transaction.
    pub(super) async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let place = self.places.acquire().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle().pop().filter(|session| !session.is_closed());
        let was_idle = idle.is_some();
        let session = match idle {
            Some(session) => session,
            // All who ask would try by themselves, again and again.
            None if self.node.is_lost() => return Err(self.told(Fault::Lost("it is away".to_owned()))),
            None => self.connect().await?,
        };
        Ok(Reader { session, was_idle, readers: self, _place: place })
    }
}

/// Bounds the wait for an answer where the server's own bound does not reach: on the way.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(QUESTION_MAX + ANSWER_GRACE, answer).await.unwrap_or_else(|_| Err(Fault::too_slow("an answer")))
}
