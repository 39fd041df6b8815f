//! What must not be seen: secrets in memory.
//!
//! A [`Secret`] cannot be printed, logged or serialised by accident, and its memory is wiped when it is
//! dropped. Who needs the text asks for it by [`Secret::expose`], which is easy to find in the code.

mod text;

pub use text::Secret;
