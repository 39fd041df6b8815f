//! Turns a resolved template into a program: decides every escape, and proves what can be proven.

use std::sync::atomic::AtomicUsize;

use super::ast::Literal;
use super::error::{Code, Finding, Span};
use super::format::Format;
use super::macros::FieldKind;
use super::position::{Edges, Escape, Position, XmlMark, encode_literal};
use super::program::{Hole, Loop, NameTable, Op, Program, Text};
use super::token::Origin;
use super::tree::{Expression, Insertion, Item, Join, Resolved};
use super::validity::Certainty;

/// Compiles `resolved`. The program is usable only if no finding is an error.
pub(super) fn compile(resolved: Resolved, format: Format, source_bytes: usize) -> (Program, Vec<Finding>) {
    let mut compiler = Compiler { format, position: Position::start(format), position_varies: false, findings: Vec::new() };
    let ops = compiler.items(resolved.items, Level::Whole);
    if let Position::Url(url) = &compiler.position
        && let Err(misplaced) = url.finish()
    {
        let end = authority_end(&ops, source_bytes);
        compiler.report_once(misplaced.code, Span::new(0, end), misplaced.message);
    }
    let program = Program {
        format,
        room_bytes: AtomicUsize::new(room_bytes(&ops)),
        ops,
        names: NameTable::new(resolved.names),
        position_varies: compiler.position_varies,
        certainty: compiler.certainty(),
    };
    (program, compiler.findings)
}

/// For findings about scheme and host: the first literal is what they are about.
fn authority_end(ops: &[Op], source_bytes: usize) -> usize {
    match ops.first() {
        Some(Op::Literal(text)) => text.origin.locate(text.text.len()).min(source_bytes),
        _ => source_bytes,
    }
}

fn room_bytes(ops: &[Op]) -> usize {
    let sizes = ops.iter().map(|op| match op {
        Op::Literal(text) => text.text.len(),
        Op::Value(_) => 16,
        Op::Join(join) => 4 * (room_bytes(&join.body) + join.separator.text.len()),
    });
    sizes.sum()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Whole,
    ItemText,
}

struct Compiler {
    format: Format,
    position: Position,
    position_varies: bool,
    findings: Vec<Finding>,
}

impl Compiler {
    /// What the positions alone tell; `prove` looks at the rest.
    fn certainty(&self) -> Certainty {
        match &self.position {
            Position::Xml(xml) if xml.is_uncertain() => Certainty::Unproven,
            _ if self.position_varies => Certainty::Unproven,
            _ => Certainty::Proven,
        }
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.findings.push(Finding::new(code, span, message));
    }

    /// For findings that repeat at every value without telling more.
    fn report_once(&mut self, code: Code, span: Span, message: &str) {
        let address = [Code::BadScheme, Code::BadHost, Code::MacroInAuthority];
        let same = |known: Code| known == code || (address.contains(&known) && address.contains(&code));
        if !self.findings.iter().any(|finding| same(finding.code)) {
            self.report(code, span, message);
        }
    }

    fn items(&mut self, items: Vec<Item>, level: Level) -> Vec<Op> {
        let count = items.len();
        let mut ops = Vec::with_capacity(count);
        for (index, item) in items.into_iter().enumerate() {
            let whole = level == Level::Whole;
            let edges = Edges { first: whole && index == 0, last: whole && index + 1 == count };
            match item {
                Item::Text(literal) => {
                    let text = self.text(literal.text, literal.origin, edges);
                    ops.push(Op::Literal(text));
                }
                Item::Value(insertion) => ops.push(Op::Value(self.hole(insertion))),
                Item::Join(join) => ops.push(Op::Join(Box::new(self.join(*join)))),
            }
        }
        ops
    }

