//! Integration codes: what an advertiser puts into its shop, and a partner into its pages, ready to be copied.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::page::{Parameters, invalid_parameter};
use super::{ApiError, ApiState, inbound_keys, offers};
use crate::event::{AccountId, OfferId};
use crate::id::InboundKeyId;
use crate::inbound::{Offer, PayoutAction, PayoutModel, TemplateState};

/// What stands in a code where the key belongs, for those who may not see it.
const KEY_PLACE: &str = "{key}";

/// The codes of an offer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Codes {
    offer: OfferId,
    /// The key in the addresses; null if there is none, then `{key}` stands there.
    key: Option<InboundKeyId>,
    /// The parameter in which the landing page is given the click id, or null if the landing address names it itself.
    click_parameter: Option<String>,
    /// For each action what is called when it happens.
    actions: Vec<ActionCodes>,
    /// The partner's link; not there without `partner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// The codes of one action. Values in braces are the advertiser's to fill.
#[derive(Serialize, JsonSchema)]
struct ActionCodes {
    /// The action.
    action: String,
    model: PayoutModel,
    /// The address that is called with GET.
    get: String,
    /// The same address for POST.
    post_url: String,
    /// The body for POST.
    post_body: Value,
    /// An image for pages that report by themselves.
    pixel: String,
    /// A frame for the same.
    frame: String,
    /// For a recurring action: the address that is called when a customer is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    activate: Option<String>,
    /// For a recurring action: the address that is called when a customer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivate: Option<String>,
}

pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let known = offers::found(&state, &caller, &id)?;
    let offer = &known.offer;
    let parameters = Parameters::read(query.as_deref(), &["key", "partner"])?;
    let partner: Option<AccountId> = parameters.parse("partner")?;
    if partner.as_ref().is_some_and(|partner| !offer.spec.partners.include(partner)) {
        return Err(invalid_parameter("partner", "this account may have no links of the offer; add it to the offer's `partners`"));
    }
    let registry = state.queue.registry();
    let fits = |of_key: Option<&OfferId>| of_key.is_none_or(|of_key| *of_key == offer.id);
    let key = match parameters.get("key") {
        Some(id) => {
            let key = inbound_keys::found(&state, &caller, id)?;
            if key.account != offer.account || !fits(key.offer.as_ref()) {
                return Err(invalid_parameter("key", "this key takes no reports of the offer; name another, or leave it out"));
            }
            Some(key)
        }
        None => {
            let now = state.clock.now();
            let usable = |key: &&std::sync::Arc<crate::queue::InboundKey>| {
                key.account == offer.account && fits(key.offer.as_ref()) && !key.has_expired(now)
            };
            registry.inbound_keys().iter().rev().find(usable).cloned()
        }
    };
    let text = key.as_ref().and_then(|key| key.text.as_ref()).filter(|_| caller.may_write());
    let text = text.map_or(KEY_PLACE, |text| text.expose());
    let base = base_url(&state, &headers);
    let codes = Codes {
        offer: offer.id.clone(),
        key: key.as_ref().map(|key| key.id),
        click_parameter: known.landing.click_parameter().map(str::to_owned),
        actions: offer.spec.actions.iter().map(|action| action_codes(&format!("{base}/{text}"), offer, action)).collect(),
        link: partner.map(|partner| link_of(&base, &partner, &offer.id)),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(codes)).into_response())
}

/// The link of a partner for an offer.
pub(super) fn link_of(base: &str, partner: &AccountId, offer: &OfferId) -> String {
    format!("{base}/{partner}/c/{offer}")
}

/// Where this server is reached: as the settings say, or as the caller has reached it.
pub(super) fn base_url(state: &ApiState, headers: &HeaderMap) -> String {
    let is_host = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    let reached = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(is_host);
    state.inbound.public_url.clone().unwrap_or_else(|| format!("http://{}", reached().unwrap_or("localhost")))
}

/// The parameters of a report with what the advertiser fills in, and whether they are written as they are.
fn report_parameters(offer: &Offer, action: &PayoutAction) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("click_id".to_owned(), "{click_id}".to_owned()),
        ("request_id".into(), "{request_id}".into()),
        ("action".into(), action.name.clone()),
        ("status".into(), "{status}".into()),
    ];
    if action.model == PayoutModel::Recurring {
        parameters.push(("customer_id".into(), "{customer_id}".into()));
    } else if action.is_percentage() {
        parameters.push(("price".into(), "{price}".into()));
    }
    let template = offer.spec.parameter_templates.iter().find(|template| action.template.as_ref() == Some(&template.name));
    for parameter in template.filter(|template| template.state == TemplateState::Active).into_iter().flat_map(|found| &found.parameters) {
        parameters.push((parameter.name.clone(), format!("{{{}}}", parameter.name)));
    }
    parameters
}

/// An address with parameters; braces stay, so that they are found.
fn address(url: &str, parameters: &[(String, String)]) -> String {
    let encoded = |value: &String| -> String {
        if value.starts_with('{') { value.clone() } else { url::form_urlencoded::byte_serialize(value.as_bytes()).collect() }
    };
    let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("{url}?{}", query.join("&"))
}

fn action_codes(base: &str, offer: &Offer, action: &PayoutAction) -> ActionCodes {
    let parameters = report_parameters(offer, action);
    let in_page = |path: &str| address(&format!("{base}/{path}"), &parameters).replace('&', "&amp;");
    let customer = |word: &str| {
        let mut parameters = vec![
            ("click_id".to_owned(), "{click_id}".to_owned()),
            ("customer_id".to_owned(), "{customer_id}".to_owned()),
            ("status".to_owned(), word.to_owned()),
        ];
        if action.is_percentage() && word == "activate" {
            parameters.push(("price".to_owned(), "{price}".to_owned()));
        }
        address(&format!("{base}/s2s"), &parameters)
    };
    let is_recurring = action.model == PayoutModel::Recurring;
    let body: Map<String, Value> = parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    ActionCodes {
        action: action.name.clone(),
        model: action.model,
        get: address(&format!("{base}/s2s"), &parameters),
        post_url: format!("{base}/s2s"),
        post_body: Value::Object(body),
        pixel: format!("<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\">", in_page("px.gif")),
        frame: format!("<iframe src=\"{}\" width=\"1\" height=\"1\" style=\"border:0\" title=\"\"></iframe>", in_page("frame")),
        activate: is_recurring.then(|| customer("activate")),
        deactivate: is_recurring.then(|| customer("deactivate")),
    }
}
