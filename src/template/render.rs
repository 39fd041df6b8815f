//! Runs a program over the values of one event.
//!
//! Rendering appends literal text and escaped values to one buffer, counts its steps, and stops at
//! the limits. A trace of where each piece came from is kept only when a result turned out invalid
//! and the place in the template is wanted.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::error::{Code, Finding, Span};
use super::escape;
use super::functions::{self, FunctionError};
use super::macros::Values;
use super::position::{Escape, JsonPosition};
use super::program::{Hole, Loop, Op, Program, Text};
use super::token::Origin;
use super::tree::Expression;
use super::value::Scalar;

/// A result may be this long.
pub(super) const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// A function that handles this many bytes takes a step.
const BYTES_PER_STEP: usize = 64;

/// One rendering may take this many steps; a step is a piece of text or a value.
pub(super) const STEPS_MAX: usize = 1_000_000;

/// Where a piece of the result came from: its offset in the result, and in the template.
#[derive(Debug, Clone)]
pub(super) struct TracePoint {
    output: usize,
    origin: Origin,
    /// Values have the whole span of their macro as origin.
    span: Option<Span>,
}

/// Values to prove well-formedness with, in place of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) text: &'static str,
    pub(super) items: usize,
}

/// The result with the origin of its pieces.
pub(super) struct Traced {
    pub(super) output: String,
    trace: Vec<TracePoint>,
}

impl Traced {
    /// The place in the template that the byte `at` of the result came from.
    pub(super) fn source(&self, at: usize) -> Span {
        let index = self.trace.partition_point(|point| point.output <= at);
        let Some(point) = index.checked_sub(1).and_then(|index| self.trace.get(index)) else {
            return Span::default();
        };
        point.span.unwrap_or_else(|| {
            let place = point.origin.locate(at - point.output);
            Span::new(place, place + 1)
        })
    }
}

/// Renders `program`. Findings have no line and column yet.
pub(super) fn render(program: &Program, values: &Values<'_>) -> Result<String, Box<Finding>> {
    let mut renderer = Renderer::new(program, Some(values));
    renderer.run(&program.ops)?;
    program.room_bytes.fetch_max(renderer.out.len(), Ordering::Relaxed);
    Ok(renderer.out)
}

/// Renders `program` with a trace.
pub(super) fn render_traced(program: &Program, values: &Values<'_>) -> Result<Traced, Box<Finding>> {
    traced(Renderer::new(program, Some(values)))
}

/// Renders `program` with every value and list replaced by `sample`.
pub(super) fn render_sample(program: &Program, sample: Sample) -> Result<Traced, Box<Finding>> {
    let mut renderer = Renderer::new(program, None);
    renderer.sample = Some(sample);
    traced(renderer)
}

fn traced<'p: 'v, 'v>(mut renderer: Renderer<'p, 'v>) -> Result<Traced, Box<Finding>> {
    renderer.trace = Some(Vec::new());
    renderer.run(&renderer.program.ops)?;
    Ok(Traced { output: renderer.out, trace: renderer.trace.unwrap_or_default() })
}

struct Renderer<'p, 'v> {
    program: &'p Program,
    out: String,
    steps: usize,
    /// Values of the top-level names, by number.
    top: Vec<Option<&'v Value>>,
    loops: Vec<Pass<'v>>,
    /// Values of the item fields of all running loops, by loop and number.
    fields: Vec<Option<&'v Value>>,
    /// Where the result stands, if that depends on the event.
    position: Option<JsonPosition>,
    trace: Option<Vec<TracePoint>>,
    sample: Option<Sample>,
}

/// One pass of a loop.
struct Pass<'v> {
    item: &'v Value,
    /// From 1.
    index: usize,
    /// Where its fields begin in [`Renderer::fields`].
    fields_start: usize,
}

type Run<T> = Result<T, Box<Finding>>;

fn fault<T>(code: Code, span: Span, message: impl Into<String>) -> Run<T> {
    Err(Box::new(Finding::new(code, span, message)))
}

