//! What is said of one call: name, parameters, body, answers, errors.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api::page::Listed;
use crate::event::AccountId;

/// Makes the schema of a type with the generator of its direction.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// JSON.
const JSON: &str = "application/json";

/// Under which heading a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Tag {
    Events,
    Subscriptions,
    Deliveries,
    Replays,
    EventTypes,
    Templates,
    Accounts,
    Inbound,
    Keys,
    Server,
}

impl Tag {
    /// All, in the order of the document.
    pub(super) const ALL: [Self; 10] = [
        Self::Events,
        Self::Subscriptions,
        Self::Deliveries,
        Self::Replays,
        Self::EventTypes,
        Self::Templates,
        Self::Accounts,
        Self::Inbound,
        Self::Keys,
        Self::Server,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Events => "Events",
            Self::Subscriptions => "Subscriptions",
            Self::Deliveries => "Deliveries",
            Self::Replays => "Replays",
            Self::EventTypes => "Event types",
            Self::Templates => "Templates and response rules",
            Self::Accounts => "Accounts",
            Self::Inbound => "Offers, clicks and reports",
            Self::Keys => "Keys and the audit log",
            Self::Server => "The server",
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Events => "What happened: reported once, never changed.",
            Self::Subscriptions => "Who wants which events, at which URL, in which form and under which limits.",
            Self::Deliveries => "One event owed to one subscription, with every request that was made for it.",
            Self::Replays => "Many decided deliveries of a subscription that are sent again.",
            Self::EventTypes => "What can happen, and which fields tell of it.",
            Self::Templates => "Tried before they are saved. Nothing is stored and nothing is sent.",
            Self::Accounts => "Whose events and subscriptions these are.",
            Self::Inbound => "What advertisers pay for, the clicks of partners' links, and what advertisers report of them.",
            Self::Keys => "Who may do what, and who did what.",
            Self::Server => "Its health, its description, and everything it keeps.",
        }
    }
}

/// Which types of body a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum MediaTypes {
    /// These; a body of another type is refused before it is read.
    Only(&'static [&'static str]),
    /// The handler looks for itself, or there is no body.
    Any,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub place: Place,
    pub meaning: &'static str,
    pub schema: SchemaOf,
}

#[derive(Debug)]
pub(super) struct RequestBody {
    pub required: bool,
    pub meaning: &'static str,
    pub content: Vec<(&'static str, SchemaOf)>,
    pub example: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub meaning: &'static str,
    pub content: Option<(&'static str, SchemaOf)>,
    pub headers: Vec<AnswerHeader>,
}

#[derive(Debug)]
pub(super) struct AnswerHeader {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Whether it is there whenever the answer is.
    pub always: bool,
}

/// A call that goes on from an answer: which, and where its `id` is found.
#[derive(Debug)]
pub(super) struct Link {
    pub operation: &'static str,
    pub id: &'static str,
}

/// The description of one call. The method, the path and who may call come from the table of routes, and
/// with them the errors that every call of their kind can have.
#[derive(Debug)]
pub(in crate::api) struct Operation {
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) media_types: MediaTypes,
    pub(super) answers: Vec<Answer>,
    pub(super) codes: Vec<&'static str>,
    pub(super) links: Vec<Link>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    /// A call that is known to programs as `id` and to people by `summary`.
    pub fn new(id: &'static str, tag: Tag, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            media_types: MediaTypes::Any,
            answers: Vec::new(),
            codes: Vec::new(),
            links: Vec::new(),
        }
    }

    /// What a summary has no room for.
    pub const fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    fn parameter<T: JsonSchema>(mut self, place: Place, name: &'static str, meaning: &'static str) -> Self {
        self.parameters.push(Parameter { name, place, meaning, schema: schema_of::<T> });
        self
    }

    /// A part of the path.
    pub fn path<T: JsonSchema>(self, name: &'static str, meaning: &'static str) -> Self {
        self.parameter::<T>(Place::Path, name, meaning)
    }

    /// A parameter of the query. Each is optional.
    pub fn query<T: JsonSchema>(self, name: &'static str, meaning: &'static str) -> Self {
        self.parameter::<T>(Place::Query, name, meaning).fails(&["invalid_input"])
    }

    /// A parameter of the query that the call reads as it comes, together with those that it does not know.
    pub fn free_query<T: JsonSchema>(self, name: &'static str, meaning: &'static str) -> Self {
        self.parameter::<T>(Place::Query, name, meaning)
    }

    /// A header. Each is optional.
    pub fn header<T: JsonSchema>(self, name: &'static str, meaning: &'static str) -> Self {
        self.parameter::<T>(Place::Header, name, meaning)
    }

    /// `account`, by which a list is filtered.
    pub fn of_account(self) -> Self {
        self.query::<AccountId>("account", "Only those of this account.")
    }

    /// `limit` and `cursor`, by which a list is read page by page.
    pub fn page(self) -> Self {
        self.query::<super::schemas::Limit>("limit", "Most items of the page.")
            .query::<super::schemas::Cursor>("cursor", "The `next_cursor` of the page before.")
    }

