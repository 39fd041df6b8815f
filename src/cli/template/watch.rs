//! `--watch`: renders again when a file is saved, and shows what changed.

use std::path::Path;
use std::time::{Duration, SystemTime};

use similar::{ChangeTag, TextDiff};

use super::findings;
use super::render::{RenderArguments, render};
use crate::cli::Failure;
use crate::cli::serve::stop_signal;

/// How often the files are looked at. Their times are asked for, not their content.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(arguments: &RenderArguments) -> Result<(), Failure> {
    for path in [&arguments.template, &arguments.event] {
        if path.as_os_str() == "-" {
            return Err(Failure::usage("`--watch` needs files; standard input is never saved again"));
        }
    }
    let stop = stop_signal();
    tokio::pin!(stop);
    let mut shown = String::new();
    let mut seen = None;
    loop {
        let now = (saved_at(&arguments.template), saved_at(&arguments.event));
        if seen != Some(now) {
            seen = Some(now);
            show(arguments, &mut shown);
        }
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn saved_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}

fn show(arguments: &RenderArguments, shown: &mut String) {
    match render(arguments) {
        // An editor that writes in two steps leaves half a file for a moment; the next save follows.
        Err(error) => eprintln!("error: {error:#}"),
        Ok(rendered) => {
            findings::print(&rendered.findings, &rendered.source, &arguments.template.display().to_string());
            let Some(output) = rendered.output else { return };
            if shown.is_empty() {
                println!("{output}");
            } else {
                print_changes(shown, &output);
            }
            eprintln!("-- rendered; waiting for a save, Ctrl-C ends --");
            *shown = output;
        }
    }
}

fn print_changes(before: &str, after: &str) {
    let diff = TextDiff::from_lines(before, after);
    if diff.ratio() >= 1.0 {
        println!("(no change)");
        return;
    }
    for change in diff.iter_all_changes() {
        let mark = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        println!("{mark} {}", change.value().trim_end_matches('\n'));
    }
}
