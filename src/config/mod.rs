//! Settings of the server: what can be set, its default, and where it comes from.
//!
//! Flags win over `POSTRIDER_*` variables, those over the file, that over the defaults. A name that
//! does not exist is an error, so that a typo cannot leave a limit unset. All mistakes are found in one
//! reading, each with its place. The ranges of numbers stand at the fields, as part of the schema.

mod settings;
mod read;
mod schema;

pub use read::{Mistake, Origin, Reading, SettingsError};
pub use schema::schema;
pub use settings::{AccountKindFamilies, LogFormat, MetricsAccess, Settings};
