//! Clicks on partners' links: the redirect, and the clicks of redirectors of one's own.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{self, Body};
use super::caller::{Accounts, Caller, Narrowed};
use super::page::{Listed, Parameters};
use super::problem::{Invalid, Problem};
use super::{ApiError, ApiState, auth};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::TestRunId;
use crate::inbound::{Click, KeptAddress, OfferState, Visitor, timed_uuid};
use crate::queue::{ClickQuery, RegisteredOffer, Registry};

/// Most characters of a value of a link.
const VALUE_CHARACTERS_MAX: usize = 500;
/// Most characters of a `User-Agent` that is kept.
const USER_AGENT_CHARACTERS_MAX: usize = 500;
/// Most parameters of a link that are looked at.
const PARAMETERS_MAX: usize = 100;

/// What a link, or a redirector, says of a click.
#[derive(Debug, Default)]
struct Told {
    sub_ids: [Option<String>; 3],
    shared_id: Option<String>,
    promo_id: Option<String>,
    promo_code: Option<String>,
    campaign_id: Option<String>,
    traffic_source: Option<String>,
    utm_source: Option<String>,
    test_run: Option<TestRunId>,
}

impl Told {
    /// What the query of a link says. What is not known is ignored: links carry parameters for others, too.
    fn by_query(query: Option<&str>) -> Self {
        let mut told = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).take(PARAMETERS_MAX) {
            let value: String = value.chars().filter(|character| !character.is_control()).take(VALUE_CHARACTERS_MAX).collect();
            if value.is_empty() {
                continue;
            }
            let place = match name.to_ascii_lowercase().as_str() {
                "sub_id" | "subid" | "sub_id1" | "subid1" => &mut told.sub_ids[0],
                "sub_id2" | "subid2" => &mut told.sub_ids[1],
                "sub_id3" | "subid3" => &mut told.sub_ids[2],
                "shared_id" | "sharedid" => &mut told.shared_id,
                "promo_id" => &mut told.promo_id,
                "promo_code" | "promocode" => &mut told.promo_code,
                "campaign_id" => &mut told.campaign_id,
                "traffic_source" => &mut told.traffic_source,
                "utm_source" => &mut told.utm_source,
                "test_run" => {
                    told.test_run = value.parse().ok();
                    continue;
                }
                _ => continue,
            };
            // Of several spellings of one, the first counts.
            place.get_or_insert(value);
        }
        told
    }
}

/// From where a visitor comes.
#[derive(Debug, Default)]
struct Visit {
    ip: Option<IpAddr>,
    country: Option<String>,
    user_agent: Option<String>,
    referring_domain: Option<String>,
}

impl Visit {
    fn of(state: &ApiState, peer: IpAddr, headers: &HeaderMap) -> Self {
        let text = |name: &header::HeaderName, most: usize| -> Option<String> {
            let value = headers.get(name)?.to_str().ok()?.trim();
            (!value.is_empty()).then(|| value.chars().take(most).collect())
        };
        // Only a proxy that is trusted can say where a visitor is.
        let country = state.inbound.country_header.as_ref().filter(|_| state.gate.is_trusted(peer)).and_then(|name| text(name, 64));
        let referrer = headers.get(header::REFERER).and_then(|value| url::Url::parse(value.to_str().ok()?).ok());
        Self {
            ip: Some(state.gate.address(peer, headers)),
            country,
            user_agent: text(&header::USER_AGENT, USER_AGENT_CHARACTERS_MAX),
            referring_domain: referrer.and_then(|url| url.host_str().map(|host| host.chars().take(255).collect())),
        }
    }
}

/// As much of an address as an offer keeps.
pub(super) fn kept_address(address: IpAddr, kept: KeptAddress) -> Option<String> {
    match (kept, address) {
        (KeptAddress::None, _) => None,
        (KeptAddress::Full, address) => Some(address.to_string()),
        (KeptAddress::Truncated, IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}.0"))
        }
        (KeptAddress::Truncated, IpAddr::V6(address)) => {
            let network = address.to_bits() & (u128::MAX << 80);
            Some(std::net::Ipv6Addr::from_bits(network).to_string())
        }
    }
}

