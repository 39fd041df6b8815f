//! Walks over a parsed template: refuses what is switched off, looks names up, and rewrites.
//!
//! Afterwards every insertion is a call of `emit` with the value and a number by which its place in
//! the text is found, and every loop counts its steps. The walk recurses on blocks, whose depth `scan`
//! has limited.

use ::handlebars::Path;
use ::handlebars::template::{BlockParam, HelperTemplate, Parameter, Subexpression, Template, TemplateElement};
use serde_json::{Value, json};

use super::data::Needs;
use super::emit::{EMIT, EMIT_RAW, STEP};
use super::fault::place;
use super::helpers;
use super::join_text::{JoinNames, join_template, names_used};
use super::names::{Referent, Scope, Scopes, check};
use crate::template::error::{Code, Finding, Span};
use crate::template::format::Format;
use crate::template::lint::raw_inserted;
use crate::template::macros::{FieldKind, Names};
use crate::template::suggest::Nearest;

/// Loops may be nested this deep.
const LOOPS_MAX: usize = 2;

/// A comparison may look at values of any length, so it counts for more than other calls.
const COMPARISON_STEPS: usize = 8;

/// At most this many findings are reported.
const FINDINGS_MAX: usize = 50;

/// What the walk found out.
pub(super) struct Passed {
    pub(super) spans: Vec<Span>,
    pub(super) needs: Needs,
    pub(super) findings: Vec<Finding>,
}

/// Checks and rewrites `template`.
pub(super) fn pass(template: &mut Template, format: Format, source: &str, names: &dyn Names) -> Passed {
    let mut gate = Gate {
        format,
        source,
        names,
        scopes: Scopes::default(),
        loops: 0,
        calls: 0,
        span: Span::default(),
        passed: Passed { spans: Vec::new(), needs: Needs::default(), findings: Vec::new() },
    };
    gate.template(template);
    gate.passed.needs.describe(names);
    gate.passed
}

struct Gate<'a> {
    format: Format,
    source: &'a str,
    names: &'a dyn Names,
    scopes: Scopes,
    loops: usize,
    /// Steps of the calls in the tag at hand.
    calls: usize,
    /// Of the tag at hand.
    span: Span,
    passed: Passed,
}

