//! Which addresses are sent to: the wall between what a subscription asks for and our own network.
//!
//! A subscription's owner chooses the URL, and we send from inside our network. So every request
//! passes three gates, and no gate trusts the one before it:
//!
//! ```text
//! URL ──▶ check_url ──▶ look-up, every address classified ──▶ connect ──▶ peer address compared
//!         scheme, user     one look-up; the address that         again by the sender
//!         info, port,      was checked is the one that is
//!         literal address  connected to, so a name that changes
//!                          between check and use gains nothing
//! ```
//!
//! Redirects are never followed, so no answer can lead a request elsewhere.
//!
//! An address is refused unless it is global unicast. Forms that carry an IPv4 address inside an
//! IPv6 address are refused as forms, and what they carry is classified too. The settings lift a
//! refusal for our own networks (`allow_private`), for a range (`allow`), and add one (`deny`, which
//! wins). Addresses of cloud metadata services hand out credentials; they are lifted one by one only.
//!
//! Our own listener is never sent to, under none of this machine's addresses, unless `allow` names
//! the address. Of a name with allowed and other addresses only the allowed are used: the others are
//! often a mistake of the name's owner, and are never connected to. Texts of refusals say nothing that
//! was looked up: names and addresses inside our network stay ours.
//!
//! Not covered: a proxy that resolves names itself, and what a receiver does with a request.

mod address;
mod host;
mod listener;
mod lookup;
mod policy;
mod target;

pub use address::{AddressClass, classify};
pub use host::{HostPattern, HostPatternError};
pub use lookup::{ADDRESSES_MAX, Lookup, LookupError, ResolveError, SystemLookup, SystemLookupSettings, resolve};
pub use policy::{Guard, GuardSettings, Refused, RefusedKind};
pub use target::{TARGET_BYTES_MAX, parse_target};