/// Makes a click of `partner` for `known`, stores it, and tells where the visitor is to be sent.
async fn make_click(state: &ApiState, partner: AccountId, known: &RegisteredOffer, told: Told, visit: Visit) -> Result<Click, ApiError> {
    let offer = &known.offer;
    let at = state.clock.now();
    let mut bits = [0; 10];
    state.rng.fill(&mut bits);
    let id = timed_uuid(u64::try_from(at.unix_ms()).unwrap_or(0), bits).to_string();
    let [sub_id1, sub_id2, sub_id3] = told.sub_ids;
    let test_run = match told.test_run {
        Some(run) => state
            .queue
            .test_run(run)
            .await?
            .filter(|run| run.offer == offer.id && run.partner == partner && run.finished_at.is_none())
            .map(|run| run.id.to_string()),
        None => None,
    };
    let mut click = Click {
        id,
        account: partner,
        offer: offer.id.clone(),
        at,
        sub_id1,
        sub_id2,
        sub_id3,
        shared_id: told.shared_id,
        promo_id: told.promo_id,
        promo_code: told.promo_code,
        campaign_id: told.campaign_id,
        traffic_source: told.traffic_source,
        utm_source: told.utm_source,
        ip: visit.ip.and_then(|address| kept_address(address, offer.spec.privacy.ip)),
        country: visit.country,
        user_agent: visit.user_agent.clone().filter(|_| offer.spec.privacy.user_agent),
        referring_domain: visit.referring_domain,
        landing_url: None,
        test_run,
        unknown: false,
    };
    let ip = visit.ip.map(|address| address.to_string());
    let visitor = Visitor {
        ip: ip.as_deref(),
        user_agent: visit.user_agent.as_deref(),
        campaign_id: offer.spec.campaign_id.as_deref(),
        advertiser: Some(offer.account.as_str()),
    };
    let landing_url = known.landing.url(&click, &visitor).map_err(|error| {
        tracing::warn!(offer = %offer.id, %error, "a visitor could not be sent on");
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "this link leads nowhere; its offer's landing address cannot be filled")
    })?;
    click.landing_url = Some(landing_url);
    state.queue.record_click(&click).await?;
    Ok(click)
}

/// The offer of a link, if it takes clicks of this partner.
fn open_offer(registry: &Registry, partner: &AccountId, offer: &OfferId) -> Option<std::sync::Arc<RegisteredOffer>> {
    let known = registry.offer(offer)?;
    let spec = &known.offer.spec;
    let is_open = spec.state == OfferState::Active
        && spec.partners.include(partner)
        && registry.account(partner).is_some()
        && registry.account(&known.offer.account).is_some();
    is_open.then(|| known.clone())
}

/// `GET /{account}/c/{offer}`: stores a click and sends the visitor on.
///
/// A HEAD and a prefetch are no visits: they are answered with 204, upon which a browser asks again when somebody really
/// follows the link.
pub(super) async fn redirect(State(state): State<ApiState>, Path((partner, offer)): Path<(String, String)>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let mut response = match follow(&state, &partner, &offer, &request).await {
        Ok(response) => response,
        Err(error) => {
            state.queue.metrics().clicked("refused");
            error.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer-when-downgrade"));
    response
}

async fn follow(state: &ApiState, partner: &str, offer: &str, request: &Parts) -> Result<Response, ApiError> {
    let is_prefetch = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        let value = request.headers.get(*name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains("prefetch"))
    });
    let registry = state.queue.registry();
    let nowhere = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "this link leads nowhere; ask whoever gave it to you for another");
    let known = match (partner.parse::<AccountId>(), offer.parse::<OfferId>()) {
        (Ok(partner), Ok(offer)) => open_offer(&registry, &partner, &offer).map(|known| (partner, known)),
        _ => None,
    };
    let (partner, known) = known.ok_or_else(nowhere)?;
    if is_prefetch || request.method == Method::HEAD {
        state.queue.metrics().clicked("ignored");
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let peer = auth::peer(&request.extensions);
    let visit = Visit::of(state, peer, &request.headers);
    let sender = visit.ip.map(super::throttle::network);
    if let Some(sender) = sender
        && let Err(wait) = state.inbound.clicks.take(sender, state.inbound.clicks_per_second, state.clock.instant())
    {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_clicks", "too many clicks from this address; try again later");
        return Err(ApiError(Box::new(problem.retry_after(seconds))));
    }
    let click = make_click(state, partner, &known, Told::by_query(request.uri.query()), visit).await?;
    state.queue.metrics().clicked("recorded");
    let location = click.landing_url.as_deref().and_then(|url| HeaderValue::try_from(url).ok()).ok_or_else(nowhere)?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// A click that a redirector of one's own took.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClick {
    /// The partner whose link it was.
    account: AccountId,
    offer: OfferId,
    /// First value of the partner's own.
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    sub_id1: Option<String>,
    /// Second value of the partner's own.
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    sub_id2: Option<String>,
    /// Third value of the partner's own.
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    sub_id3: Option<String>,
    /// A value that partner and advertiser see.
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    shared_id: Option<String>,
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    promo_id: Option<String>,
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    promo_code: Option<String>,
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    campaign_id: Option<String>,
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    traffic_source: Option<String>,
    #[serde(default)]
    #[schemars(length(max = VALUE_CHARACTERS_MAX))]
    utm_source: Option<String>,
    /// The visitor's address.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    ip: Option<IpAddr>,
    /// The visitor's country.
    #[serde(default)]
    #[schemars(length(max = 64))]
    country: Option<String>,
    /// The visitor's `User-Agent`.
    #[serde(default)]
    #[schemars(length(max = USER_AGENT_CHARACTERS_MAX))]
    user_agent: Option<String>,
}

