//! Which error gets which status and code. Each code has a paragraph in `docs/errors.md`.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::problem::{Invalid, Problem};
use crate::event::{AccountId, EventType};
use crate::queue::{
    AcceptError, ChangeAccountError, ChangeError, ConfigureError, ConfigureInboundKeyError, ConfigureKeyError, ConfigureOfferError,
    ConfigureSubscriptionError, DefineError, EmitError, ReplayError, StoreError,
};
use crate::subscription::FieldError;

/// After how many seconds a caller who was turned away may try again.
const RETRY_SOON_S: u64 = 5;
/// The same, where space or a backlog has to shrink first.
const RETRY_LATER_S: u64 = 30;

/// Most faults that one answer lists.
const ERRORS_MAX: usize = 100;

/// Why a call failed.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

impl ApiError {
    /// A problem of this status and code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status, code, detail)))
    }

    /// Nothing of this kind and id exists, or not for this caller.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} `{id}`; check the id, or list them with `GET`"))
    }

    /// The caller's key does not allow it.
    #[must_use]
    pub fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The input names an account that does not exist, or not for this caller.
    #[must_use]
    pub fn unknown_account(account: &AccountId, pointer: &str) -> Self {
        let detail = format!("account `{account}` does not exist; create it with `POST /v1/accounts`");
        let errors = vec![Invalid::new(pointer, "unknown_account", detail.clone())];
        Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_account", detail).with_errors(errors)))
    }

    /// The input names an event type that is not registered.
    #[must_use]
    pub fn unknown_event_type(event_type: &EventType, pointer: &str) -> Self {
        let detail = format!("event type `{event_type}` is not registered; `GET /v1/event-types` lists those that are");
        let errors = vec![Invalid::new(pointer, "unknown_event_type", detail.clone())];
        Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_event_type", detail).with_errors(errors)))
    }

    /// The input has these faults.
    #[must_use]
    pub fn invalid(mut errors: Vec<Invalid>) -> Self {
        errors.truncate(ERRORS_MAX);
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", if only.pointer.is_empty() { "the body" } else { &only.pointer }, only.detail),
            several => format!("{} fields are invalid; `errors` lists each with what to do", several.len()),
        };
        Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", detail).with_errors(errors)))
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::invalid(errors.into_iter().map(Invalid::from).collect())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::StorageFull => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage_full", error.to_string()).retry_after(RETRY_LATER_S)
            }
            StoreError::Closed => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()).retry_after(RETRY_SOON_S),
            StoreError::Unavailable { .. } => {
                // The cause is the operator's business and in the log.
                let detail = "the database did not answer; what was asked may be done or not, send it again, events with the same keys";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(RETRY_SOON_S)
            }
            StoreError::Overtaken => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", error.to_string()).retry_after(RETRY_SOON_S)
            }
            StoreError::Failed { .. } => {
                // The cause is the operator's business and in the log; the caller learns what to do.
                let detail = "the store failed and nothing was stored; send the request again when the server is back";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_failed", detail).retry_after(RETRY_SOON_S)
            }
        };
        Self(Box::new(problem))
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        let message = error.to_string();
        match error {
            AcceptError::KeyReused { index, .. } => {
                let errors = vec![Invalid::new(format!("/{index}/key"), "key_reused", message.clone())];
                Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message).with_errors(errors)))
            }
            AcceptError::QueueFull { .. } => {
                Self(Box::new(Problem::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message).retry_after(RETRY_LATER_S)))
            }
            AcceptError::ConfigurationChanged => Self::new(StatusCode::CONFLICT, "conflict", message),
            AcceptError::DocumentChanged { .. } => Self::new(StatusCode::CONFLICT, "conflict", message),
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<EmitError> for ApiError {
    fn from(error: EmitError) -> Self {
        let message = error.to_string();
        let unprocessable = |code, pointer| {
            let errors = vec![Invalid::new(pointer, code, message.clone())];
            Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message.clone()).with_errors(errors)))
        };
        match error {
            EmitError::UnknownAccount { index, .. } => unprocessable("unknown_account", format!("/{index}/account")),
            EmitError::UnknownEventType { index, .. } => unprocessable("unknown_event_type", format!("/{index}/type")),
            EmitError::WrongField { index, pointer, .. } => {
                Self::invalid(vec![Invalid::new(format!("/{index}/data{pointer}"), "wrong_field_type", message)])
            }
            EmitError::Accept(error) => error.into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound(id) => Self::not_found("delivery", &id.to_string()),
            ChangeError::Decided { .. } => Self::new(StatusCode::CONFLICT, "delivery_decided", error.to_string()),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<ConfigureError> for ApiError {
    fn from(error: ConfigureError) -> Self {
        match error {
            ConfigureError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            ConfigureError::Store(error) => error.into(),
        }
    }
}

impl From<ConfigureSubscriptionError> for ApiError {
    fn from(error: ConfigureSubscriptionError) -> Self {
        use ConfigureSubscriptionError as E;
        let message = error.to_string();
        match error {
            E::UnknownAccount(_) => {
                let errors = vec![Invalid::new("/account", "unknown_account", message.clone())];
                Self(Box::new(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_account", message).with_errors(errors)))
            }
            E::NotFound(id) => Self::not_found("subscription", &id.to_string()),
            E::Invalid(errors) => errors.into(),
            E::AccountChanged(_) => Self::invalid(vec![Invalid::new("/account", "account_changed", message)]),
            E::OrderHasWaiting { .. } => Self::new(StatusCode::CONFLICT, "order_has_waiting", message),
            E::NotSigned(_) => Self::new(StatusCode::CONFLICT, "not_signed", message),
            E::VersionMismatch { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", message),
            E::Configure(error) => error.into(),
        }
    }
}

impl From<ConfigureOfferError> for ApiError {
    fn from(error: ConfigureOfferError) -> Self {
        use ConfigureOfferError as E;
        let message = error.to_string();
        match error {
            E::UnknownAccount(account) => Self::unknown_account(&account, "/account"),
            E::NotFound(id) => Self::not_found("offer", id.as_str()),
            E::Exists(_) => Self::new(StatusCode::CONFLICT, "offer_exists", message),
            E::Invalid(errors) => errors.into(),
            E::AccountChanged(_) => Self::invalid(vec![Invalid::new("/account", "account_changed", message)]),
            E::VersionMismatch { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", message),
            E::TooMany => Self::new(StatusCode::CONFLICT, "too_many_offers", message),
            E::Configure(error) => error.into(),
        }
    }
}

impl From<ConfigureInboundKeyError> for ApiError {
    fn from(error: ConfigureInboundKeyError) -> Self {
        use ConfigureInboundKeyError as E;
        let message = error.to_string();
        match error {
            E::UnknownAccount(account) => Self::unknown_account(&account, "/account"),
            E::UnknownOffer(_) => Self::invalid(vec![Invalid::new("/offer", "unknown_offer", message)]),
            E::NotFound(id) => Self::not_found("inbound key", &id.to_string()),
            E::Expired(_) => Self::new(StatusCode::CONFLICT, "key_expired", message),
            E::TooMany(_) => Self::new(StatusCode::CONFLICT, "too_many_inbound_keys", message),
            E::Configure(error) => error.into(),
        }
    }
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        let message = error.to_string();
        match error {
            ReplayError::UnknownSubscription(_) => Self::invalid(vec![Invalid::new("/subscription", "unknown_subscription", message)]),
            ReplayError::NotFound(id) => Self::not_found("replay", &id.to_string()),
            ReplayError::Over(_) => Self::new(StatusCode::CONFLICT, "replay_over", message),
            ReplayError::TooMany => {
                Self(Box::new(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_replays", message).retry_after(RETRY_LATER_S)))
            }
            ReplayError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeAccountError> for ApiError {
    fn from(error: ChangeAccountError) -> Self {
        use ChangeAccountError as E;
        let message = error.to_string();
        match error {
            E::NotFound(id) => Self::not_found("account", id.as_str()),
            E::VersionMismatch { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", message),
            E::FieldInUse(_) => Self::new(StatusCode::CONFLICT, "field_in_use", message),
            E::Configure(error) => error.into(),
        }
    }
}

impl From<DefineError> for ApiError {
    fn from(error: DefineError) -> Self {
        use DefineError as E;
        let message = error.to_string();
        match error {
            E::Exists(_) => Self::new(StatusCode::CONFLICT, "event_type_exists", message),
            E::TooMany => Self::new(StatusCode::CONFLICT, "too_many_event_types", message),
            E::Invalid(faults) => {
                Self::invalid(faults.into_iter().map(|fault| Invalid::new(fault.pointer, fault.code, fault.detail)).collect())
            }
            E::NotFound(name) => Self::not_found("event type", name.as_str()),
            E::BuiltIn(_) => Self::new(StatusCode::CONFLICT, "event_type_built_in", message),
            E::InUse { .. } => Self::new(StatusCode::CONFLICT, "event_type_in_use", message),
            E::Configure(error) => error.into(),
        }
    }
}

/// Gives the framework's own refusals the form of all others. What is refused before a handler runs is
/// a path that is no UTF-8, for one.
pub(super) async fn as_problem(response: Response) -> Response {
    let is_plain = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if response.status() == StatusCode::BAD_REQUEST && is_plain {
        let detail = "the path or a header cannot be read; write them in UTF-8, percent-encoded where needed";
        return ApiError::new(StatusCode::BAD_REQUEST, "bad_request", detail).into_response();
    }
    response
}

impl From<ConfigureKeyError> for ApiError {
    fn from(error: ConfigureKeyError) -> Self {
        use ConfigureKeyError as E;
        let message = error.to_string();
        match error {
            E::UnknownAccount(account) => ConfigureSubscriptionError::UnknownAccount(account).into(),
            E::NotFound(id) => Self::not_found("key", &id.to_string()),
            E::Expired(_) => Self::new(StatusCode::CONFLICT, "key_expired", message),
            E::TooMany => Self::new(StatusCode::CONFLICT, "too_many_keys", message),
            E::Configure(error) => error.into(),
        }
    }
}

/// A path as it can be repeated in an answer: an inbound key in it is not.
fn shown_path(uri: &Uri) -> String {
    let part = |part: &str| if part.parse::<uuid::Uuid>().is_ok() { "(secret)".to_owned() } else { part.to_owned() };
    uri.path().split('/').map(part).collect::<Vec<_>>().join("/").chars().take(100).collect()
}

/// The answer to a path that leads nowhere.
pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    let path = shown_path(&uri);
    ApiError::new(StatusCode::NOT_FOUND, "no_such_route", format!("there is nothing at `{path}`; the calls are listed in `docs/api.md`"))
}

/// The answer to a method that a path does not have.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let path = shown_path(&uri);
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("`{path}` has no {method}; the header `Allow` lists what it has"),
    )
}