    /// `If-Match`, by which a change is made only to the version that was read.
    pub fn if_match(self) -> Self {
        self.header::<super::schemas::EntityTag>(
            "If-Match",
            "The `ETag` of the version that was read; the call fails if there is a later one.",
        )
        .fails(&["version_mismatch"])
    }

    /// A JSON body, which must be there.
    pub fn takes<T: JsonSchema>(self, meaning: &'static str) -> Self {
        self.takes_only::<T>(&[JSON], meaning)
    }

    /// A body of one of these types, all of one shape, which must be there.
    pub fn takes_only<T: JsonSchema>(mut self, media_types: &'static [&'static str], meaning: &'static str) -> Self {
        let content = media_types.iter().map(|media_type| (*media_type, schema_of::<T> as SchemaOf)).collect();
        self.body = Some(RequestBody { required: true, meaning, content, example: None });
        self.media_types = MediaTypes::Only(media_types);
        self.fails(&[
            "malformed_json",
            "invalid_utf8",
            "body_unreadable",
            "body_too_slow",
            "body_too_large",
            "unsupported_media_type",
            "invalid_input",
        ])
    }

    /// A JSON body, which may be left out.
    pub fn may_take<T: JsonSchema>(mut self, meaning: &'static str) -> Self {
        self = self.takes::<T>(meaning);
        if let Some(body) = &mut self.body {
            body.required = false;
        }
        self
    }

    /// A body of one of these types that the handler reads by itself and answers in its own way; it may be left out.
    pub fn reads<T: JsonSchema>(mut self, media_types: &'static [&'static str], meaning: &'static str) -> Self {
        let content = media_types.iter().map(|media_type| (*media_type, schema_of::<T> as SchemaOf)).collect();
        self.body = Some(RequestBody { required: false, meaning, content, example: None });
        self
    }

    /// The same body in another form, which the handler tells by the `Content-Type`.
    pub fn or<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        if let Some(body) = &mut self.body {
            body.content.push((media_type, schema_of::<T>));
        }
        self.media_types = MediaTypes::Any;
        self
    }

    /// A body that is taken, as JSON.
    pub const fn example(mut self, example: &'static str) -> Self {
        if let Some(body) = &mut self.body {
            body.example = Some(example);
        }
        self
    }

    fn answer(mut self, status: u16, meaning: &'static str, content: Option<(&'static str, SchemaOf)>) -> Self {
        self.answers.push(Answer { status, meaning, content, headers: Vec::new() });
        self
    }

    /// An answer in JSON.
    pub fn answers<T: JsonSchema>(self, status: u16, meaning: &'static str) -> Self {
        self.answer(status, meaning, Some((JSON, schema_of::<T>)))
    }

    /// An answer that is text of this type.
    pub fn answers_text(self, status: u16, media_type: &'static str, meaning: &'static str) -> Self {
        self.answer(status, meaning, Some((media_type, schema_of::<String>)))
    }

    /// The answer without a body, 204.
    pub fn answers_nothing(self, meaning: &'static str) -> Self {
        self.answer(204, meaning, None)
    }

    /// An answer without a body.
    pub fn answers_with_nothing(self, status: u16, meaning: &'static str) -> Self {
        self.answer(status, meaning, None)
    }

    /// Refusals in the form of the call itself, in place of problems.
    pub fn refuses<T: JsonSchema>(self, statuses: &[u16]) -> Self {
        let meaning = "It was refused; `code` and `detail` say why, and what to do.";
        statuses.iter().fold(self, |operation, status| operation.answer(*status, meaning, Some((JSON, schema_of::<T>))))
    }

    /// A header of the answer that was named last; it is always there.
    pub fn with_header(mut self, name: &'static str, meaning: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push(AnswerHeader { name, meaning, always: true });
        }
        self
    }

    /// The answer with a page of a list, which the header `Link` leads on from.
    pub fn lists<T: JsonSchema>(mut self, meaning: &'static str) -> Self {
        self = self.answers::<Listed<T>>(200, meaning);
        if let Some(answer) = self.answers.last_mut() {
            let meaning = "With `rel=\"next\"`, the next page; not there on the last one.";
            answer.headers.push(AnswerHeader { name: "Link", meaning, always: false });
        }
        self
    }

    /// Codes with which the call fails, beyond those of its kind.
    pub fn fails(mut self, codes: &[&'static str]) -> Self {
        self.codes.extend(codes.iter().filter(|code| !self.codes.contains(code)).copied().collect::<Vec<_>>());
        self
    }

    /// It reads what is stored.
    pub fn reads_store(self) -> Self {
        self.fails(&["store_unavailable", "store_failed", "stopping"])
    }

    /// It changes what is stored.
    pub fn writes_store(self) -> Self {
        self.fails(&["storage_full", "store_unavailable", "store_failed", "stopping"])
    }

    /// A call that goes on from the answer, with the id found at `id`, a runtime expression.
    pub fn leads_to(mut self, operation: &'static str, id: &'static str) -> Self {
        self.links.push(Link { operation, id });
        self
    }

    /// Which types of body it takes.
    pub const fn media_types(&self) -> MediaTypes {
        self.media_types
    }
}
