//! Looks up every name and every call (rules G6 and G8, sections 4 and 5).
//!
//! Several findings come out of one pass. A name that is not known is reported and then treated as
//! a value of unknown kind, so that the checks of position can still go on.

use super::ast::{Argument, Call, Literal, Node, Path, Quoted};
use super::date::DateFormat;
use super::error::{Code, Finding, Span};
use super::functions::{self, Function, Mapping};
use super::macros::{FieldKind, Names};
use super::suggest::Nearest;
use super::token::Origin;
use super::tree::{Expression, Insertion, Item, Join, Resolved};

/// Checking reports at most this many findings.
const FINDINGS_MAX: usize = 50;

/// Looks up `nodes` in `names`. Whether a list may stand at a place is decided with the position.
pub(super) fn check(nodes: &[Node], names: &dyn Names) -> (Resolved, Vec<Finding>) {
    let mut checker = Checker { names, resolved: Resolved::default(), loops: Vec::new(), findings: Vec::new() };
    let items = checker.items(nodes);
    checker.resolved.items = items;
    (checker.resolved, checker.findings)
}

struct Checker<'a> {
    names: &'a dyn Names,
    resolved: Resolved,
    loops: Vec<Loop>,
    findings: Vec<Finding>,
}

/// A `join` around the current place.
struct Loop {
    variable: String,
    /// The list's name as the catalogue knows it: `items`, or `items.parts` for a list in an item.
    list: String,
    fields: Vec<String>,
}

/// What a path was found to be.
struct Found {
    expression: Expression,
    kind: Option<FieldKind>,
    /// The name under which the catalogue knows it, for lists.
    catalogue_name: String,
}

