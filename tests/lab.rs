//! The local lab: `listen`, `simulate`, `verify`, `completions`, `man` and `config`, as a person runs them, and
//! what simulation says held against real requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "lab/config.rs"]
mod config;
#[path = "lab/listen.rs"]
mod listen;
#[path = "lab/pages.rs"]
mod pages;
#[path = "lab/program.rs"]
mod program;
#[path = "lab/simulate.rs"]
mod simulate;
#[path = "lab/verify.rs"]
mod verify;
#[path = "lab/wire.rs"]
mod wire;
