//! Lists: `?limit=` and `?cursor=`, `{"data": […], "next_cursor": …}`, and the next page as a `Link` header.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::ApiError;
use super::problem::Invalid;
use crate::clock::Timestamp;

/// How many items a page has if the caller does not say.
pub(super) const LIMIT_DEFAULT: usize = 50;
/// How many items a page has at most.
pub(super) const LIMIT_MAX: usize = 200;
/// Most parameters of one call.
const PARAMETERS_MAX: usize = 50;
/// Most values of one parameter.
pub(super) const VALUES_MAX: usize = 20;

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(super) struct Listed<T> {
    /// The items, newest first.
    pub data: Vec<T>,
    /// What to send as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Listed<T> {
    /// A page after which the list goes on before the object with this raw id.
    pub fn new(data: Vec<T>, next: Option<u128>) -> Self {
        Self::after(data, next.map(|raw| format!("{raw:032x}")))
    }

    /// A page after which the list goes on at this cursor.
    pub const fn after(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, next_cursor }
    }

    /// The same page of what `change` makes of the items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Listed<U> {
        Listed::after(self.data.into_iter().map(change).collect(), self.next_cursor)
    }

    /// The answer to a filter that nothing can fit.
    pub const fn empty() -> Self {
        Self::after(Vec::new(), None)
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let next = self.next_cursor.clone().map(NextCursor);
        let mut response = Json(self).into_response();
        if let Some(next) = next {
            response.extensions_mut().insert(next);
        }
        response
    }
}

/// Where a list goes on, for [`add_link`].
#[derive(Debug, Clone)]
struct NextCursor(String);

/// Gives the answer with a page of a list the header `Link` to the next page: the same call with its cursor.
/// Source: RFC 8288.
pub(super) async fn add_link(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    let link = response.extensions().get::<NextCursor>().and_then(|next| link_to(&uri, &next.0));
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn link_to(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).filter(|(name, _)| name != "cursor") {
        query.append_pair(&name, &value);
    }
    let query = query.append_pair("cursor", cursor).finish();
    HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", uri.path())).ok()
}

/// Parameters that may be given more than once where a list has them: one of the values is enough.
const REPEATABLE: [&str; 2] = ["state", "type"];

/// Query parameters, which are all optional and known by name.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query string; a parameter whose name is not in `known` (or begins with an entry that
    /// ends in a dot) is an error, since a filter that is silently ignored shows too much.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = {
            let parsed = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            parsed.into_owned().take(PARAMETERS_MAX + 1).collect()
        };
        if pairs.len() > PARAMETERS_MAX {
            let detail = format!("more than {PARAMETERS_MAX} parameters; ask for less at once");
            return Err(ApiError::invalid(vec![Invalid::new("", "too_many_parameters", detail)]));
        }
        for (name, _) in &pairs {
            let is_known = known.iter().any(|known| name == known || (known.ends_with('.') && name.starts_with(known)));
            if !is_known {
                let detail = format!("there is no parameter `{}` here; use {}", name.escape_debug(), known.join(", "));
                return Err(ApiError::invalid(vec![Invalid::new("", "unknown_parameter", detail)]));
            }
        }
        let is_repeatable =
            |name: &str| REPEATABLE.contains(&name) || known.iter().any(|known| known.ends_with('.') && name.starts_with(known));
        let repeated = pairs
            .iter()
            .enumerate()
            .find(|(index, (name, _))| !is_repeatable(name) && pairs[..*index].iter().any(|(earlier, _)| earlier == name));
        if let Some((_, (name, _))) = repeated {
            return Err(invalid_parameter(name, "it is given twice, and only one value counts; give it once"));
        }
        if let Some((name, _)) = pairs.iter().find(|(name, value)| value.is_empty() && !name.contains('.')) {
            return Err(invalid_parameter(name, "it has no value; give it one, or leave it out"));
        }
        for (name, _) in &pairs {
            let given = pairs.iter().filter(|(other, _)| other == name).count();
            if given > VALUES_MAX {
                return Err(invalid_parameter(name, &format!("it is given {given} times; at most {VALUES_MAX} are looked for at once")));
            }
        }
        Ok(Self(pairs))
    }

    /// All values of a parameter that may be given more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The same, each read as a `T`.
    pub fn parse_all<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Vec<T>, ApiError> {
        self.all(name).map(|value| value.parse().map_err(|error: T::Err| invalid_parameter(name, &error.to_string()))).collect()
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All parameters whose names begin with `prefix`, without it.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// The value of a parameter, read as a `T`.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.get(name).map(|value| value.parse().map_err(|error: T::Err| invalid_parameter(name, &error.to_string()))).transpose()
    }

    /// How many items are wanted.
    pub fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.parse::<usize>("limit")?.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) { Ok(limit) } else { Err(invalid_parameter("limit", &format!("use 1 to {LIMIT_MAX}"))) }
    }

    /// Where the last page ended.
    pub fn cursor(&self) -> Result<Option<u128>, ApiError> {
        self.get("cursor")
            .map(|text| {
                let is_cursor = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                let raw = u128::from_str_radix(text, 16).ok().filter(|_| is_cursor);
                raw.ok_or_else(|| invalid_parameter("cursor", NO_CURSOR))
            })
            .transpose()
    }
}

/// A page of things with ids of the caller's, which are in memory: newest first, those created in one millisecond in the
/// order of their ids.
#[derive(Debug)]
pub(super) struct ByCreation {
    before: Option<(Timestamp, String)>,
    limit: usize,
}

impl ByCreation {
    /// Reads `limit` and `cursor`.
    pub fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        let read = |text: &str| {
            let (created_at, id) = text.split_once('-')?;
            Some((Timestamp::from_unix_ms(i64::from_str_radix(created_at, 16).ok()?), id.to_owned()))
        };
        let before = parameters.get("cursor").map(|text| read(text).ok_or_else(|| invalid_parameter("cursor", NO_CURSOR))).transpose()?;
        Ok(Self { before, limit: parameters.limit()? })
    }

    /// The page of `items`, whose places are told by `place`.
    pub fn of<T>(self, items: impl Iterator<Item = T>, place: impl Fn(&T) -> (Timestamp, &str)) -> Listed<T> {
        let is_behind = |item: &T| {
            let before = self.before.as_ref().map(|(created_at, id)| (*created_at, id.as_str()));
            before.is_none_or(|before| place(item) < before)
        };
        let mut items: Vec<_> = items.filter(is_behind).collect();
        items.sort_by(|one, other| place(other).cmp(&place(one)));
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let cursor = |last: &T| {
            let (created_at, id) = place(last);
            format!("{:x}-{id}", created_at.unix_ms())
        };
        let next = items.last().filter(|_| more).map(cursor);
        Listed::after(items, next)
    }
}

/// What is said of a text that is no cursor.
const NO_CURSOR: &str = "this is no cursor; pass on the `next_cursor` of the page before, unchanged";

/// The error for a query parameter.
pub(super) fn invalid_parameter(name: &str, detail: &str) -> ApiError {
    ApiError::invalid(vec![Invalid::new(name, "invalid_parameter", format!("parameter `{name}`: {detail}"))])
}
