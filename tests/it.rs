//! Whole behaviour over real HTTP: the API, the data folder, the program, and kills.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "it/accounts.rs"]
mod accounts;
#[path = "it/actions.rs"]
mod actions;
#[path = "it/api.rs"]
mod api;
#[path = "it/cloudevents.rs"]
mod cloudevents;
#[path = "it/event_types.rs"]
mod event_types;
#[path = "it/audit.rs"]
mod audit;
#[path = "it/boundaries.rs"]
mod boundaries;
#[path = "it/canary.rs"]
mod canary;
#[path = "it/credentials.rs"]
mod credentials;
#[cfg(feature = "dashboard")]
#[path = "it/dashboard.rs"]
mod dashboard;
#[path = "it/egress.rs"]
mod egress;
mod database;
#[path = "it/documented.rs"]
mod documented;
#[path = "it/error_codes.rs"]
mod error_codes;
#[path = "it/folder.rs"]
mod folder;
#[path = "it/http.rs"]
mod http;
#[path = "it/inbound.rs"]
mod inbound;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/life.rs"]
mod life;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/log.rs"]
mod log;
#[path = "it/postgres.rs"]
mod postgres;
#[path = "it/preview.rs"]
mod preview;
#[path = "it/manage.rs"]
mod manage;
#[path = "it/metrics.rs"]
mod metrics;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/nodes.rs"]
mod nodes;
#[path = "it/openapi.rs"]
mod openapi;
#[path = "it/program.rs"]
mod program;
#[path = "it/receiver.rs"]
mod receiver;
#[path = "it/replays.rs"]
mod replays;
#[path = "it/routing.rs"]
mod routing;
#[path = "it/stats.rs"]
mod stats;
#[path = "receiver/mod.rs"]
mod scripted;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/sealing.rs"]
mod sealing;
#[path = "it/server.rs"]
mod server;
#[path = "it/signing.rs"]
mod signing;
#[path = "it/snippet.rs"]
mod snippet;
#[path = "it/snippets.rs"]
mod snippets;
#[path = "it/trace.rs"]
mod trace;
#[path = "it/templates.rs"]
mod templates;
#[path = "it/throttle.rs"]
mod throttle;
