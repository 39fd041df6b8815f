//! The dashboard: files that the build embedded, and the answers that serve them.
//!
//! It is a client of the public REST API like any other and knows nothing of the rest of the program. Its
//! sources are in `dashboard/`; `build.rs` builds them. Only the files of a fixed table can be asked for,
//! so that no path leads anywhere else.

mod answer;
mod files;

pub use answer::{Answer, Asked, answer};
pub use files::{File, files};
