//! The field catalogue: every built-in event type and the fields it carries.
//!
//! It is data, one static table per event type, and the only place where a
//! field's name, type, meaning and example are written. Checking a template,
//! completion in the editor, the tables of `docs/events.md` and the sample
//! events are all made from it.
//!
//! It does not know what an installation adds: event types that operators
//! register and extra fields that accounts declare are kept with those, and
//! are looked up beside this table, never inside it.
//!
//! The families are data too ([`Family`] is a label, not something stored),
//! because the platforms whose words these are keep adding some.

mod action;
mod click;
mod field;
mod inquiry;
mod job;
mod markdown;
mod operation;
mod product;
mod sample;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod tracking_value;

pub use field::{Field, FieldType, Provider};
pub use markdown::{macro_table, markdown};
pub use sample::{sample, sample_event, system_sample};
pub use table::{Family, TypeEntry, find, is_item_field, known_field, types};