impl Gate<'_> {
    fn report(&mut self, finding: Finding) {
        if self.passed.findings.len() < FINDINGS_MAX {
            self.passed.findings.push(finding);
        }
    }

    fn refuse(&mut self, code: Code, message: impl Into<String>) {
        self.report(Finding::new(code, self.span, message));
    }

    /// Returns how many elements one run of the template takes, for the count of steps.
    fn template(&mut self, template: &mut Template) -> usize {
        let mut count = 1;
        for index in 0..template.elements.len() {
            if let Some(mapping) = template.mapping.get(index) {
                self.span = place(self.source, mapping.0, mapping.1);
            }
            count += self.element(&mut template.elements[index]);
        }
        count
    }

    fn element(&mut self, element: &mut TemplateElement) -> usize {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => 1,
            TemplateElement::Expression(helper) => {
                self.insertion(helper);
                2 + std::mem::take(&mut self.calls)
            }
            TemplateElement::HelperBlock(helper) => self.block(helper),
            _ => {
                self.refuse(Code::RefusedConstruct, "this construct is switched off; write the text in place");
                1
            }
        }
    }

    /// `{{x}}`, `{{lower x}}` or `{{(lower x)}}`: becomes a call of `emit`.
    fn insertion(&mut self, helper: &mut HelperTemplate) {
        let params = std::mem::take(&mut helper.params);
        let hash = std::mem::take(&mut helper.hash);
        let name = std::mem::replace(&mut helper.name, Parameter::Name(EMIT.to_owned()));
        let is_plain = params.is_empty() && hash.is_empty();
        let mut value = match name {
            Parameter::Path(_) | Parameter::Subexpression(_) | Parameter::Literal(_) if is_plain => name,
            name => Parameter::Subexpression(Subexpression::new(name, params, hash)),
        };
        let mut raw = false;
        if is_plain && let Parameter::Path(path) = &value {
            let text = raw_path(path);
            if helpers::is_known(text) && self.names.kind(text).is_none() {
                let form = helpers::form(text);
                self.refuse(Code::BadArity, format!("`{text}` needs arguments; write `{form}`"));
            }
        } else if let Parameter::Subexpression(call) = &value {
            raw = call.name() == "raw";
        }
        self.parameter(&mut value);
        if raw && let Some(finding) = raw_inserted(self.format, self.span) {
            self.report(finding);
        }
        helper.name = Parameter::Name(if raw { EMIT_RAW } else { EMIT }.to_owned());
        helper.params = vec![value, Parameter::Literal(json!(self.passed.spans.len()))];
        self.passed.spans.push(self.span);
    }

    /// A value: looks its names up.
    fn parameter(&mut self, parameter: &mut Parameter) -> Referent {
        match parameter {
            Parameter::Path(path) => {
                let referent = self.scopes.referent(raw_path(path));
                // Looking for a similar name takes time, so it ends with the reports.
                if self.passed.findings.len() < FINDINGS_MAX
                    && let Some(finding) = check(&referent, self.names, self.span)
                {
                    self.report(finding);
                }
                self.passed.needs.add(&referent);
                referent
            }
            Parameter::Subexpression(call) => {
                if let TemplateElement::Expression(helper) = call.element.as_mut() {
                    self.call(helper);
                }
                Referent::Open
            }
            _ => Referent::Open,
        }
    }

    /// The name and arguments of a helper that gives a value.
    fn call(&mut self, helper: &mut HelperTemplate) {
        let name = helper_name(&helper.name).to_owned();
        if !helpers::is_known(&name) {
            let mut nearest = Nearest::to(&name);
            helpers::names().for_each(|known| nearest.offer(known));
            let finding = Finding::new(Code::UnknownFunction, self.span, format!("unknown function `{name}`"));
            self.report(finding.with_suggestion(nearest.found()));
        } else if !helpers::takes(&name, helper.params.len()) {
            let form = helpers::form(&name);
            let count = helper.params.len();
            self.refuse(Code::BadArity, format!("`{name}` has {count} arguments; write `{form}`"));
        }
        self.calls += if helpers::compares(&name) { COMPARISON_STEPS } else { 1 };
        let list = self.arguments(helper);
        if name == "join" {
            self.join_text(helper, &list);
        }
    }

    /// Looks up the names in the text of a `join`.
    fn join_text(&mut self, helper: &HelperTemplate, list: &Referent) {
        let [_, Parameter::Literal(Value::String(variable)), Parameter::Literal(Value::String(text)), ..] = helper.params.as_slice() else {
            return;
        };
        if !helpers::is_name(variable) || (helper.params.len() == 3 && !text.contains('{')) {
            return;
        }
        let names = JoinNames { names: self.names, list: list_name(list) };
        match join_template(variable, text, ",", &names) {
            Ok(template) => {
                for name in names_used(&template) {
                    self.passed.needs.add(&Referent::Name(name.to_owned(), Vec::new()));
                }
            }
            Err(findings) => {
                for mut finding in findings.into_iter().filter(Finding::is_error) {
                    finding.span = self.span;
                    finding.fix = None;
                    self.report(finding);
                }
            }
        }
    }

    fn arguments(&mut self, helper: &mut HelperTemplate) -> Referent {
        let mut first = Referent::Open;
        for (index, parameter) in helper.params.iter_mut().enumerate() {
            let referent = self.parameter(parameter);
            if index == 0 {
                first = referent;
            }
        }
        for parameter in helper.hash.values_mut() {
            self.parameter(parameter);
        }
        first
    }

    fn block(&mut self, helper: &mut HelperTemplate) -> usize {
        let name = helper_name(&helper.name).to_owned();
        let mut calls = if helpers::compares(&name) { COMPARISON_STEPS } else { 1 };
        let count = match name.as_str() {
            "each" => self.each(helper),
            "with" => {
                let subject = self.arguments(helper);
                calls += std::mem::take(&mut self.calls);
                let scope = scope_of(&subject);
                self.scoped(helper, scope)
            }
            _ => {
                if helpers::is_block(&name) {
                    self.arguments(helper);
                } else {
                    let message = format!("`{name}` is not a block; use `if`, `unless`, `each` or `with`");
                    self.refuse(Code::UnknownFunction, message);
                }
                calls += std::mem::take(&mut self.calls);
                helper.template.as_mut().map_or(0, |template| self.template(template))
            }
        };
        let otherwise = helper.inverse.as_mut().map_or(0, |template| self.template(template));
        calls + count + otherwise
    }

    fn each(&mut self, helper: &mut HelperTemplate) -> usize {
        let span = self.span;
        let list = self.arguments(helper);
        let calls = std::mem::take(&mut self.calls);
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            self.refuse(Code::NestingTooDeep, "loops are nested more than 2 deep; send one list per request");
        }
        self.passed.needs.add_list(&list);
        if let Referent::Name(name, rest) = &list {
            let kind = self.names.kind(name);
            let scalar = kind.is_some_and(|kind| !matches!(kind, FieldKind::List | FieldKind::Text));
            if scalar && rest.is_empty() {
                self.refuse(Code::NotAList, format!("`{name}` is not a list, and `each` needs one"));
            }
        }
        let scope = match list_name(&list) {
            name if name.is_empty() => Scope::Open,
            name => Scope::Item(name),
        };
        let count = self.scoped(helper, scope);
        self.loops -= 1;
        if let (Some(template), Some(step)) = (helper.template.as_mut(), step(count)) {
            let mapping = template.mapping.first().cloned();
            template.mapping.splice(0..0, mapping.or_else(|| step.mapping.first().cloned()));
            template.elements.splice(0..0, step.elements);
        }
        self.span = span;
        // The passes of an inner loop count for themselves.
        1 + calls
    }

    /// The text of a block that changes what names stand for.
    fn scoped(&mut self, helper: &mut HelperTemplate, scope: Scope) -> usize {
        let parameters = match &helper.block_param {
            Some(BlockParam::Single(name)) => vec![(helper_name(name).to_owned(), scope.clone())],
            Some(BlockParam::Pair((item, index))) => {
                vec![(helper_name(item).to_owned(), scope.clone()), (helper_name(index).to_owned(), Scope::Open)]
            }
            _ => Vec::new(),
        };
        self.scopes.push(scope, parameters);
        let count = helper.template.as_mut().map_or(0, |template| self.template(template));
        self.scopes.pop();
        count
    }
}

/// The name of a list in the catalogue; empty if it has none.
fn list_name(list: &Referent) -> String {
    match list {
        Referent::Name(name, rest) => [std::slice::from_ref(name), rest].concat().join("."),
        Referent::Field { list, field } => format!("{list}.{field}"),
        _ => String::new(),
    }
}

fn scope_of(subject: &Referent) -> Scope {
    match subject {
        Referent::Event => Scope::Event,
        Referent::Item(list) => Scope::Item(list.clone()),
        _ => Scope::Open,
    }
}

/// A call of `step` that counts `weight` steps.
fn step(weight: usize) -> Option<Template> {
    Template::compile(&format!("{{{{{STEP} {weight}}}}}")).ok()
}

fn helper_name(parameter: &Parameter) -> &str {
    match parameter {
        Parameter::Name(name) => name,
        Parameter::Path(path) => raw_path(path),
        _ => "",
    }
}

fn raw_path(path: &Path) -> &str {
    match path {
        Path::Relative((_, raw)) => raw,
        Path::Local((_, _, raw)) => raw,
    }
}
