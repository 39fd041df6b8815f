//! How values leave the handlebars crate: each in a marker, with its type and the number of its tag.
//!
//! A marker is drawn for every rendering, so neither a template nor a value can contain it; a value is
//! also preceded by its length and never searched. What is written between markers is literal text.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::handlebars::{Context, Handlebars, Helper, HelperDef, HelperResult, RenderContext, RenderError};
use serde_json::Value;

use super::fault::HelperFault;
use super::helpers::Calling;
use crate::template::error::Code;
use crate::template::functions;

/// Writes a value.
pub(super) const EMIT: &str = "-emit";
/// Writes a value given to `raw`.
pub(super) const EMIT_RAW: &str = "-emit-raw";
/// Counts the steps of one pass of a loop.
pub(super) const STEP: &str = "-step";

/// One rendering may take this many steps; a step is an element of the template.
const STEPS_MAX: usize = 100_000;

/// Handling this many bytes of a value counts as a step.
pub(super) const BYTES_PER_STEP: usize = 64;

/// The output with its markers may be this long. Escaping only adds, apart from the markers.
const MARKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one rendering has drawn and counted.
#[derive(Debug, Clone)]
pub(super) struct Emit {
    marker: Arc<str>,
    steps: Arc<AtomicUsize>,
}

impl Emit {
    pub(super) fn new() -> Emit {
        let keys = RandomState::new();
        let draw = |salt: u64| {
            let mut hasher = keys.build_hasher();
            hasher.write_u64(salt);
            hasher.finish()
        };
        Emit { marker: format!("\u{1}{:016x}{:016x}\u{2}", draw(1), draw(2)).into(), steps: Arc::new(AtomicUsize::new(0)) }
    }

    pub(super) fn marker(&self) -> &str {
        &self.marker
    }

    /// Makes the helpers that count known to one rendering.
    pub(super) fn register(&self, state: &mut RenderContext<'_, '_>) {
        state.register_local_helper(EMIT, Box::new(Writer { emit: self.clone(), raw: false }));
        state.register_local_helper(EMIT_RAW, Box::new(Writer { emit: self.clone(), raw: true }));
        state.register_local_helper(STEP, Box::new(Counter(self.clone())));
        for name in functions::names() {
            state.register_local_helper(name, Box::new(Calling::new(name, self.clone())));
        }
    }

    /// Adds to the steps of this rendering.
    pub(super) fn count(&self, steps: usize) -> Result<(), RenderError> {
        let before = self.steps.fetch_add(steps, Ordering::Relaxed);
        if before + steps <= STEPS_MAX {
            return Ok(());
        }
        let message = format!("rendering takes more than {STEPS_MAX} steps; send fewer items");
        Err(HelperFault::new(Code::TooManySteps, message).into())
    }
}

struct Counter(Emit);

impl HelperDef for Counter {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn ::handlebars::Output,
    ) -> HelperResult {
        let weight = helper.param(0).and_then(|weight| weight.value().as_u64());
        self.0.count(weight.unwrap_or(1) as usize)
    }
}

struct Writer {
    emit: Emit,
    raw: bool,
}

impl HelperDef for Writer {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn ::handlebars::Output,
    ) -> HelperResult {
        let Some(value) = helper.param(0) else { return Ok(()) };
        if value.is_value_missing() {
            let name = value.relative_path().map_or("the result", String::as_str);
            return Err(HelperFault::new(Code::UnknownMacro, format!("unknown macro `{name}`")).into());
        }
        let text;
        let (kind, text) = match value.value() {
            Value::Null => ('n', ""),
            Value::String(text) => ('t', text.as_str()),
            Value::Number(number) => ('d', number.as_str()),
            Value::Bool(boolean) => ('b', if *boolean { "true" } else { "false" }),
            container => {
                text = container.to_string();
                ('c', text.as_str())
            }
        };
        self.emit.count(1 + text.len() / BYTES_PER_STEP)?;
        let kind = if self.raw { kind.to_ascii_uppercase() } else { kind };
        let tag = helper.param(1).and_then(|tag| tag.value().as_u64()).unwrap_or(0);
        out.write(&format!("{}{kind}{tag}:{}:{text}", self.emit.marker, text.len()))?;
        Ok(())
    }
}

/// Collects the output up to a limit.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) overflowed: bool,
}

impl ::handlebars::Output for Output {
    fn write(&mut self, text: &str) -> Result<(), io::Error> {
        if self.text.len() + text.len() > MARKED_BYTES_MAX {
            self.overflowed = true;
            return Err(io::Error::other("the result is too long"));
        }
        self.text.push_str(text);
        Ok(())
    }
}
