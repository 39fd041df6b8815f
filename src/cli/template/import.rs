//! `postrider template import`.

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::input::read_text;
use crate::subscription::FieldNames;
use crate::template::{Style, import};

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// How the other platform writes its macros: {x}, <x>, [x], #x#, !!!x!!!, (x), ${x}, {{x}}, $x$, __x__, %x% [default: found out]
    #[arg(long, value_name = "STYLE")]
    from: Option<Style>,
    /// The URL or body, or `-`
    text: String,
    /// Print the result with what was and was not mapped
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let text = if arguments.text == "-" { read_text("-".as_ref())? } else { arguments.text.clone() };
    let imported = import(arguments.from, text.trim_end_matches('\n'), &FieldNames::default());
    if arguments.json {
        println!("{:#}", json!(imported));
        return Ok(());
    }
    for (from, to) in &imported.mapped {
        eprintln!("mapped      {from} to {to}");
    }
    for unmapped in &imported.unmapped {
        eprintln!("not mapped  {} (byte {}): it stands as text; put a macro or a fixed value there", unmapped.name, unmapped.span.start);
    }
    for note in &imported.notes {
        eprintln!("note        {note}");
    }
    println!("{}", imported.template);
    Ok(())
}
