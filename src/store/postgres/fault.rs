//! What can go wrong with a database, sorted by what to do about it.

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why the database did not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, or the server does not take any. What was being committed may be stored or not.
    Lost(String),
    /// Another transaction was in the way. Nothing was stored; the same again may succeed.
    Repeat(String),
    /// A partition is not there, which another node may have dropped. Nothing was stored.
    NoPartition(String),
    /// The database's disk is full. Nothing was stored.
    Full(String),
    /// It will not do this, whenever it is asked. Nothing was stored.
    Refused(String),
}

impl Fault {
    /// The fault behind an error of the driver.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // Broken connections, time-outs of the network, refused certificates and passwords of a wrong form.
            return Self::Lost(with_remedy(chain(error)));
        };
        let code = db.code();
        let remedy = remedy(code).map(|remedy| format!("; {remedy}")).unwrap_or_default();
        let detail = format!("{} (SQLSTATE {}){remedy}", db.message(), code.code());
        if *code == SqlState::DISK_FULL {
            return Self::Full(detail);
        }
        let repeat = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::LOCK_NOT_AVAILABLE,
            &SqlState::QUERY_CANCELED,
            // What [`super::write`] raises when another node was faster.
            &SqlState::DIVISION_BY_ZERO,
            &SqlState::OUT_OF_MEMORY,
        ];
        if repeat.contains(&code) {
            return Self::Repeat(detail);
        }
        let class = code.code().get(..2).unwrap_or_default();
        if [&SqlState::UNDEFINED_TABLE, &SqlState::CHECK_VIOLATION].contains(&code) {
            return Self::NoPartition(detail);
        }
        // 08: connection; 57P: shut down, starting, idle session ended; 53: too many connections; 25006: a
        // standby took over the address; 28: who may connect; 3D: no such database.
        let lost =
            ["08", "53", "28", "3D"].contains(&class) || code.code().starts_with("57P") || *code == SqlState::READ_ONLY_SQL_TRANSACTION;
        if lost { Self::Lost(detail) } else { Self::Refused(detail) }
    }

    /// The same, of something that took too long.
    pub(super) fn too_slow(what: &str) -> Self {
        Self::Lost(format!("{what} took too long"))
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(detail) | Fault::Repeat(detail) | Fault::NoPartition(detail) => Self::Unavailable { detail },
            Fault::Full(_) => Self::StorageFull,
            Fault::Refused(detail) => Self::Failed { action: "asking the database", detail },
        }
    }
}

/// What to do about what the server said, where that is always the same.
fn remedy(code: &SqlState) -> Option<&'static str> {
    const REMEDIES: [(&SqlState, &str); 6] = [
        (
            &SqlState::INVALID_PASSWORD,
            "correct the password in the address, in the variable `PGPASSWORD` or in the password file `PGPASSFILE`",
        ),
        (
            &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "correct the user in the address, or let it in from this machine in the server's `pg_hba.conf`",
        ),
        (&SqlState::INVALID_CATALOG_NAME, "create it with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, or correct the address"),
        (&SqlState::TOO_MANY_CONNECTIONS, "raise `max_connections` of the server; a node takes up to ten"),
        (&SqlState::DISK_FULL, "free space on the database's machine"),
        (&SqlState::INSUFFICIENT_PRIVILEGE, "connect as the owner of the schema `postrider`"),
    ];
    REMEDIES.iter().find(|(known, _)| *known == code).map(|(_, remedy)| *remedy)
}

/// The same for what the driver says without a type of its own.
fn with_remedy(detail: String) -> String {
    if detail.contains("does not support TLS") {
        return detail + "; set `ssl = on` there, or say `sslmode=disable` in the address if nobody can be on the way to it";
    }
    if detail.contains("password missing") {
        return detail + "; set the variable `PGPASSWORD`, or name a password file in `PGPASSFILE`";
    }
    detail
}

/// An error with its causes. None of them holds a password: the driver is given it apart from the address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
