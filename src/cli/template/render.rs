//! `postrider template render`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{event_file, findings, watch};
use crate::cli::input::read_text;
use crate::cli::{FAILED, Failure};
use crate::subscription::{EventNames, FieldNames};
use crate::template::{Code, Engine, Finding, Format, Options, Template, Values};

#[derive(Debug, Args)]
pub(super) struct RenderArguments {
    /// Where the text goes: url, query, json, xml, raw or header
    #[arg(long, value_name = "FORMAT")]
    pub format: Format,
    /// The language: macro or handlebars
    #[arg(long, value_name = "ENGINE", default_value = "macro")]
    pub engine: Engine,
    /// The template, or `-`
    #[arg(long, value_name = "FILE")]
    pub template: PathBuf,
    /// The event (JSON, as for the API, or only its data), or `-`
    #[arg(long, value_name = "FILE")]
    pub event: PathBuf,
    /// Leave out warnings of this code; may be given more than once
    #[arg(long, value_name = "CODE")]
    pub silence: Vec<Code>,
    /// Print `{"ok", "output", "errors", "warnings"}`
    #[arg(long)]
    pub json: bool,
    /// Render again whenever one of the files is saved, and show what changed
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// What came of one rendering.
#[derive(Debug)]
pub(super) struct Rendered {
    pub source: String,
    pub output: Option<String>,
    pub findings: Vec<Finding>,
}

pub(super) async fn run(arguments: RenderArguments) -> Result<(), Failure> {
    if arguments.watch {
        return watch::run(&arguments).await;
    }
    let rendered = render(&arguments)?;
    if arguments.json {
        println!("{}", findings::document(rendered.output.as_deref(), &rendered.findings));
    } else {
        findings::print(&rendered.findings, &rendered.source, &arguments.template.display().to_string());
        if let Some(output) = &rendered.output {
            std::io::stdout().lock().write_all(output.as_bytes())?;
        }
    }
    match rendered.output {
        Some(_) => Ok(()),
        None => Err(Failure { code: FAILED, error: anyhow::anyhow!("the template was not rendered") }),
    }
}

pub(super) fn render(arguments: &RenderArguments) -> anyhow::Result<Rendered> {
    let source = read_text(&arguments.template)?;
    let data = event_file::read(&arguments.event)?;
    // Whoever renders locally has the event at hand and declares nothing elsewhere.
    let declared = FieldNames::default();
    let names = EventNames::new(&declared, data.fields());
    let options = Options { silence: &arguments.silence };
    let (output, findings) = match Template::compile_with(arguments.engine, arguments.format, &source, &names, &options) {
        Err(findings) => (None, findings),
        Ok(template) => {
            let mut findings = template.warnings().to_vec();
            match template.render(&Values { event: data.fields(), extra: &[] }) {
                Ok(output) => (Some(output), findings),
                Err(finding) => {
                    findings.push(*finding);
                    (None, findings)
                }
            }
        }
    };
    Ok(Rendered { source, output, findings })
}
