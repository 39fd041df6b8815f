//! Undoes doubled backslashes (rule G9).
//!
//! Templates are pasted from web pages whose markup doubled backslashes, and not consistently. If a
//! template does not parse, every run of two or more backslashes directly before `"`, `{` or `}` is
//! reduced to one and parsing is tried again. Whoever types a template by hand is not affected:
//! a template that parses is never touched.

use super::error::{Code, Finding, Span};
use super::token::MappedText;

/// The repaired text and the bytes of the original it differs in.
pub(super) struct Repaired {
    pub(super) text: MappedText,
    changed: Span,
}

/// `source` with every run reduced, or `None` if there is no such run.
pub(super) fn reduce_runs(source: &str) -> Option<Repaired> {
    let mut text = MappedText::builder();
    let mut changed: Option<Span> = None;
    let mut characters = source.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c != '\\' {
            text.push(c, at);
            continue;
        }
        let mut end = at + 1;
        while characters.next_if(|(_, next)| *next == '\\').is_some() {
            end += 1;
        }
        let length = end - at;
        let before_mark = matches!(characters.peek(), Some((_, '"' | '{' | '}')));
        let kept = if before_mark && length >= 2 { 1 } else { length };
        for offset in end - kept..end {
            text.push('\\', offset);
        }
        if kept < length {
            let start = changed.map_or(at, |span| span.start);
            changed = Some(Span::new(start, end));
        }
    }
    let text = text.finish(source.len());
    changed.map(|changed| Repaired { text, changed })
}

impl Repaired {
    /// The warning that goes with a successful repair; its fix writes the repaired text.
    pub(super) fn warning(&self) -> Finding {
        Finding::new(
            Code::EscapeRun,
            self.changed,
            "backslashes before `\"`, `{` or `}` are doubled, as happens when a template is copied from a web page; \
             it is read as if each run were one backslash",
        )
        .with_fix(self.changed, self.text_within(self.changed))
    }

    /// The part of the repaired text that came from `span`.
    fn text_within(&self, span: Span) -> String {
        let indexed = self.text.text().char_indices();
        indexed.filter(|(at, _)| (span.start..span.end).contains(&self.text.offset(*at))).map(|(_, c)| c).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_before_a_mark_are_reduced() {
        let repaired = reduce_runs(r#"a\\b \\\" \\{ \} \\\\}"#).unwrap();
        assert_eq!(repaired.text.text(), r#"a\\b \" \{ \} \}"#);
        assert!(reduce_runs(r#"a\\b \" \n"#).is_none());
    }

    #[test]
    fn the_fix_gives_the_repaired_text() {
        let source = r#"é\\"x\\\{y"#;
        let repaired = reduce_runs(source).unwrap();
        let fix = repaired.warning().fix.unwrap();
        let mut fixed = source.to_owned();
        fixed.replace_range(fix.span.start..fix.span.end, &fix.replacement);
        assert_eq!(fixed, repaired.text.text());
    }
}
