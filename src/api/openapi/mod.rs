//! The API's description: OpenAPI 3.1, made from the table of routes and from the types that are read and
//! written, and a page that shows it.
//!
//! A [`Route`](super::routes) takes an [`Operation`] as an argument, so that a call without a description does not
//! compile. Schemas are derived from the types; what an answer really holds is compared with them in
//! `tests/it`, and `docs/openapi.json` is the document as it was when it was last looked at.

pub(super) mod calls;
mod document;
mod operation;
mod reader;
mod schemas;
mod show;

pub(super) use document::{Described, document};
pub(super) use operation::{MediaTypes, Operation};
pub(super) use show::{read, show};

/// What has no control characters, as a pattern of schemas.
pub(super) const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
