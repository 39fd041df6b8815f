//! Turns another platform's postback into ours.
//!
//! Platforms differ in how a macro is written (`style`) and what it is called (`names`). What has no
//! counterpart here is left as text and listed, never guessed.

mod translate;
mod style;
mod names;

pub use style::{Style, UnknownStyle};
pub use translate::{Imported, Unmapped, import};

#[cfg(test)]
mod tests;
