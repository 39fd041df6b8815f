//! The import itself: finds the macros of a style and puts ours in their place.

use super::names;
use super::style::{Placeholder, Style};
use crate::template::error::Span;
use crate::template::macros::Names;

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// The text in our language.
    pub template: String,
    /// The style that was given or detected; `None` if the text has no macros.
    pub style: Option<Style>,
    /// Foreign names with what they became, each pair once.
    pub mapped: Vec<(String, String)>,
    /// Macros without a counterpart. They stand in the template as text.
    pub unmapped: Vec<Unmapped>,
    /// What to look at before using the template, such as which sum a name means.
    pub notes: Vec<String>,
}

/// A foreign macro that has no counterpart here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unmapped {
    /// Its name, without the marks round it.
    pub name: String,
    /// Its place in the text that was imported, with its marks.
    pub span: Span,
}

/// Imports `text`. With no `style` the most likely one is taken.
pub fn import(style: Option<Style>, text: &str, names: &dyn Names) -> Imported {
    let style = style.or_else(|| detect(text, names));
    let mut imported =
        Imported { template: String::with_capacity(text.len()), style, mapped: Vec::new(), unmapped: Vec::new(), notes: Vec::new() };
    let mut done = 0;
    for placeholder in style.map(|style| style.placeholders(text)).unwrap_or_default() {
        keep_text(&mut imported.template, &text[done..placeholder.span.start], names);
        done = placeholder.span.end;
        insert(&mut imported, text, &placeholder, style, names);
    }
    keep_text(&mut imported.template, &text[done..], names);
    imported
}

fn insert(imported: &mut Imported, text: &str, placeholder: &Placeholder, style: Option<Style>, names: &dyn Names) {
    let Some(target) = names::target(&placeholder.name, style, names) else {
        keep_text(&mut imported.template, &text[placeholder.span.start..placeholder.span.end], names);
        imported.unmapped.push(Unmapped { name: placeholder.name.clone(), span: placeholder.span });
        return;
    };
    imported.template.push_str(&format!("{{{}}}", target.expression));
    let pair = (placeholder.name.clone(), target.expression);
    if !imported.mapped.contains(&pair) {
        if let Some(note) = target.note {
            imported.notes.push(format!("`{}` became `{}`: {note}", pair.0, pair.1));
        }
        imported.mapped.push(pair);
    }
}

/// The style that explains the text best: most names with a counterpart, then most macros.
fn detect(text: &str, names: &dyn Names) -> Option<Style> {
    let mut best: Option<(usize, usize, Style)> = None;
    for style in Style::ALL {
        let found = style.placeholders(text);
        let known = found.iter().filter(|placeholder| names::target(&placeholder.name, Some(style), names).is_some()).count();
        let doubtful = known == 0 && !style.is_distinct();
        if found.is_empty() || doubtful {
            continue;
        }
        if best.is_none_or(|(most, count, _)| (known, found.len()) > (most, count)) {
            best = Some((known, found.len(), style));
        }
    }
    best.map(|(.., style)| style)
}

/// Appends text that must not be read as a macro of ours.
fn keep_text(template: &mut String, text: &str, names: &dyn Names) {
    for (at, c) in text.char_indices() {
        let name = &text[at + c.len_utf8()..];
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(name.len());
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let end = name[length..].chars().next();
        let is_macro = match c {
            '{' => begins && matches!(end, Some('}' | '(')),
            '<' => end == Some('>') && names.kind(&name[..length]).is_some(),
            _ => false,
        };
        if is_macro && !template.ends_with('\\') {
            template.push('\\');
        }
        template.push(c);
    }
}
