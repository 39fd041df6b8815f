//! Whether a result is valid JSON or well-formed XML, and whether that is certain beforehand.
//!
//! A template's literal text is fixed and values are escaped, so most templates are proven valid once,
//! when they are compiled, and their results need no second look. What cannot be proven is checked
//! after rendering. What can never become valid is refused when compiled.

mod certainty;
mod json;
mod xml;

pub(super) use certainty::Certainty;
pub(super) use json::{JsonFault, JsonFaultKind, JsonMachine, check_json};
pub(super) use xml::{XmlFault, check_xml};