impl Checker<'_> {
    fn report(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    fn items(&mut self, nodes: &[Node]) -> Vec<Item> {
        nodes.iter().map(|node| self.item(node)).collect()
    }

    fn item(&mut self, node: &Node) -> Item {
        let (expression, raw, span) = match node {
            Node::Text(literal) => return Item::Text(literal.clone()),
            Node::Path(path) => (self.path(path).expression, false, path.span),
            Node::Call(call) => match (call.name.as_str(), call.arguments.as_slice()) {
                ("join", _) => match self.join(call) {
                    Some(join) => return Item::Join(Box::new(join)),
                    None => (Expression::Unknown, false, call.span),
                },
                ("raw", [inner]) => (self.argument(inner, "raw"), true, call.span),
                _ => (self.call(call), false, call.span),
            },
        };
        Item::Value(Insertion { expression, raw, span })
    }

    /// The value of a name; unknown names are reported.
    fn path(&mut self, path: &Path) -> Found {
        let first = path.segments[0].as_str();
        let found = match self.loops.iter().rposition(|l| l.variable == first) {
            Some(depth) => self.item_path(path, depth),
            None => self.top_path(path),
        };
        found.unwrap_or_else(|| {
            // Looking for a similar name takes time, so it ends with the reports.
            if self.findings.len() < FINDINGS_MAX {
                let finding = self.unknown(path);
                self.report(finding);
            }
            Found { expression: Expression::Unknown, kind: None, catalogue_name: path.dotted() }
        })
    }

    fn top_path(&mut self, path: &Path) -> Option<Found> {
        let dotted = path.dotted();
        let (first, rest) = path.segments.split_first()?;
        let kind = self.names.kind(&dotted).or_else(|| self.names.kind(first))?;
        let used = &mut self.resolved.names;
        let slot = used.iter().position(|name| name == first).unwrap_or_else(|| {
            used.push(first.clone());
            used.len() - 1
        });
        Some(Found { expression: Expression::Top { slot, rest: rest.to_vec(), kind }, kind: Some(kind), catalogue_name: dotted })
    }

    fn item_path(&mut self, path: &Path, depth: usize) -> Option<Found> {
        let list = self.loops[depth].list.clone();
        let found = |expression, kind, name: &str| Some(Found { expression, kind, catalogue_name: format!("{list}.{name}") });
        let (field, rest) = match &path.segments[1..] {
            [] => return found(Expression::ItemItself { depth }, None, ""),
            [index] if index == "index" => {
                return found(Expression::Index { depth }, Some(FieldKind::Integer), "index");
            }
            [field, rest @ ..] => (field, rest),
        };
        let dotted = path.segments[1..].join(".");
        let kind = self.names.item_kind(&list, &dotted).or_else(|| self.names.item_kind(&list, field));
        if kind.is_none() && self.has_item_fields(&list) {
            return None;
        }
        let fields = &mut self.loops[depth].fields;
        let slot = fields.iter().position(|name| name == field).unwrap_or_else(|| {
            fields.push(field.clone());
            fields.len() - 1
        });
        let expression = Expression::Field { depth, slot, rest: rest.to_vec(), kind: kind.unwrap_or(FieldKind::Text) };
        found(expression, kind, &dotted)
    }

    /// Whether the catalogue says anything about the items of `list`.
    fn has_item_fields(&self, list: &str) -> bool {
        let mut any = false;
        self.names.for_each_item_field(list, &mut |_| any = true);
        any
    }

    fn unknown(&self, path: &Path) -> Finding {
        let dotted = path.dotted();
        let suggestion = match self.loops.iter().rfind(|l| l.variable == path.segments[0]) {
            Some(l) => {
                let field = path.segments[1..].join(".");
                let mut nearest = Nearest::to(&field);
                nearest.offer("index");
                self.names.for_each_item_field(&l.list, &mut |name| nearest.offer(name));
                nearest.found().map(|name| format!("{}.{name}", l.variable))
            }
            None => {
                let mut nearest = Nearest::to(&dotted);
                self.names.for_each_name(&mut |name| nearest.offer(name));
                nearest.found()
            }
        };
        let mut shown: String = dotted.chars().take(80).collect();
        if shown.len() < dotted.len() {
            shown.push('…');
        }
        let message = format!("unknown macro `{shown}`");
        let finding = Finding::new(Code::UnknownMacro, path.span, message);
        match suggestion {
            Some(name) => finding.with_fix(path.span, name.clone()).with_suggestion(Some(name)),
            None => finding,
        }
    }

    /// A function other than `join`, and other than `raw` at the outermost place.
    fn call(&mut self, call: &Call) -> Expression {
        if !self.arity(call) {
            return Expression::Unknown;
        }
        let name = call.name.as_str();
        if matches!(name, "join" | "raw") {
            let message = format!("`{name}` writes into the template itself and cannot stand inside another call");
            return self.bad_call(call.span, message);
        }
        let subject = Box::new(self.argument(&call.arguments[0], name));
        let function = match name {
            "default" => {
                let other = self.argument(&call.arguments[1], name);
                return Expression::Default(subject, Box::new(other));
            }
            "lower" => Some(Function::Lower),
            "upper" => Some(Function::Upper),
            "md5" => Some(Function::Md5),
            "sha256" => Some(Function::Sha256),
            "map" => self.mapping(&call.arguments[1..]).map(Function::Map),
            _ => self.date_format(&call.arguments[1..]).map(Function::Date),
        };
        match function {
            Some(function) => Expression::Call(Box::new(function), subject),
            None => Expression::Unknown,
        }
    }

    /// Whether the function exists and takes that many arguments; reports it if not.
    fn arity(&mut self, call: &Call) -> bool {
        let name = call.name.as_str();
        let Some(signature) = functions::signature(name) else {
            let mut nearest = Nearest::to(name);
            functions::names().for_each(|known| nearest.offer(known));
            let message = format!("unknown function `{name}`");
            let finding = Finding::new(Code::UnknownFunction, call.name_span, message);
            let finding = match nearest.found() {
                Some(known) => finding.with_fix(call.name_span, known.clone()).with_suggestion(Some(known)),
                None => finding,
            };
            self.report(finding);
            return false;
        };
        let count = call.arguments.len();
        if (signature.arguments_min..=signature.arguments_max).contains(&count) {
            return true;
        }
        let message = format!("`{name}` has {count} {}; write `{}`", if count == 1 { "argument" } else { "arguments" }, signature.form);
        self.report(Finding::new(Code::BadArity, call.span, message));
        false
    }

    fn bad_call(&mut self, span: Span, message: String) -> Expression {
        self.report(Finding::new(Code::BadCall, span, message));
        Expression::Unknown
    }

    /// An argument that is a value: a name, a text or another call.
    fn argument(&mut self, argument: &Argument, function: &str) -> Expression {
        match argument {
            Argument::Text(quoted) => Expression::Text(quoted.decoded.text().to_owned()),
            Argument::Call(call) => self.call(call),
            Argument::Path(path) => {
                let found = self.path(path);
                if found.kind == Some(FieldKind::List) {
                    let message = format!("`{}` is a list, and `{function}` needs a single value; use `join`", path.dotted());
                    self.report(Finding::new(Code::NotScalar, path.span, message));
                }
                found.expression
            }
        }
    }

    fn text<'q>(&mut self, argument: &'q Argument, what: &str) -> Option<&'q Quoted> {
        match argument {
            Argument::Text(quoted) => Some(quoted),
            other => {
                self.bad_call(other.span(), format!("{what} must be a text in double quotes"));
                None
            }
        }
    }

    fn mapping(&mut self, pairs: &[Argument]) -> Option<Mapping> {
        let mut mapping = Mapping::default();
        for pair in pairs {
            let quoted = self.text(pair, "a pair of `map`")?;
            if !mapping.add(quoted.decoded.text()) {
                let message = format!("`{}` has no `=`; a pair of `map` is `\"key=value\"`", quoted.decoded.text());
                self.bad_call(quoted.span, message);
                return None;
            }
        }
        Some(mapping)
    }

    fn date_format(&mut self, arguments: &[Argument]) -> Option<DateFormat> {
        let pattern = self.text(arguments.first()?, "the pattern of `date`")?;
        let zone = match arguments.get(1) {
            Some(zone) => Some(self.text(zone, "the zone of `date`")?),
            None => None,
        };
        match DateFormat::new(pattern.decoded.text(), zone.map(|zone| zone.decoded.text())) {
            Ok(format) => Some(format),
            Err(error) => {
                let span = match (&error, zone) {
                    (super::date::DateFormatError::Zone { .. }, Some(zone)) => zone.span,
                    _ => pattern.span,
                };
                self.bad_call(span, error.to_string());
                None
            }
        }
    }

    /// `join(list, variable, "text" [, "separator"])`.
    fn join(&mut self, call: &Call) -> Option<Join> {
        if !self.arity(call) {
            return None;
        }
        let Argument::Path(list) = &call.arguments[0] else {
            let span = call.arguments[0].span();
            self.bad_call(span, "the first argument of `join` must be the name of a list".to_owned());
            return None;
        };
        let variable = match &call.arguments[1] {
            Argument::Path(path) if path.segments.len() == 1 => path.segments[0].clone(),
            other => {
                let message = "the second argument of `join` must be a plain name for the current item, such as `i`";
                self.bad_call(other.span(), message.to_owned());
                return None;
            }
        };
        let text = self.text(&call.arguments[2], "the third argument of `join`")?;
        let separator = match call.arguments.get(3) {
            Some(argument) => Some(literal(self.text(argument, "the separator of `join`")?)),
            None => None,
        };
        let found = self.path(list);
        if found.kind.is_some_and(|kind| kind != FieldKind::List) {
            let message = format!("`{}` is not a list, and `join` needs one", list.dotted());
            self.report(Finding::new(Code::NotAList, list.span, message));
        }
        self.loops.push(Loop { variable, list: found.catalogue_name, fields: Vec::new() });
        let body = self.items(text.template.as_deref().unwrap_or_default());
        let fields = self.loops.pop().map(|l| l.fields).unwrap_or_default();
        Some(Join {
            list: found.expression,
            list_name: list.dotted(),
            list_span: list.span,
            fields,
            body,
            separator,
            span: call.span,
            body_span: text.span,
        })
    }
}

/// A string literal that is sent as it stands.
fn literal(quoted: &Quoted) -> Literal {
    let mut origin = Origin::default();
    for at in 0..=quoted.decoded.text().len() {
        origin.note(at, quoted.decoded.offset(at));
    }
    Literal { text: quoted.decoded.text().to_owned(), origin, span: quoted.span }
}
