//! The walls of the house: which module may import which, who may know a heavy dependency, and that
//! every file says what it is for. The table is the one of `docs/architecture.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

const WORDS: [&str; 6] = ["id", "clock", "event", "subscription", "attempt", "delivery"];

/// What a module may import from this crate. `*` stands for everything.
fn allowed(module: &str) -> Vec<&'static str> {
    let words = |more: &[&'static str]| WORDS.iter().chain(more).copied().collect();
    match module {
        "id" | "clock" | "rng" | "template" | "dashboard" => vec![],
        // Nonces and keys are drawn.
        "secret" => vec!["rng"],
        "event" | "attempt" => vec!["id", "clock"],
        "subscription" => vec!["id", "clock", "event", "secret", "template"],
        // Faults with a pointer, as those of a subscription; landing addresses are templates.
        "inbound" => vec!["id", "clock", "event", "subscription", "template"],
        // The jitter is a hash, and the hash is in `rng`.
        "delivery" => words(&["rng"]),
        "cluster" => vec!["id", "clock"],
        "metrics" | "spans" => words(&[]),
        // Leases are kept where everything is kept. Addresses of databases are masked.
        "store" => words(&["cluster", "secret"]),
        // Accepted events and attempts are told in spans, as they are counted in metrics.
        "queue" => words(&["rng", "secret", "store", "metrics", "spans", "cluster", "inbound"]),
        // Signing keys are drawn.
        "request" => words(&["rng", "secret", "template"]),
        "dispatcher" => words(&["rng", "queue", "request", "cluster"]),
        "api" => words(&["rng", "secret", "queue", "store", "metrics", "template", "request", "dashboard", "cluster", "inbound"]),
        "config" => vec!["clock", "subscription", "delivery", "secret", "cluster"],
        "telemetry" => vec!["id", "config"],
        "systemd" => vec![],
        "server" => vec!["*"],
        "cli" => words(&["rng", "secret", "config", "telemetry", "systemd", "server", "spans", "template", "api", "request", "store"]),
        other => panic!("the module `{other}` is not in the import table; add it to docs/architecture.md and here, with the reason"),
    }
}

/// Crates that are known in few places, so that they can be replaced.
const DOORS: [(&str, &[&str]); 16] = [
    ("axum", &["src/api/", "src/server/listen.rs", "src/cli/receiver.rs", "src/cli/listen"]),
    ("hyper_util", &["src/server/listen.rs", "src/cli/bench"]),
    ("reqwest", &["src/request/send", "src/request/guard/", "src/spans/", "src/cli/client.rs", "src/cli/bench"]),
    ("sled", &["src/store/sled.rs"]),
    ("crossbeam_epoch", &["src/store/tail.rs", "src/store/sled.rs"]),
    ("redb", &["src/store/redb.rs"]),
    ("clap", &["src/cli/"]),
    ("governor", &["src/dispatcher/pace.rs"]),
    ("backoff", &["src/delivery/backoff.rs"]),
    ("handlebars", &["src/template/"]),
    ("rust_decimal", &["src/inbound/"]),
    ("prometheus_client", &["src/metrics/"]),
    ("rcgen", &["src/cli/listen/"]),
    ("tokio_rustls", &["src/cli/listen/", "src/store/postgres/"]),
    ("tokio_postgres", &["src/store/postgres/", "src/cli/bench"]),
    ("chacha20poly1305", &["src/secret/vault.rs"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                if !path.ends_with("tests.rs") {
                    found.push((path, text));
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    found.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(root).unwrap().to_owned());
    assert!(found.len() > 40, "only {} files were found", found.len());
    found
}

/// The top-level module of a file; none for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().nth(1)?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (!["lib", "main"].contains(&first.as_str())).then_some(first)
}

/// Each line of code with its number; comments and what follows the inline tests are left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "mod tests {")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

/// The modules that a line names as `crate::module` or in `use crate::{…}`.
fn named_modules(line: &str) -> Vec<String> {
    line.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let allowed = allowed(&module);
        for (number, line) in code_lines(&text) {
            for named in named_modules(line) {
                if named != module && !allowed.contains(&"*") && !allowed.contains(&named.as_str()) {
                    faults.push(format!("{}:{number}: `{module}` imports `{named}`", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn heavy_dependencies_have_one_door() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let shown = path.display().to_string();
        for (number, line) in code_lines(&text) {
            for (dependency, doors) in DOORS {
                // A module of ours may have a dependency's name; it is then named without its path.
                let of_ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(path.with_file_name(format!("{dependency}.rs"))).exists()
                    && shown.ends_with("/mod.rs");
                let named = !of_ours
                    && line.contains(&format!("{dependency}::"))
                    && !line.contains(&format!("_{dependency}::"))
                    && !line.contains(&format!("::{dependency}::"));
                if named
                    && !line.contains(&format!("crate::{dependency}"))
                    && !line.contains(&format!("super::{dependency}"))
                    && !doors.iter().any(|door| shown.starts_with(door))
                {
                    faults.push(format!("{shown}:{number}: `{dependency}` has its door in {}", doors.join(", ")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let without: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path.display().to_string()).collect();
    assert!(without.is_empty(), "these files have no module head: {}", without.join(", "));
}

#[test]
fn only_the_clock_and_the_rng_know_time_and_chance() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let shown = path.display().to_string();
        if ["src/clock.rs", "src/rng.rs"].contains(&shown.as_str()) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            if line.contains("::now()") || line.contains("getrandom::") {
                faults.push(format!("{shown}:{number}: time and chance are passed in"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_are_no_buckets() {
    let buckets = ["utils", "util", "common", "core", "models", "types", "misc"];
    let found: Vec<_> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.iter().any(|part| buckets.contains(&part.to_string_lossy().trim_end_matches(".rs"))))
        .map(|path| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "{}", found.join(", "));
}

#[test]
fn the_published_table_is_this_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap();
    for module in [
        "id",
        "clock",
        "rng",
        "secret",
        "template",
        "event",
        "inbound",
        "attempt",
        "subscription",
        "delivery",
        "store",
        "metrics",
        "queue",
        "request",
        "dispatcher",
        "api",
        "dashboard",
        "config",
        "telemetry",
        "server",
        "cli",
    ] {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{module}` |")))
            .unwrap_or_else(|| panic!("docs/architecture.md has no row for `{module}`"));
        for import in allowed(module).into_iter().filter(|import| *import != "*" && !WORDS.contains(import)) {
            assert!(row.contains(&format!("`{import}`")), "the row of `{module}` in docs/architecture.md does not name `{import}`");
        }
    }
}
