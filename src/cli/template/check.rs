//! `postrider template check`.

use std::path::PathBuf;

use clap::Args;

use super::findings;
use crate::cli::input::read_text;
use crate::cli::{FAILED, Failure};
use crate::subscription::FieldNames;
use crate::template::{Code, Engine, Finding, Format, Options, Template, apply_fixes};

/// How often fixes are applied: mending one fault can uncover another.
const ROUNDS_MAX: usize = 5;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Where the text goes: url, query, json, xml, raw or header
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// The language: macro or handlebars
    #[arg(long, value_name = "ENGINE", default_value = "macro")]
    engine: Engine,
    /// The template, or `-`
    #[arg(long, value_name = "FILE")]
    template: PathBuf,
    /// A macro name beyond the catalogue; may be given more than once
    #[arg(long = "field", value_name = "NAME")]
    fields: Vec<String>,
    /// Leave out warnings of this code; may be given more than once
    #[arg(long, value_name = "CODE")]
    silence: Vec<Code>,
    /// Apply every repair that is offered and print the template
    #[arg(long)]
    fix: bool,
    /// With --fix: write the template back to its file
    #[arg(long, requires = "fix")]
    write: bool,
    /// Print `{"ok", "output", "errors", "warnings"}`; with --fix the output is the template
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let mut source = read_text(&arguments.template)?;
    let mut found = check(arguments, &source);
    if arguments.fix {
        for _ in 0..ROUNDS_MAX {
            let fixed = apply_fixes(&source, &found);
            if fixed == source {
                break;
            }
            report_fixes(arguments, &found);
            source = fixed;
            found = check(arguments, &source);
        }
        if arguments.write {
            if arguments.template.as_os_str() == "-" {
                return Err(Failure::usage("standard input cannot be written back; leave out `--write`"));
            }
            std::fs::write(&arguments.template, &source)?;
        }
    }
    let ok = !found.iter().any(Finding::is_error);
    if arguments.json {
        let output = if arguments.fix { source.as_str() } else { "" };
        let mut document = findings::document(ok.then_some(output), &found);
        if !arguments.fix {
            document["output"] = serde_json::Value::Null;
        } else {
            document["output"] = source.clone().into();
        }
        println!("{document}");
    } else {
        findings::print(&found, &source, &arguments.template.display().to_string());
        if arguments.fix && !arguments.write {
            print!("{source}");
        }
    }
    if ok { Ok(()) } else { Err(Failure { code: FAILED, error: anyhow::anyhow!("the template has errors") }) }
}

fn check(arguments: &CheckArguments, source: &str) -> Vec<Finding> {
    let names = FieldNames::with_extra(arguments.fields.clone());
    let options = Options { silence: &arguments.silence };
    match Template::compile_with(arguments.engine, arguments.format, source, &names, &options) {
        Ok(template) => template.warnings().to_vec(),
        Err(findings) => findings,
    }
}

fn report_fixes(arguments: &CheckArguments, found: &[Finding]) {
    if arguments.json {
        return;
    }
    for finding in found.iter().filter(|finding| finding.fix.is_some()) {
        eprintln!("fixed {} ({})", finding, finding.code.as_str());
    }
}
