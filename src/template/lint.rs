//! Warnings: templates that work, but probably not as meant (section 5).
//!
//! Each stands for something that has cost people money: names sent as text, income confused with
//! the order's amount, secrets in logs, reversals nobody hears of. Each can be silenced by its code.

use super::compile::kind;
use super::error::{Code, Finding, Span};
use super::format::Format;
use super::macros::{FieldKind, Names};
use super::position::Escape;
use super::program::{Hole, Op, Program};
use super::tree::Expression;

/// Macros that hold the order's amount rather than the partner's income.
const SALE_AMOUNTS: [&str; 4] = ["Amount", "DeltaAmount", "IntendedAmount", "OriginalAmount"];

/// Words in a key by which receivers mean the partner's income.
const INCOME_WORDS: [&str; 3] = ["payout", "revenue", "commission"];

/// Query keys whose literal value is a secret.
const SECRET_KEYS: [&str; 12] = [
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "api_key",
    "apikey",
    "access_token",
    "auth_token",
    "api_token",
    "secure",
    "signature_key",
];

/// All warnings about `program` that need its positions; `source` is the text as typed.
pub(super) fn lint(program: &Program, source: &str, names: &dyn Names) -> Vec<Finding> {
    let mut linter = Linter { program, source, findings: Vec::new() };
    linter.ops(&program.ops, false);
    if program.format == Format::Url {
        linter.address();
    }
    let mut findings = linter.findings;
    findings.extend(super::lint_text::lint_text(source, program.format, names));
    findings
}

struct Linter<'a> {
    program: &'a Program,
    source: &'a str,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn ops(&mut self, ops: &[Op], in_item_text: bool) {
        for (index, op) in ops.iter().enumerate() {
            match op {
                Op::Literal(_) => {}
                Op::Join(join) => self.ops(&join.body, true),
                Op::Value(hole) => {
                    let before = match index.checked_sub(1).and_then(|before| ops.get(before)) {
                        Some(Op::Literal(text)) => text.text.as_str(),
                        _ => "",
                    };
                    self.raw(hole);
                    self.unquoted_text(hole, in_item_text);
                    self.money(hole, before);
                    self.double_braces(hole);
                }
            }
        }
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn raw(&mut self, hole: &Hole) {
        if hole.raw {
            self.findings.extend(raw_inserted(self.program.format, hole.span));
        }
    }

    fn unquoted_text(&mut self, hole: &Hole, in_item_text: bool) {
        let text_kinds = [FieldKind::Text, FieldKind::Date, FieldKind::Url];
        let is_text = kind(&hole.expression).is_some_and(|kind| text_kinds.contains(&kind));
        if hole.raw || hole.escape != Escape::JsonBare || !is_text || self.program.position_varies {
            return;
        }
        let finding = Finding::new(
            Code::MacroUnquotedText,
            hole.span,
            "a text field stands outside quotes: text such as `0012` is sent quoted, but `12` as a number; put it in quotes",
        );
        let braces = self.braces(hole.span);
        self.push(match braces {
            Some(span) if !in_item_text => {
                let quoted = format!("\"{}\"", &self.source[span.start..span.end]);
                finding.with_fix(span, quoted)
            }
            _ => finding,
        });
    }

    /// The name at `span` with the brackets round it, if the source has them right there.
    fn braces(&self, span: Span) -> Option<Span> {
        let outer = Span::new(span.start.checked_sub(1)?, span.end + 1);
        let text = self.source.get(outer.start..outer.end)?;
        let bracketed = (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('<') && text.ends_with('>'));
        bracketed.then_some(outer)
    }

    fn money(&mut self, hole: &Hole, before: &str) {
        let Expression::Top { slot, .. } = &hole.expression else { return };
        let Some(name) = self.program.names.names().get(*slot) else { return };
        if !SALE_AMOUNTS.contains(&name.as_str()) {
            return;
        }
        let Some(key) = key_before(before) else { return };
        let words = key.to_lowercase();
        let mut words = words.split(|c: char| !c.is_ascii_alphanumeric());
        if !words.any(|word| INCOME_WORDS.contains(&word)) {
            return;
        }
        let payout = name.replace("Amount", "Payout").replace("Original", "");
        let message = format!(
            "`{name}` is the amount of the order, but `{key}` means the partner's income; use `{payout}` unless the sale amount is wanted"
        );
        let mut finding = Finding::new(Code::MoneyConfusion, hole.span, message);
        finding.suggestion = Some(payout);
        self.push(finding);
    }

    fn double_braces(&mut self, hole: &Hole) {
        let Some(inner) = self.braces(hole.span) else { return };
        let Some(outer) = self.braces(inner) else { return };
        let text = &self.source[outer.start..outer.end];
        let escaped = self.source[..outer.start].ends_with('\\');
        if !text.starts_with("{{") || escaped {
            return;
        }
        let single = self.source[inner.start..inner.end].to_owned();
        let message = format!("double braces are not needed: the outer pair is sent as text; write `{single}`");
        self.push(Finding::new(Code::DoubleBraces, outer, message).with_fix(outer, single));
    }

    /// Plain `http`, and secrets in the query.
    fn address(&mut self) {
        self.findings.extend(plain_http(self.source));
        self.secrets();
    }

    fn secrets(&mut self) {
        // Values become U+0000, which no literal of an address holds, so that only literal values count.
        let mut text = String::new();
        for op in &self.program.ops {
            match op {
                Op::Literal(literal) => text.push_str(&literal.text),
                Op::Value(_) | Op::Join(_) => text.push('\0'),
            }
        }
        let Some((_, query)) = text.split_once('?') else { return };
        let query = query.split('#').next().unwrap_or_default();
        for pair in query.split('&') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            let is_secret = SECRET_KEYS.contains(&key.to_lowercase().replace('-', "_").as_str());
            if !is_secret || value.is_empty() || value.contains('\0') {
                continue;
            }
            let start = self.source.find(pair).unwrap_or(0);
            let message = format!("`{key}` carries a secret in the address, which logs and proxies keep; send it in a header");
            self.push(Finding::new(Code::SecretInUrl, Span::new(start, start + key.len()), message));
        }
    }
}