    /// Literal text in its final form.
    fn text(&mut self, text: String, origin: Origin, edges: Edges) -> Text {
        let encoded = match (&self.position, self.format) {
            (Position::Url(url), _) => Some(encode_literal(&text, edges, Some(url))),
            (_, Format::Query) => Some(encode_literal(&text, edges, None)),
            _ => None,
        };
        let in_cdata = matches!(&self.position, Position::Xml(xml) if matches!(xml.mark(), XmlMark::Cdata { .. }));
        let (text, origin) = match encoded {
            Some(encoded) if encoded != text => (encoded, Origin::at(origin.locate(0))),
            _ => (text, origin),
        };
        if self.format == Format::Header
            && let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control())
        {
            let place = origin.locate(at);
            let message = "a header value may not hold a line break or another control character; remove it";
            self.report(Code::InvalidHeader, Span::new(place, place + 1), message);
        }
        self.position.advance(&text);
        Text { text, origin, cdata_seam: in_cdata }
    }

    fn hole(&mut self, insertion: Insertion) -> Hole {
        let escape = match self.position.escape() {
            Ok(escape) => escape,
            Err(misplaced) => {
                self.report_once(misplaced.code, insertion.span, misplaced.message);
                Escape::Verbatim
            }
        };
        let bare = escape == Escape::JsonBare && !insertion.raw;
        if kind(&insertion.expression) == Some(FieldKind::List) && !bare && !self.position_varies {
            self.report(Code::NotScalar, insertion.span, "a list stands where a single value is needed; use `join(list, i, \"…\")`");
        }
        if insertion.raw
            && let Position::Xml(xml) = &mut self.position
        {
            xml.set_uncertain();
        }
        Hole { expression: insertion.expression, escape, raw: insertion.raw, span: insertion.span }
    }

    fn join(&mut self, join: Join) -> Loop {
        if let Position::Url(url) = &self.position
            && let Err(misplaced) = url.value()
        {
            self.report_once(misplaced.code, join.span, misplaced.message);
        }
        let before = self.at_seam();
        let body = self.items(join.body, Level::ItemText);
        let after = self.at_seam();
        self.check_balance(&before, &after, join.body_span);
        self.position = before.clone();
        let separator = self.separator(join.separator);
        let between = self.at_seam();
        if let Position::Json(_) = before {
            self.position_varies |= between != before;
        } else {
            self.check_balance(&before, &between, join.span);
        }
        self.position = before;
        if let (Position::Xml(xml), Position::Xml(after), Position::Xml(between)) = (&mut self.position, &after, &between) {
            let balanced = xml.depth() == after.depth() && xml.depth() == between.depth();
            let in_tag = matches!(xml.mark(), XmlMark::Tag { .. });
            if !balanced || in_tag || after.is_uncertain() || between.is_uncertain() {
                xml.set_uncertain();
            }
        }
        Loop {
            list: join.list,
            list_name: join.list_name,
            list_span: join.list_span,
            fields: NameTable::new(join.fields),
            body,
            separator,
            span: join.span,
            body_span: join.body_span,
        }
    }

    /// The place reached, with what lies before it cut off from what follows.
    fn at_seam(&mut self) -> Position {
        if let Position::Xml(xml) = &mut self.position {
            xml.seam();
        }
        self.position.clone()
    }

    /// Each pass of an item text must end where it began.
    fn check_balance(&mut self, before: &Position, after: &Position, span: Span) {
        if self.position_varies {
            return;
        }
        match (before, after) {
            (Position::Json(before), Position::Json(after)) if before != after => self.report(
                Code::UnbalancedItemTemplate,
                span,
                "the item text opens a JSON string and does not close it, or the other way round; each pass must end as it began",
            ),
            (Position::Xml(before), Position::Xml(after)) if !before.mark().is_same_place(after.mark()) => self.report(
                Code::UnbalancedItemTemplate,
                span,
                "the item text or separator opens a tag, comment, attribute or CDATA section and does not close it",
            ),
            _ => {}
        }
    }

    /// The separator as written; a comma by default, in XML nothing.
    fn separator(&mut self, separator: Option<Literal>) -> Text {
        match separator {
            Some(literal) => self.text(literal.text, literal.origin, Edges::default()),
            None if self.format == Format::Xml => Text::default(),
            None => self.text(",".to_owned(), Origin::default(), Edges::default()),
        }
    }
}

/// The kind of the field an expression stands for, if it is a plain name.
pub(super) fn kind(expression: &Expression) -> Option<FieldKind> {
    match expression {
        Expression::Top { kind, .. } | Expression::Field { kind, .. } => Some(*kind),
        _ => None,
    }
}