/// The click that was made, and where to send the visitor.
#[derive(Serialize, JsonSchema)]
pub(super) struct MadeClick {
    /// The id of the click, which the advertiser reports.
    click_id: String,
    /// Where to send the visitor.
    landing_url: String,
}

pub(super) async fn create(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let new: NewClick = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    caller.require_account(&new.account)?;
    let registry = state.queue.registry();
    if registry.account(&new.account).is_none() {
        return Err(ApiError::unknown_account(&new.account, "/account"));
    }
    let mut errors = Vec::new();
    for (pointer, value, most) in [
        ("/sub_id1", &new.sub_id1, VALUE_CHARACTERS_MAX),
        ("/sub_id2", &new.sub_id2, VALUE_CHARACTERS_MAX),
        ("/sub_id3", &new.sub_id3, VALUE_CHARACTERS_MAX),
        ("/shared_id", &new.shared_id, VALUE_CHARACTERS_MAX),
        ("/promo_id", &new.promo_id, VALUE_CHARACTERS_MAX),
        ("/promo_code", &new.promo_code, VALUE_CHARACTERS_MAX),
        ("/campaign_id", &new.campaign_id, VALUE_CHARACTERS_MAX),
        ("/traffic_source", &new.traffic_source, VALUE_CHARACTERS_MAX),
        ("/utm_source", &new.utm_source, VALUE_CHARACTERS_MAX),
        ("/country", &new.country, 64),
        ("/user_agent", &new.user_agent, USER_AGENT_CHARACTERS_MAX),
    ] {
        if value.as_ref().is_some_and(|value| value.chars().count() > most || value.chars().any(char::is_control)) {
            errors.push(Invalid::new(pointer, "invalid_value", format!("use at most {most} characters, without control characters")));
        }
    }
    let known = open_offer(&registry, &new.account, &new.offer);
    if known.is_none() {
        let detail = format!("the account may have no links of an offer `{}`, or the offer is paused", new.offer);
        errors.push(Invalid::new("/offer", "unknown_offer", detail));
    }
    let Some(known) = known.filter(|_| errors.is_empty()) else { return Err(ApiError::invalid(errors)) };
    let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
    let told = Told {
        sub_ids: [filled(new.sub_id1), filled(new.sub_id2), filled(new.sub_id3)],
        shared_id: filled(new.shared_id),
        promo_id: filled(new.promo_id),
        promo_code: filled(new.promo_code),
        campaign_id: filled(new.campaign_id),
        traffic_source: filled(new.traffic_source),
        utm_source: filled(new.utm_source),
        test_run: None,
    };
    let visit = Visit { ip: new.ip, country: filled(new.country), user_agent: filled(new.user_agent), referring_domain: None };
    let click = make_click(&state, new.account, &known, told, visit).await?;
    state.queue.metrics().clicked("recorded");
    let made = MadeClick { landing_url: click.landing_url.clone().unwrap_or_default(), click_id: click.id };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// A click as callers read it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Click")]
pub(super) struct ClickJson {
    id: String,
    /// The partner whose link it was.
    account: AccountId,
    offer: OfferId,
    at: Timestamp,
    /// First value of the partner's own; the advertiser is not shown it.
    sub_id1: Option<String>,
    /// Second value of the partner's own; the advertiser is not shown it.
    sub_id2: Option<String>,
    /// Third value of the partner's own; the advertiser is not shown it.
    sub_id3: Option<String>,
    shared_id: Option<String>,
    promo_id: Option<String>,
    promo_code: Option<String>,
    campaign_id: Option<String>,
    traffic_source: Option<String>,
    utm_source: Option<String>,
    /// The visitor's address, as far as the offer keeps it.
    ip: Option<String>,
    country: Option<String>,
    user_agent: Option<String>,
    /// The host of the page with the link.
    referring_domain: Option<String>,
    /// Where the visitor was sent; the advertiser is not shown it, since it may hold values of the partner's own.
    landing_url: Option<String>,
    /// Whether it belongs to a test run.
    test: bool,
}

impl ClickJson {
    fn of(click: Click, caller: &Caller) -> Self {
        let is_own = caller.sees(&click.account);
        let own = |value: Option<String>| value.filter(|_| is_own);
        Self {
            test: click.is_test(),
            id: click.id,
            account: click.account,
            offer: click.offer,
            at: click.at,
            sub_id1: own(click.sub_id1),
            sub_id2: own(click.sub_id2),
            sub_id3: own(click.sub_id3),
            shared_id: click.shared_id,
            promo_id: click.promo_id,
            promo_code: click.promo_code,
            campaign_id: click.campaign_id,
            traffic_source: click.traffic_source,
            utm_source: click.utm_source,
            ip: click.ip,
            country: click.country,
            user_agent: click.user_agent,
            referring_domain: click.referring_domain,
            landing_url: own(click.landing_url),
        }
    }
}

pub(super) async fn list(State(state): State<ApiState>, caller: Caller, RawQuery(query): RawQuery) -> Result<impl IntoResponse, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["account", "offer", "since", "until", "limit", "cursor"])?;
    let registry = state.queue.registry();
    let wanted: Option<AccountId> = parameters.parse("account")?;
    let account = caller.narrow(&registry, wanted.clone());
    let mut clicks = ClickQuery {
        account: None,
        offer: parameters.parse("offer")?,
        visible_to: match caller.accounts() {
            Accounts::All => None,
            Accounts::One(own) => Some(own),
        },
        since: parameters.parse("since")?,
        until: parameters.parse("until")?,
        before: parameters.cursor()?,
        limit: parameters.limit()?,
    };
    let Narrowed::To(_) = account else { return Ok(Listed::empty()) };
    clicks.account = wanted;
    let page = state.queue.clicks(&clicks).await?;
    Ok(Listed::new(page.items.into_iter().map(|click| ClickJson::of(click, &caller)).collect(), page.next))
}