/// The warning for a value inserted without escaping.
pub(super) fn raw_inserted(format: Format, span: Span) -> Option<Finding> {
    let (code, message) = match format {
        Format::Url | Format::Query => {
            (Code::RawInUrl, "`raw` lets the value add pairs or change the path; leave it out unless the value is already encoded")
        }
        Format::Json | Format::Xml | Format::Header => {
            (Code::RawInBody, "`raw` lets the value change the structure around it; leave it out unless the value is already escaped")
        }
        Format::Raw => return None,
    };
    Some(Finding::new(code, span, message))
}

/// The warning for an address that begins with `http:`.
pub(super) fn plain_http(source: &str) -> Option<Finding> {
    let start = source.len() - source.trim_start().len();
    let scheme = source.get(start..start + 5)?;
    if !scheme.eq_ignore_ascii_case("http:") {
        return None;
    }
    let span = Span::new(start, start + 4);
    let message = "the address is not encrypted, so anyone on the way can read and change the request; use `https`";
    Some(Finding::new(Code::PlainHttp, span, message).with_fix(span, "https"))
}

/// The key a value behind this literal text belongs to: `key=`, `"key": "` or `<key>`.
fn key_before(before: &str) -> Option<&str> {
    let before = before.trim_end_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let name = |text: &str| -> Option<usize> {
        let start = text.rfind(|c: char| !c.is_alphanumeric() && !"_-.".contains(c));
        Some(start.map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8)))
    };
    let body = match before.chars().last()? {
        '=' | '>' => &before[..before.len() - 1],
        ':' => before[..before.len() - 1].trim_end().strip_suffix(['"', '\''])?,
        _ => return None,
    };
    let key = &body[name(body)?..];
    (!key.is_empty()).then_some(key)
}

/// Which part of a request a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The address.
    Url,
    /// The body.
    Body,
    /// One header.
    Header,
}

/// Names by which a receiver can recognise a repeated event.
const DEDUP_NAMES: [&str; 9] =
    ["ActionId", "NotificationId", "OrderId", "InquiryId", "RequestId", "JobId", "CatalogItemId", "ClickId", "RefClickId"];

/// Warnings that concern a request as a whole: `no_reversal_signal` and `no_dedup_key`.
///
/// `parts` are all templates of the request; `life_cycle` tells whether it reports the life cycle of
/// actions, which includes reversals. The findings point at the beginning of the first part.
pub fn lint_request(parts: &[(Part, &super::Template)], life_cycle: bool) -> Vec<Finding> {
    let uses = |wanted: &[&str]| {
        let mut names = parts.iter().flat_map(|(_, template)| template.names_used());
        names.any(|name| wanted.contains(&name))
    };
    let mut findings = Vec::new();
    if life_cycle && !uses(&["Status"]) {
        findings.push(Finding::new(
            Code::NoReversalSignal,
            Span::default(),
            "nothing in the request tells the status, so reversals look like new conversions; add `{Status}`",
        ));
    }
    if !uses(&DEDUP_NAMES) {
        findings.push(Finding::new(
            Code::NoDedupKey,
            Span::default(),
            "nothing in the request identifies the event, so a repeated delivery counts twice; add `{ActionId}` or `{NotificationId}`",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_found_in_every_format() {
        assert_eq!(key_before("a=1&payout="), Some("payout"));
        assert_eq!(key_before("{\"x\":1, \"revenue\" : \""), Some("revenue"));
        assert_eq!(key_before("<e><commission>"), Some("commission"));
        assert_eq!(key_before("<e sum=\""), Some("sum"));
        assert_eq!(key_before("a/"), None);
        assert_eq!(key_before(""), None);
        assert_eq!(key_before("é="), Some("é"));
    }
}
