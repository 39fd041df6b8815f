//! Making the tables, and bringing older ones up to date.
//!
//! Every form of the tables has a number, and a script that leads to it from the one before. They run one
//! after another, in one transaction, while a lock keeps other nodes from doing the same. Tables of a
//! later release are not touched.

use tokio_postgres::types::Type;

use super::fault::Fault;
use super::session::Session;
use crate::store::LAYOUT_NUMBER;

/// The scripts, from no tables at all on.
const SCRIPTS: [&str; 1] = [include_str!("migrations/0001_tables.sql")];

/// The form that this release works with.
pub(super) const FORM: usize = SCRIPTS.len();

/// The oldest server that has everything that is used.
const SERVER_VERSION_MIN: i32 = 150_000;

/// Why the tables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MigrateError {
    /// The database did not do it.
    Fault(Fault),
    /// In words, with what to do.
    Unfit(String),
}

impl From<Fault> for MigrateError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Brings the tables to the form of this release; refuses a database without any if they must be there.
pub(super) async fn migrate(session: &Session, must_exist: bool) -> Result<(), MigrateError> {
    check_server(session).await?;
    session.run("BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(1347375956, -1)").await?;
    let done = migrate_locked(session, must_exist).await;
    session.run(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn migrate_locked(session: &Session, must_exist: bool) -> Result<(), MigrateError> {
    // Asked first: creating needs rights that a user of existing tables need not have.
    let rights = Rights::of(session).await?;
    if rights.owner.is_none() {
        if must_exist {
            return Err(MigrateError::Unfit(
                "there is no store in it: it has no schema `postrider`; name the database of the store".to_owned(),
            ));
        }
        rights.check_create()?;
        session.run("CREATE SCHEMA postrider").await?;
    }
    rights.check_owner()?;
    if session.query("SELECT 1 WHERE to_regclass('postrider.meta') IS NULL", &[]).await?.len() == 1 {
        session.run("CREATE TABLE postrider.meta (name text PRIMARY KEY, value text NOT NULL)").await?;
    }
    let rows = session.query("SELECT value FROM postrider.meta WHERE name = 'form'", &[]).await?;
    let found = match rows.first() {
        Some(row) => {
            let text: &str = row.get(0);
            text.parse::<usize>()
                .map_err(|_| MigrateError::Unfit(format!("`postrider.meta` says that its form is `{text}`, which is no number")))?
        }
        None => 0,
    };
    if found > FORM {
        return Err(MigrateError::Unfit(format!(
            "its tables have form {found} and this release knows {FORM}; use the release that made them, or a later one"
        )));
    }
    for script in &SCRIPTS[found..] {
        session.run(script).await?;
    }
    if found < FORM {
        tracing::info!(from = found, to = FORM, "the tables of the store were brought up to date");
        let number = FORM.to_string();
        let statement =
            "INSERT INTO postrider.meta (name, value) VALUES ('form', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        session.query(statement, &[(&number, Type::TEXT)]).await?;
        // The meaning of what the columns hold is that of the embedded layout.
        let layout = LAYOUT_NUMBER.to_string();
        let statement =
            "INSERT INTO postrider.meta (name, value) VALUES ('layout', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        session.query(statement, &[(&layout, Type::TEXT)]).await?;
    }
    Ok(())
}

/// What the user of a connection may do.
struct Rights {
    user: String,
    database: String,
    may_create: bool,
    /// To whom the schema belongs; none if there is none.
    owner: Option<String>,
    may_act_as_owner: bool,
}

impl Rights {
    async fn of(session: &Session) -> Result<Self, MigrateError> {
        let statement = "SELECT quote_ident(current_user), quote_ident(current_database()), \
             has_database_privilege(current_database(), 'CREATE'), quote_ident(pg_get_userbyid(nspowner)), \
             coalesce(pg_has_role(nspowner, 'USAGE'), false) \
             FROM (SELECT 1) AS one LEFT JOIN pg_namespace ON nspname = 'postrider'";
        let rows = session.query(statement, &[]).await?;
        let row = rows.first().ok_or_else(|| MigrateError::Unfit("it does not say what its user may do".to_owned()))?;
        Ok(Self { user: row.get(0), database: row.get(1), may_create: row.get(2), owner: row.get(3), may_act_as_owner: row.get(4) })
    }

    fn check_create(&self) -> Result<(), MigrateError> {
        let Self { user, database, .. } = self;
        if self.may_create {
            return Ok(());
        }
        Err(MigrateError::Unfit(format!(
            "the user {user} may not create the schema `postrider`; let the owner of the database run \
             `GRANT CREATE ON DATABASE {database} TO {user}`, or `CREATE SCHEMA postrider AUTHORIZATION {user}`"
        )))
    }

    /// Only owners make partitions and drop them.
    fn check_owner(&self) -> Result<(), MigrateError> {
        match &self.owner {
            Some(owner) if !self.may_act_as_owner => {
                let user = &self.user;
                Err(MigrateError::Unfit(format!(
                    "the schema `postrider` belongs to {owner}, and the user {user} may not act for it; connect as {owner}, or let an \
                     administrator run `REASSIGN OWNED BY {owner} TO {user}`"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses servers that cannot keep what they are given, and warns of those that do not.
async fn check_server(session: &Session) -> Result<(), MigrateError> {
    let statement = "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'), \
         current_setting('fsync'), current_setting('full_page_writes'), current_setting('transaction_read_only')";
    let rows = session.query(statement, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (version, encoding): (i32, &str) = (row.get(0), row.get(1));
    if version < SERVER_VERSION_MIN {
        return Err(MigrateError::Unfit(format!("the server is Postgres {}; version 15 or a later one is needed", version / 10_000)));
    }
    if encoding != "UTF8" {
        return Err(MigrateError::Unfit(format!(
            "its encoding is {encoding}; create a database with `ENCODING 'UTF8' TEMPLATE template0`"
        )));
    }
    if row.get::<_, &str>(4) == "on" {
        return Err(MigrateError::Fault(Fault::Lost(
            "the server only reads: it is a standby, or was told so; name the primary in the address".to_owned(),
        )));
    }
    for (setting, column) in [("fsync", 2), ("full_page_writes", 3)] {
        if row.get::<_, &str>(column) != "on" {
            tracing::error!(
                setting,
                "the database server has `{setting}` off: a crash of its machine can lose and damage what was acknowledged"
            );
        }
    }
    Ok(())
}