pub(super) async fn show(State(state): State<ApiState>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let click = state.queue.click(&id).await?;
    let registry = state.queue.registry();
    let is_visible =
        |click: &Click| caller.sees(&click.account) || registry.offer(&click.offer).is_some_and(|known| caller.sees(&known.offer.account));
    let click = click.filter(is_visible).ok_or_else(|| ApiError::not_found("click", &id))?;
    Ok(Json(ClickJson::of(click, &caller)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m7_as_much_of_an_address_is_kept_as_the_offer_says() {
        let table = [
            ("203.0.113.77", KeptAddress::Truncated, Some("203.0.113.0")),
            ("203.0.113.77", KeptAddress::Full, Some("203.0.113.77")),
            ("203.0.113.77", KeptAddress::None, None),
            ("2001:db8:1:2:3::9", KeptAddress::Truncated, Some("2001:db8:1::")),
        ];
        for (address, kept, expected) in table {
            assert_eq!(kept_address(address.parse().unwrap(), kept).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_link_is_read_in_every_spelling_of_its_sub_ids() {
        for query in ["sub_id=a&sub_id2=b", "SubId1=a&subid2=b", "sub_id1=a&SUB_ID2=b&x=y", "subid=a&sub_id1=c&SubId2=b"] {
            let told = Told::by_query(Some(query));
            assert_eq!(told.sub_ids, [Some("a".to_owned()), Some("b".to_owned()), None], "{query}");
        }
        let told = Told::by_query(Some("sub_id=&shared_id=a%00b%0Ac"));
        assert_eq!((told.sub_ids[0].as_deref(), told.shared_id.as_deref()), (None, Some("abc")));
    }
}
