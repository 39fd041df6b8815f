//! The catalogue as Markdown tables, for `docs/events.md`.

use std::fmt::Write as _;

use super::field::{Field, FieldType, Provider};
use super::table::{Family, types};

/// Every event type with its fields, one section for each set of fields.
///
/// Types that share their fields share a section. The fields of the
/// dispatcher come once, at the end.
pub fn markdown() -> String {
    let mut page = String::new();
    for group in groups() {
        section(&mut page, &group);
    }
    system_section(&mut page);
    page
}

/// One table of all macros: name, type, example, meaning, and the families
/// that carry it. A name that several families use has a row for each of its
/// meanings.
pub fn macro_table() -> String {
    let mut table = String::from("| macro | type | example | meaning | families |\n| --- | --- | --- | --- | --- |\n");
    for (field, families) in macros() {
        let carried_by = match field.provider {
            Provider::System => "all".to_owned(),
            Provider::Sender => families.iter().map(|family| family.code()).collect::<Vec<_>>().join(", "),
        };
        line(&mut table, &[&macro_name(field), field.field_type.label(), &example(field), field.meaning, &carried_by]);
    }
    table
}

type Group = Vec<&'static super::TypeEntry>;

fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for entry in types() {
        match groups.iter_mut().find(|group| group[0].fields == entry.fields) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups
}

fn section(page: &mut String, group: &Group) {
    let names: Vec<_> = group.iter().map(|entry| format!("`{}`", entry.name)).collect();
    block(page, &format!("### {}", names.join(", ")));
    page.push_str("| event type | family | what happened | wildcards match it |\n");
    page.push_str("| --- | --- | --- | --- |\n");
    for entry in group {
        line(page, &[&format!("`{}`", entry.name), entry.family.label(), entry.summary, if entry.default_sent { "yes" } else { "no" }]);
    }
    page.push('\n');
    field_table(page, group[0].sent_fields());
    for field in group[0].sent_fields() {
        if let FieldType::List(items) = field.field_type {
            block(page, &format!("Fields of each entry of `{}`, inside `join`:", field.name));
            field_table(page, items.iter());
        }
    }
}

fn system_section(page: &mut String) {
    block(page, "### Every event type");
    block(page, "Filled in by the dispatcher; a value of the same name in `data` is not used.");
    let system = types().next().into_iter().flat_map(|entry| entry.fields).filter(|field| field.provider == Provider::System);
    field_table(page, system);
}

fn field_table(page: &mut String, fields: impl Iterator<Item = &'static Field>) {
    page.push_str("| name | type | example | meaning |\n| --- | --- | --- | --- |\n");
    for field in fields {
        line(page, &[&format!("`{}`", field.name), field.field_type.label(), &example(field), field.meaning]);
    }
    page.push('\n');
}

fn macros() -> Vec<(&'static Field, Vec<Family>)> {
    let mut macros: Vec<(&'static Field, Vec<Family>)> = Vec::new();
    for entry in types() {
        for field in entry.fields {
            let known = macros.iter_mut().find(|(known, _)| known.name == field.name && known.meaning == field.meaning);
            match known {
                Some((_, families)) if families.contains(&entry.family) => {}
                Some((_, families)) => families.push(entry.family),
                None => macros.push((field, vec![entry.family])),
            }
        }
    }
    macros
}

fn macro_name(field: &Field) -> String {
    match field.field_type {
        FieldType::List(_) => format!("`{{join({}, …)}}`", field.name),
        _ => format!("`{{{}}}`", field.name),
    }
}

fn example(field: &Field) -> String {
    match field.field_type {
        FieldType::List(items) => {
            let names: Vec<_> = items.iter().map(|item| item.name).collect();
            format!("entries of {}", names.join(", "))
        }
        _ => format!("`{}`", field.example),
    }
}

fn line(page: &mut String, cells: &[&str]) {
    for cell in cells {
        write!(page, "| {} ", cell.replace('|', "\\|")).expect("writing to a string does not fail");
    }
    page.push_str("|\n");
}

fn block(page: &mut String, text: &str) {
    page.push_str(text);
    page.push_str("\n\n");
}
