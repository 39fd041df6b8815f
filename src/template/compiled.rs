//! The compiled template, as the rest of the program holds it.

use std::sync::Arc;

use super::check;
use super::compile;
use super::error::{Code, Finding, Severity, Span};
use super::format::{Engine, Format};
use super::handlebars;
use super::lint;
use super::macros::{Names, Values};
use super::parser::{self, Parsed};
use super::program::Program;
use super::prove;
use super::render;
use super::repair;
use super::token::MappedText;

/// A macro template may be this long.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024;

/// How to compile, beyond engine and format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Warnings of these codes are not reported. Errors cannot be silenced.
    pub silence: &'a [Code],
}

/// A template, compiled once and rendered for every event. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    format: Format,
    source: String,
    program: Compiled,
    warnings: Vec<Finding>,
}

/// What the two engines run.
#[derive(Debug)]
enum Compiled {
    Macro(Program),
    Handlebars(Box<handlebars::Program>),
}

impl Template {
    /// Compiles `source`, looking names up in `names`.
    ///
    /// # Errors
    /// Every error found, in the order of their places, followed by the warnings.
    pub fn compile(engine: Engine, format: Format, source: &str, names: &dyn Names) -> Result<Template, Vec<Finding>> {
        Template::compile_with(engine, format, source, names, &Options::default())
    }

    /// As [`Template::compile`], with options.
    ///
    /// # Errors
    /// As [`Template::compile`].
    pub fn compile_with(
        engine: Engine,
        format: Format,
        source: &str,
        names: &dyn Names,
        options: &Options<'_>,
    ) -> Result<Template, Vec<Finding>> {
        let (program, findings) = match engine {
            _ if source.len() > bytes_max(engine) => (None, vec![too_large(source, engine)]),
            Engine::Macro => compile_macros(format, source, names),
            Engine::Handlebars => {
                let (program, mut findings) = handlebars::compile(format, source, names);
                by_place(&mut findings);
                (program.map(Box::new).map(Compiled::Handlebars), findings)
            }
        };
        let findings = in_order(findings, source, options);
        match program {
            Some(program) if !findings.iter().any(Finding::is_error) => {
                Ok(Template { inner: Arc::new(Inner { engine, format, source: source.to_owned(), program, warnings: findings }) })
            }
            _ => Err(findings),
        }
    }

    /// What the template produces.
    pub fn format(&self) -> Format {
        self.inner.format
    }

    /// The language the template is written in.
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// The text the template was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// What probably is not meant, though it works.
    pub fn warnings(&self) -> &[Finding] {
        &self.inner.warnings
    }

    /// The top-level names used, each once, in order of first use.
    pub fn names_used(&self) -> impl Iterator<Item = &str> {
        let names = match &self.inner.program {
            Compiled::Macro(program) => program.names.names(),
            Compiled::Handlebars(program) => program.names(),
        };
        names.iter().map(String::as_str)
    }

    /// The text for one event.
    ///
    /// # Errors
    /// The finding that makes the result unusable: a value of the wrong shape, a result over the
    /// limits, or one that is not valid in its format.
    pub fn render(&self, values: &Values<'_>) -> Result<String, Box<Finding>> {
        let source = &self.inner.source;
        let rendered = match &self.inner.program {
            Compiled::Macro(program) => {
                render::render(program, values).and_then(|output| prove::validate(program, values, &output, source).map(|()| output))
            }
            Compiled::Handlebars(program) => handlebars::render(program, values, source),
        };
        rendered.map_err(|finding| Box::new(finding.located(source)))
    }
}

fn bytes_max(engine: Engine) -> usize {
    match engine {
        Engine::Macro => SOURCE_BYTES_MAX,
        Engine::Handlebars => handlebars::SOURCE_BYTES_MAX,
    }
}

fn too_large(source: &str, engine: Engine) -> Finding {
    let message = format!("the template has {} bytes, and at most {} are accepted; shorten it", source.len(), bytes_max(engine));
    Finding::new(Code::TemplateTooLarge, Span::default(), message)
}

fn compile_macros(format: Format, source: &str, names: &dyn Names) -> (Option<Compiled>, Vec<Finding>) {
    let angle = (format != Format::Xml).then_some(names);
    let (parsed, repair_warning) = parse_or_repair(source, angle);
    let complete = parsed.errors.is_empty();
    let mut findings = parsed.errors;
    // What stops the parser comes first: what follows may be its consequence.
    let parse_findings = findings.len();
    findings.extend(repair_warning);
    let (resolved, found) = check::check(&parsed.nodes, names);
    findings.extend(found);
    let (mut program, found) = compile::compile(resolved, format, source.len());
    findings.extend(found);
    findings.extend(lint::lint(&program, source, names));
    let provable = |finding: &Finding| !finding.is_error() || finding.code == Code::UnknownMacro;
    if complete && findings.iter().all(provable) {
        findings.extend(prove::prove(&mut program, source));
    }
    by_place(&mut findings[parse_findings..]);
    (Some(Compiled::Macro(program)), findings)
}

/// Parses `source`; if that fails, parses it again with doubled backslashes undone (G9).
fn parse_or_repair(source: &str, angle: Option<&dyn Names>) -> (Parsed, Option<Finding>) {
    let parsed = parser::parse(&MappedText::identity(source), angle);
    if parsed.errors.is_empty() {
        return (parsed, None);
    }
    let Some(repaired) = repair::reduce_runs(source) else {
        return (parsed, None);
    };
    let second = parser::parse(&repaired.text, angle);
    if second.errors.is_empty() { (second, Some(repaired.warning())) } else { (parsed, None) }
}

fn by_place(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| finding.span.start);
}

/// Errors, then warnings, without the silenced ones, with lines and columns.
fn in_order(findings: Vec<Finding>, source: &str, options: &Options<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error || !options.silence.contains(&finding.code))
        .map(|finding| finding.located(source))
        .collect();
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    findings
}
