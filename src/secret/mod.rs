//! What must not be seen: secrets in memory, and sealed for the disk.
//!
//! A [`Secret`] cannot be printed, logged or serialised by accident, and its memory is wiped when it is
//! dropped. Who needs the text asks for it by [`Secret::expose`], which is easy to find in the code. A
//! [`MaskedAddress`] is shown without the password that it may hold.
//!
//! A [`Vault`] seals secrets for the store with the operator's [`MasterKeys`] and opens them again. What
//! is sealed for one place (record and field) opens only there, so that nobody who can write to the
//! store can make one subscription's secret another's. Where the sealed texts are kept is not its business.

mod address;
mod master_key;
mod text;
mod vault;

pub use address::{MaskedAddress, masked};
pub use master_key::{MasterKeyError, MasterKeys};
pub use text::Secret;
pub use vault::{OpenError, Place, Sealed, Vault};