impl<'p: 'v, 'v> Renderer<'p, 'v> {
    fn new(program: &'p Program, values: Option<&Values<'v>>) -> Renderer<'p, 'v> {
        let mut top = vec![None; program.names.len()];
        if let Some(values) = values {
            program.names.fill(values.event, &mut top, &mut Vec::new());
            for (slot, name) in top.iter_mut().zip(program.names.names()) {
                if slot.is_none_or(Value::is_null) && !values.extra.is_empty() {
                    *slot = values.get(name);
                }
            }
        }
        Renderer {
            program,
            out: String::with_capacity(program.room_bytes.load(Ordering::Relaxed)),
            steps: 0,
            top,
            loops: Vec::new(),
            fields: Vec::new(),
            position: program.position_varies.then(JsonPosition::default),
            trace: None,
            sample: None,
        }
    }

    fn run(&mut self, ops: &'p [Op]) -> Run<()> {
        for op in ops {
            match op {
                Op::Literal(text) => self.literal(text),
                Op::Value(hole) => self.hole(hole)?,
                Op::Join(join) => self.join(join)?,
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return too_many_steps(op_span(op));
            }
            if self.out.len() > OUTPUT_BYTES_MAX {
                return too_long(op_span(op));
            }
        }
        Ok(())
    }

    fn literal(&mut self, text: &'p Text) {
        if text.cdata_seam {
            escape::xml_cdata_seam(&mut self.out, &text.text);
        }
        if let Some(trace) = &mut self.trace {
            trace.push(TracePoint { output: self.out.len(), origin: text.origin.clone(), span: None });
        }
        if let Some(position) = &mut self.position {
            position.advance(&text.text);
        }
        self.out.push_str(&text.text);
    }

    fn hole(&mut self, hole: &'p Hole) -> Run<()> {
        if let Some(trace) = &mut self.trace {
            trace.push(TracePoint { output: self.out.len(), origin: Origin::default(), span: Some(hole.span) });
        }
        // Most values are text inside quotes; they take the short way.
        if hole.escape == Escape::JsonString
            && !hole.raw
            && self.position.is_none()
            && let Some(Value::String(text)) = self.plain(&hole.expression)
        {
            escape::json_string(&mut self.out, text);
            return Ok(());
        }
        let value = self.value(&hole.expression, hole.span)?;
        let escape = match &mut self.position {
            Some(position) => position.value(),
            None => hole.escape,
        };
        write(&mut self.out, &value, escape, hole.raw, hole.span)
    }

    fn value(&mut self, expression: &'p Expression, span: Span) -> Run<Scalar<'v>> {
        let scalar = match expression {
            Expression::Text(text) => Scalar::Text(text.as_str().into()),
            Expression::Index { depth } => {
                let index = self.loops.get(*depth).map_or(1, |pass| pass.index);
                Scalar::Number(index.to_string().into())
            }
            Expression::Unknown => Scalar::Missing,
            Expression::Default(first, second) => {
                let value = self.value(first, span)?;
                if value.text().is_none() {
                    return not_scalar(&value, span);
                }
                if functions::is_absent(&value) { self.value(second, span)? } else { value }
            }
            Expression::Call(function, subject) => {
                let value = self.value(subject, span)?;
                if self.sample.is_some() {
                    return Ok(value);
                }
                self.steps += value.text().map_or(0, str::len) / BYTES_PER_STEP;
                let shown = value.clone();
                match function.apply(value) {
                    Ok(result) => result,
                    Err(FunctionError::NotScalar) => return not_scalar(&shown, span),
                    Err(FunctionError::BadDate(text)) => {
                        let message = format!(
                            "`{text}` is not an ISO 8601 date such as `2024-09-10T10:42:38-07:00`; correct the event, or send the field without `date`"
                        );
                        return fault(Code::BadDate, span, message);
                    }
                }
            }
            _ => match self.sample {
                Some(sample) => Scalar::Text(sample.text.into()),
                None => Scalar::of(self.field(expression)),
            },
        };
        Ok(scalar)
    }

    /// The event's value for a name without further parts.
    #[inline]
    fn plain(&self, expression: &Expression) -> Option<&'v Value> {
        match expression {
            Expression::Field { depth, slot, rest, .. } if rest.is_empty() => {
                let start = self.loops.get(*depth)?.fields_start;
                *self.fields.get(start + slot)?
            }
            Expression::Top { slot, rest, .. } if rest.is_empty() => *self.top.get(*slot)?,
            _ => None,
        }
    }

    /// The event's value for a name.
    fn field(&self, expression: &Expression) -> Option<&'v Value> {
        match expression {
            Expression::Top { slot, rest, .. } => dig(*self.top.get(*slot)?, rest),
            Expression::ItemItself { depth } => self.loops.get(*depth).map(|pass| pass.item),
            Expression::Field { depth, slot, rest, .. } => {
                let start = self.loops.get(*depth)?.fields_start;
                dig(*self.fields.get(start + slot)?, rest)
            }
            _ => None,
        }
    }

    fn join(&mut self, join: &'p Loop) -> Run<()> {
        if let Some(sample) = self.sample {
            return self.passes(join, std::iter::repeat_n(&Value::Null, sample.items));
        }
        match Scalar::of(self.field(&join.list)) {
            Scalar::Missing => Ok(()),
            Scalar::Text(text) if text.is_empty() => Ok(()),
            Scalar::Container(Value::Array(list)) => self.passes(join, list.iter()),
            other => {
                let message = format!("`{}` is {} in this event, and `join` needs a list", join.list_name, other.noun());
                fault(Code::NotAList, join.list_span, message)
            }
        }
    }

    fn passes(&mut self, join: &'p Loop, items: impl Iterator<Item = &'v Value>) -> Run<()> {
        let fields_start = self.fields.len();
        let mut guesses = Vec::new();
        for (number, item) in items.enumerate() {
            if number > 0 {
                self.literal(&join.separator);
            }
            self.fields.truncate(fields_start);
            self.fields.resize(fields_start + join.fields.len(), None);
            if let Value::Object(object) = item {
                join.fields.fill(object, &mut self.fields[fields_start..], &mut guesses);
            }
            self.loops.push(Pass { item, index: number + 1, fields_start });
            let before = self.position;
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return too_many_steps(join.span);
            }
            self.run(&join.body)?;
            if self.position != before {
                let message =
                    "the item text opens a JSON string and does not close it, or the other way round; each pass must end as it began";
                return fault(Code::UnbalancedItemTemplate, join.body_span, message);
            }
            self.loops.pop();
        }
        self.fields.truncate(fields_start);
        Ok(())
    }
}

