//! The store in Postgres: tables, one writer for each node, readers beside it.
//!
//! Changes are decided by the ledger, as in an embedded store: what a group of changes has to know is read
//! into memory ([`known`], [`fetch`]), decided there, and what comes of it is written as rows ([`write`]).
//! So no rule of the queue is written twice. What differs is told in `docs/store.md`, part Postgres: a lost
//! connection is no failed store, several nodes may share the tables, retention drops partitions.

mod store;
mod opening;
mod writer;
mod inbox;
mod leases;
mod lanes;
mod fence;
mod listener;
mod known;
mod fetch;
mod write;
mod questions;
mod lists;
mod archive;
mod retention;
mod check;
mod node;
mod migrate;
mod partitions;
mod rows;
mod wire;
mod session;
mod address;
mod passfile;
mod tls;
mod fault;

pub use address::{Address, AddressError};
pub use passfile::PasswordSources;
pub use store::PostgresStore;
