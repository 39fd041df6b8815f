//! Compiling and rendering with handlebars, from scan to assembly.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::handlebars::{Context, Handlebars, RenderContext, Renderable, Template as Parsed};
use serde_json::Value;

use super::data::Needs;
use super::emit::{Emit, Output};
use super::{assemble, fault, gate, helpers, scan};
use crate::template::error::{Code, Finding, Span};
use crate::template::format::Format;
use crate::template::lint::plain_http;
use crate::template::macros::{Names, Values};

/// A handlebars template may be this long.
pub(in crate::template) const SOURCE_BYTES_MAX: usize = 16 * 1024;

/// Parsing and checking run on a thread with this much stack: both recurse on the depth of blocks.
const COMPILE_STACK_BYTES: usize = 16 * 1024 * 1024;

/// A compiled handlebars template.
pub(in crate::template) struct Program {
    format: Format,
    registry: Handlebars<'static>,
    template: Parsed,
    /// Of each insertion, by the number that `emit` is called with.
    spans: Vec<Span>,
    needs: Needs,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Program {
    /// Top-level names used.
    pub(in crate::template) fn names(&self) -> &[String] {
        &self.needs.names
    }
}

/// Compiles `source`.
pub(in crate::template) fn compile(format: Format, source: &str, names: &dyn Names) -> (Option<Program>, Vec<Finding>) {
    if let Err(finding) = scan::scan(source) {
        return (None, vec![*finding]);
    }
    let work = || compile_here(format, source, names);
    let thread = std::thread::Builder::new().stack_size(COMPILE_STACK_BYTES);
    let compiled = std::thread::scope(|scope| match thread.spawn_scoped(scope, work) {
        Ok(running) => running.join().ok(),
        Err(_) => None,
    });
    compiled.unwrap_or_else(|| {
        let message = "the template could not be read; simplify it";
        (None, vec![Finding::new(Code::BadTemplate, Span::new(0, source.len()), message)])
    })
}

fn compile_here(format: Format, source: &str, names: &dyn Names) -> (Option<Program>, Vec<Finding>) {
    let mut template = match Parsed::compile(source) {
        Ok(template) => template,
        Err(error) => return (None, vec![fault::syntax(&error, source)]),
    };
    let passed = gate::pass(&mut template, format, source, names);
    let mut findings = passed.findings;
    if format == Format::Url {
        findings.extend(plain_http(source));
    }
    let program = Program { format, registry: helpers::registry(), template, spans: passed.spans, needs: passed.needs };
    (Some(program), findings)
}

/// The text for one event.
pub(in crate::template) fn render(program: &Program, values: &Values<'_>, source: &str) -> Result<String, Box<Finding>> {
    let guarded = catch_unwind(AssertUnwindSafe(|| run(program, values, source)));
    guarded.unwrap_or_else(|_| {
        let message = "the template could not be rendered for this event; simplify it";
        Err(Box::new(Finding::new(Code::BadTemplate, Span::new(0, source.len()), message)))
    })
}

fn run(program: &Program, values: &Values<'_>, source: &str) -> Result<String, Box<Finding>> {
    let context = Context::from(Value::Object(program.needs.data(values)));
    let emit = Emit::new();
    let marker = emit.marker().to_owned();
    let mut output = Output::default();
    let mut state = RenderContext::new(None);
    emit.register(&mut state);
    let done = program.template.render(&program.registry, &context, &mut state, &mut output);
    if let Err(error) = done {
        return Err(Box::new(fault::rendering(&error, &output, source)));
    }
    assemble::assemble(program.format, &output.text, &marker, &program.spans)
}
