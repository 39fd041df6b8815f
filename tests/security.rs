//! The attacks of `docs/security.md` that need a whole server, a raw connection, or a process; and a
//! check that the page and the tests name the same rows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "security/api.rs"]
mod api;
#[path = "security/clients.rs"]
mod clients;
#[path = "security/hostile.rs"]
mod hostile;
#[path = "it/documented.rs"]
mod documented;
#[path = "it/http.rs"]
mod http;
#[path = "security/inputs.rs"]
mod inputs;
#[path = "security/load.rs"]
mod load;
#[path = "security/page.rs"]
mod page;
#[path = "security/process.rs"]
mod process;
#[path = "lab/program.rs"]
#[allow(dead_code, reason = "the lab uses all of it")]
mod program;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/server.rs"]
#[allow(dead_code, reason = "the tests of the API use all of it")]
mod server;
#[path = "security/targets.rs"]
mod targets;
#[path = "security/time.rs"]
mod time;
#[path = "receiver/mod.rs"]
mod villain;
#[path = "security/wire.rs"]
mod wire;
#[path = "sim/world.rs"]
#[allow(dead_code, reason = "the simulation uses all of it")]
mod world;
