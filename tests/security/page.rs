//! The page and the tests: each row that `docs/security.md` names has the tests it names, and each test
//! that carries a row's id is of a row on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The names of all functions under `src/` and `tests/`.
fn functions() -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                for line in read(&path).lines() {
                    let Some((_, rest)) = line.split_once("fn ") else { continue };
                    found.insert(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    walk(&root.join("src"), &mut found);
    walk(&root.join("tests"), &mut found);
    found
}

/// The ids of rows at the beginning of a test's name: `d12` and `d13` of `d12_d13_names_are_…`.
fn rows_of(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').take_while(|part| is_row(part))
}

fn is_row(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| ('a'..='m').contains(&first))
        && (2..=3).contains(&text.len())
        && characters.all(|c| c.is_ascii_digit())
}

/// The rows of the page's tables, and what their column of tests says.
fn rows_of_the_page() -> BTreeMap<String, String> {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md"));
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Some(id) = cells.first().map(|cell| cell.to_lowercase().replace('-', "")).filter(|id| is_row(id)) else { continue };
        assert_eq!(cells.len(), 4, "a row has id, promise, test and setting: {line}");
        assert!(rows.insert(id, cells[2].to_owned()).is_none(), "the row is on the page twice: {line}");
    }
    assert!(rows.len() > 80, "only {} rows were found", rows.len());
    rows
}

#[test]
fn every_row_of_the_page_has_its_tests_and_every_test_its_row() {
    let functions = functions();
    let rows = rows_of_the_page();
    let mut faults = Vec::new();
    for (id, tests) in &rows {
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        for name in named.iter().filter(|name| !functions.contains(**name) && **name != format!("{id}_")) {
            faults.push(format!("{id}: there is no test `{name}`"));
        }
        let by_id = functions.iter().any(|name| rows_of(name).any(|row| row == id));
        if named.contains(&format!("{id}_").as_str()) && !by_id {
            faults.push(format!("{id}: no test has this id in its name"));
        }
        if named.is_empty() {
            faults.push(format!("{id}: the page names no test"));
        }
    }
    for name in functions.iter().filter(|name| !rows.is_empty() && name.matches('_').count() > 2) {
        for row in rows_of(name).filter(|row| !rows.contains_key(*row)) {
            faults.push(format!("{row}: the test `{name}` is of a row that the page does not have"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_limits_on_the_page_are_those_of_the_settings() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md"));
    let settings = serde_json::to_value(postrider::config::Settings::default()).unwrap();
    let settings = settings.as_object().unwrap();
    let words: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    for name in settings.keys().filter(|name| name.ends_with("_max") || name.ends_with("_s") || name.ends_with("_min")) {
        assert!(words.contains(&name.as_str()) || name == "drain_s", "the setting `{name}` is a limit and not on the page");
    }
}
