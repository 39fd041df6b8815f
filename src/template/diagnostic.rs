//! Findings as text, and their fixes applied.

use annotate_snippets::{AnnotationKind, Level, Patch, Renderer, Snippet};

use super::error::{Finding, Severity};

impl Finding {
    /// The finding with its line and a mark under it, as shown in a terminal.
    ///
    /// `source` is the template text and `name` what to call it, usually a file name. `color` adds
    /// terminal colours. The text ends without a line end.
    pub fn render_text(&self, source: &str, name: &str, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let range = self.span.start.min(source.len())..self.span.end.min(source.len());
        let valid = source.get(range.clone()).is_some();
        let range = if valid { range } else { 0..0 };
        let snippet = Snippet::source(source).line_start(1).path(name).annotation(AnnotationKind::Primary.span(range));
        let mut report = vec![level.primary_title(&self.message).id(self.code.as_str()).element(snippet)];
        let fix = self.fix.as_ref().filter(|fix| source.get(fix.span.start..fix.span.end).is_some());
        if let Some(fix) = fix {
            let patch = Patch::new(fix.span.start..fix.span.end, &fix.replacement);
            let snippet = Snippet::source(source).line_start(1).path(name).patch(patch);
            report.push(Level::HELP.secondary_title("this can be fixed by the change").element(snippet));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&report)
    }
}

/// `source` with the fixes of `findings` applied.
///
/// Of fixes that overlap, the first in the text is applied; compiling again offers what is left.
pub fn apply_fixes<'a>(source: &str, findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let mut fixes: Vec<_> = findings.into_iter().filter_map(|finding| finding.fix.as_ref()).collect();
    fixes.sort_by_key(|fix| (fix.span.start, fix.span.end));
    let mut fixed = String::with_capacity(source.len());
    let mut done = 0;
    for fix in fixes {
        let (Some(before), true) = (source.get(done..fix.span.start), source.is_char_boundary(fix.span.end.min(source.len()))) else {
            continue;
        };
        if fix.span.end < fix.span.start || fix.span.end > source.len() {
            continue;
        }
        fixed.push_str(before);
        fixed.push_str(&fix.replacement);
        done = fix.span.end;
    }
    fixed.push_str(source.get(done..).unwrap_or_default());
    fixed
}

#[cfg(test)]
mod tests {
    use super::super::error::{Code, Span};
    use super::*;

    fn fixing(start: usize, end: usize, replacement: &str) -> Finding {
        Finding::new(Code::UnknownMacro, Span::new(start, end), "x").with_fix(Span::new(start, end), replacement)
    }

    #[test]
    fn fixes_apply_in_order_and_never_twice_to_one_place() {
        let findings = [fixing(4, 6, "C"), fixing(0, 2, "A"), fixing(1, 5, "lost")];
        assert_eq!(apply_fixes("aabbcc!", &findings), "AbbC!");
        assert_eq!(apply_fixes("ab", &[fixing(1, 9, "x"), fixing(2, 2, "!")]), "ab!");
    }

    #[test]
    fn the_line_is_shown_with_a_mark_under_it() {
        let source = "a=1\n&b={Paiout}";
        let finding = Finding::new(Code::UnknownMacro, Span::new(8, 14), "unknown macro `Paiout`").located(source);
        let text = finding.render_text(source, "body", false);
        assert!(text.contains("error[unknown_macro]: unknown macro `Paiout`"), "{text}");
        assert!(text.contains("body:2:5"), "{text}");
        assert!(text.contains("^^^^^^"), "{text}");
        assert!(!text.contains('\u{1b}') && finding.render_text(source, "body", true).contains('\u{1b}'));
    }
}
