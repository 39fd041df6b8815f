//! What a path in handlebars text refers to.

use crate::template::error::{Code, Finding, Span};
use crate::template::macros::Names;
use crate::template::suggest::Nearest;

/// What names stand for at some place of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// The event.
    Event,
    /// An item of the list with this name in the catalogue.
    Item(String),
    /// Something the catalogue does not describe.
    Open,
}

/// What a path refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Referent {
    /// The whole event.
    Event,
    /// A top-level name, with the rest of the path.
    Name(String, Vec<String>),
    /// A field of an item of a list.
    Field { list: String, field: String },
    /// An item itself, by its list.
    Item(String),
    /// `@index` and the like, or something not described.
    Open,
}

/// The scopes around a place, innermost last, and the names of block parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Scopes {
    blocks: Vec<(Scope, Vec<(String, Scope)>)>,
}

impl Scopes {
    pub(super) fn push(&mut self, scope: Scope, parameters: Vec<(String, Scope)>) {
        self.blocks.push((scope, parameters));
    }

    pub(super) fn pop(&mut self) {
        self.blocks.pop();
    }

    /// What the path `raw` refers to.
    pub(super) fn referent(&self, raw: &str) -> Referent {
        let mut rest = raw;
        if rest.starts_with('@') && !rest.starts_with("@root") {
            return Referent::Open;
        }
        let mut level = self.blocks.len();
        let mut scope = None;
        if let Some(rooted) = rest.strip_prefix("@root") {
            rest = rooted.trim_start_matches(['.', '/']);
            scope = Some(Scope::Event);
        }
        while let Some(up) = rest.strip_prefix("..") {
            rest = up.trim_start_matches('/');
            level = level.saturating_sub(1);
            scope = None;
            if rest.starts_with('@') {
                return Referent::Open;
            }
        }
        rest = rest.strip_prefix("./").unwrap_or(rest);
        let mut segments = segments(rest);
        if segments.first().is_some_and(|first| first == "this") {
            segments.remove(0);
        } else if let (Some(first), true) = (segments.first(), level == self.blocks.len() && scope.is_none()) {
            let mut parameters = self.blocks.iter().rev().flat_map(|(_, parameters)| parameters);
            if let Some((_, parameter)) = parameters.find(|(name, _)| name == first) {
                scope = Some(parameter.clone());
                segments.remove(0);
            }
        }
        let scope = scope.unwrap_or_else(|| match level.checked_sub(1).and_then(|level| self.blocks.get(level)) {
            Some((scope, _)) => scope.clone(),
            None => Scope::Event,
        });
        match (scope, segments.is_empty()) {
            (Scope::Event, true) => Referent::Event,
            (Scope::Event, false) => Referent::Name(segments.remove(0), segments),
            (Scope::Item(list), true) => Referent::Item(list),
            (Scope::Item(list), false) => Referent::Field { list, field: segments.remove(0) },
            (Scope::Open, _) => Referent::Open,
        }
    }
}

/// The parts of a path; `[a b]` is one part.
fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, behind) = match rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((segment, behind)) => (segment, behind),
            None => rest.split_at(rest.find(['.', '/']).unwrap_or(rest.len())),
        };
        if !segment.is_empty() {
            segments.push(segment.to_owned());
        }
        rest = behind.trim_start_matches(['.', '/']);
    }
    segments
}

/// The finding for a name that is not known, if it is not.
pub(super) fn check(referent: &Referent, names: &dyn Names, span: Span) -> Option<Finding> {
    let (shown, nearest) = match referent {
        Referent::Name(name, rest) => {
            let dotted = [std::slice::from_ref(name), rest].concat().join(".");
            if names.kind(name).is_some() || names.kind(&dotted).is_some() {
                return None;
            }
            let mut nearest = Nearest::to(name);
            names.for_each_name(&mut |known| nearest.offer(known));
            (name, nearest.found())
        }
        Referent::Field { list, field } => {
            let mut any = false;
            names.for_each_item_field(list, &mut |_| any = true);
            if !any || names.item_kind(list, field).is_some() {
                return None;
            }
            if names.kind(field).is_some() {
                let message = format!("`{field}` is a field of the event, not of the items of `{list}`; write `@root.{field}`");
                let mut finding = Finding::new(Code::UnknownMacro, span, message);
                finding.suggestion = Some(format!("@root.{field}"));
                return Some(finding);
            }
            let mut nearest = Nearest::to(field);
            names.for_each_item_field(list, &mut |known| nearest.offer(known));
            (field, nearest.found())
        }
        _ => return None,
    };
    let finding = Finding::new(Code::UnknownMacro, span, format!("unknown macro `{shown}`"));
    Some(finding.with_suggestion(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_through_blocks() {
        let mut scopes = Scopes::default();
        assert_eq!(scopes.referent("this.A.b"), Referent::Name("A".into(), vec!["b".into()]));
        assert_eq!(scopes.referent("this"), Referent::Event);
        scopes.push(Scope::Item("items".into()), vec![("item".into(), Scope::Item("items".into()))]);
        let field = Referent::Field { list: "items".into(), field: "sku".into() };
        for path in ["sku", "this.sku", "./sku", "item.sku", "this/sku", "[sku]"] {
            assert_eq!(scopes.referent(path), field, "{path}");
        }
        assert_eq!(scopes.referent("../A"), Referent::Name("A".into(), vec![]));
        assert_eq!(scopes.referent("@root.A"), Referent::Name("A".into(), vec![]));
        assert_eq!(scopes.referent("@index"), Referent::Open);
        assert_eq!(scopes.referent("../@index"), Referent::Open);
        assert_eq!(scopes.referent("this"), Referent::Item("items".into()));
    }
}
