//! `postrider bench`: how fast the server is, measured against yardsticks on the same machine.
//!
//! Load generator, receiver, yardsticks and server share one machine, so a figure by itself says
//! little. Each row is therefore set against a small program, written for it, that does the least one
//! could do in its place, and run just before it: a bare client loop, a durable server without
//! features, the store without HTTP. `docs/benchmarks.md` tells what is measured and how.
//!
//! ```text
//! this process                          a child process (a hidden subcommand)
//! load generator ── POST /v1/events ──▶ the server, or the yardstick in its place
//! receiver       ◀───── requests ─────  whose CPU time and memory are read from /proc
//! ```
//!
//! A child ends when its standard input does, so that nothing outlives this process, whatever ends it.

mod command;
mod engine;
mod rows;
mod subject;
mod load;
mod receiver;
mod featureless;
mod worker;
mod calls;
mod database;
mod yardstick;
mod process;
mod report;

pub(in crate::cli) use command::{BenchArguments, run};
