//! The field catalogue: every built-in event type and the fields it carries.
//!
//! It is data, one static table per event type, and the only place where a
//! field's name, type, meaning and example are written. Checking a template,
//! completion in the editor, the tables of `docs/events.md` and the sample
//! events are all made from it.
//!
//! What an installation adds stands beside this table, never inside it: extra
//! fields are kept with the accounts that declare them, and event types that
//! operators register ([`DefinedType`]) with the configuration.
//!
//! The families are data too ([`Family`] is a label, not something stored),
//! because the platforms whose words these are keep adding some.

mod action;
mod click;
mod defined;
mod field;
mod hostile;
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

pub use defined::{DEFINED_FIELDS_MAX, DefinedField, DefinedFieldType, DefinedType, DefinitionFault, is_macro_name};
pub use field::{Field, FieldType, Provider};
pub use hostile::hostile;
pub use markdown::{macro_table, markdown};
pub use sample::{sample, sample_event, system_sample};
pub use table::{Family, TypeEntry, find, is_built_in_prefix, is_item_field, known_field, types};
