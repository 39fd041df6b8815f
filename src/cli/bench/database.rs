//! Databases on a server of Postgres: made for a measurement, dropped after it, and what they cost.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_postgres::{Client, NoTls};
use url::Url;

use super::process::{cpu_of_family, is_started_by};

/// Settings of the server that decide what a figure says.
const SETTINGS: [&str; 9] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
];

/// A server, and the databases that were made on it.
#[derive(Debug)]
pub(super) struct Databases {
    address: Url,
    made: Mutex<BTreeSet<String>>,
}

/// What the server has used so far. A difference of two is what was used between them, by all its databases.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DatabaseUse {
    /// CPU time of all its processes; none if it runs on another machine.
    pub cpu: Option<Duration>,
    /// Bytes of its write-ahead log.
    pub wal_bytes: u64,
    /// Transactions of this database. The server counts with a delay of up to a second.
    pub transactions: u64,
    /// Bytes of the files of this database.
    pub bytes: u64,
}

impl Databases {
    /// On the server of this address.
    pub fn at(address: &str) -> anyhow::Result<Self> {
        let address = Url::parse(address).context("the address of the server cannot be read")?;
        Ok(Self { address, made: Mutex::default() })
    }

    /// Makes a database for `name`, unless it is there; its address.
    pub async fn make(&self, name: &str) -> anyhow::Result<String> {
        let database = format!("postrider_bench_{}_{}", std::process::id(), name.replace('-', "_"));
        let mut address = self.address.clone();
        address.set_path(&database);
        if !self.made().insert(database.clone()) {
            return Ok(address.into());
        }
        let client = connect(self.address.as_str()).await?;
        let statement = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0");
        client
            .batch_execute(&statement)
            .await
            .with_context(|| format!("the database `{database}` cannot be made; name a user who may create databases"))?;
        Ok(address.into())
    }

    /// Drops all that were made.
    pub async fn drop_all(&self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut *self.made());
        if made.is_empty() {
            return Ok(());
        }
        let client = connect(self.address.as_str()).await?;
        for database in made {
            let statement = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
            client
                .batch_execute(&statement)
                .await
                .with_context(|| format!("the database `{database}` was not dropped; drop it yourself"))?;
        }
        Ok(())
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of the server, in a line.
    pub async fn settings(&self) -> anyhow::Result<String> {
        let client = connect(self.address.as_str()).await?;
        let mut line = Vec::with_capacity(SETTINGS.len());
        for name in SETTINGS {
            let value: String = client.query_one("SELECT current_setting($1)", &[&name]).await?.get(0);
            line.push(format!("{name} {value}"));
        }
        Ok(format!("database server: {}", line.join(", ")))
    }
}

/// A connection to the database of this address, without TLS; the password may be in `PGPASSWORD`.
pub(super) async fn connect(address: &str) -> anyhow::Result<Client> {
    let mut config: tokio_postgres::Config = address.parse().context("the address of the database cannot be read")?;
    if let (None, Ok(password)) = (config.get_password(), std::env::var("PGPASSWORD")) {
        config.password(password);
    }
    let (client, connection) = config.connect(NoTls).await.context("the database cannot be reached")?;
    // Whoever uses the client is told of its end.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// What the server of this database has used so far.
pub(super) async fn usage(address: &str) -> anyhow::Result<DatabaseUse> {
    let client = connect(address).await?;
    let statement = "SELECT pg_backend_pid(), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, \
         coalesce((SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()), 0)::bigint, \
         pg_database_size(current_database())::bigint, coalesce(host(inet_server_addr()) = host(inet_client_addr()), true)";
    let row = client.query_one(statement, &[]).await?;
    let count = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
    let backend = row.get::<_, i32>(0);
    let cpu = if row.get(4) && is_started_by("postgres", backend) { Some(cpu_of_family(backend)?) } else { None };
    Ok(DatabaseUse { cpu, wal_bytes: count(1), transactions: count(2), bytes: count(3) })
}

impl DatabaseUse {
    /// What was used between `earlier` and this.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.zip(earlier.cpu).map(|(now, before)| now.saturating_sub(before)),
            wal_bytes: self.wal_bytes.saturating_sub(earlier.wal_bytes),
            transactions: self.transactions.saturating_sub(earlier.transactions),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// The number that a statement answers with.
pub(super) async fn count_of(address: &str, statement: &str) -> anyhow::Result<u64> {
    let row = connect(address).await?.query_one(statement, &[]).await?;
    let Ok(count) = u64::try_from(row.get::<_, i64>(0)) else { bail!("`{statement}` counted less than nothing") };
    Ok(count)
}
