//! What every store must do, run on each engine, and what is particular to one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; its helpers are no test functions by clippy's rule")]

mod database;

mod store {
    mod accept;
    mod archive;
    mod change;
    mod configure;
    mod damage;
    mod database;
    mod documents;
    mod failure;
    mod fixtures;
    mod folder;
    mod list;
    mod model;
    mod notices;
    mod order;
    mod postgres;
    mod powercut;
    mod reopen;
    mod retention;
    mod settle;
    mod syncer;
    mod world;
}
