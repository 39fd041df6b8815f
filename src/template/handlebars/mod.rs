//! The second engine: handlebars, for conditions and loops (section 6).
//!
//! The handlebars crate parses and runs the template; this module fences it in. Before parsing, `scan`
//! refuses what could exhaust the parser. After parsing, `gate` refuses constructs that write on
//! their own, looks names up, and rewrites every insertion into a call of one helper, `emit`, which
//! wraps the value and its type in a marker drawn for this rendering. `assemble` then walks once over
//! the output and escapes each value by where it stands, exactly as the macro engine does.

mod engine;

mod scan;
mod gate;
mod names;
mod data;

mod emit;
mod helpers;
mod join_text;

mod assemble;
mod fault;

pub(super) use engine::{Program, SOURCE_BYTES_MAX, compile, render};

#[cfg(test)]
mod tests;