#[cold]
fn too_many_steps<T>(span: Span) -> Run<T> {
    let message = format!("rendering takes more than {STEPS_MAX} steps; send fewer items");
    fault(Code::TooManySteps, span, message)
}

#[cold]
fn too_long<T>(span: Span) -> Run<T> {
    let message = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes; send fewer items or values");
    fault(Code::OutputTooLarge, span, message)
}

fn op_span(op: &Op) -> Span {
    match op {
        Op::Literal(text) => {
            let start = text.origin.locate(0);
            Span::new(start, start + 1)
        }
        Op::Value(hole) => hole.span,
        Op::Join(join) => join.span,
    }
}

fn dig<'v>(value: Option<&'v Value>, rest: &[String]) -> Option<&'v Value> {
    rest.iter().try_fold(value?, |value, name| value.as_object()?.get(name))
}

fn not_scalar<T>(value: &Scalar<'_>, span: Span) -> Run<T> {
    let message = format!("{} stands where a single value is needed; use `join` for lists", value.noun());
    fault(Code::NotScalar, span, message)
}

/// Appends `value` as `escape` demands; `raw` values go in as they are where that is possible.
pub(super) fn write(out: &mut String, value: &Scalar<'_>, escape: Escape, raw: bool, span: Span) -> Run<()> {
    let escape = match escape {
        Escape::JsonBare if raw && functions::is_absent(value) => Escape::JsonBare,
        Escape::Header => Escape::Header,
        _ if raw => Escape::Verbatim,
        escape => escape,
    };
    if escape == Escape::JsonBare {
        if escape::json_bare(out, value) {
            return Ok(());
        }
        let message = "the list or object is nested too deep to be sent as JSON";
        return fault(Code::InvalidBody, span, message);
    }
    let Some(text) = value.text() else {
        return not_scalar(value, span);
    };
    match escape {
        Escape::Percent => escape::percent(out, text),
        Escape::JsonString => escape::json_string(out, text),
        Escape::XmlText => escape::xml_text(out, text),
        Escape::XmlAttribute => escape::xml_attribute(out, text),
        Escape::XmlCdata => escape::xml_cdata(out, text),
        Escape::Header if !escape::is_header_text(text) => {
            let message = "the value holds a line break or another control character, which a header may not";
            return fault(Code::InvalidHeader, span, message);
        }
        Escape::Header | Escape::Verbatim | Escape::JsonBare => out.push_str(text),
    }
    Ok(())
}
