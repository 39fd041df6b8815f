//! From parameters to a report: is it of a click, an offer and an action that are there, and is everything that the action's
//! payout model requires?

use std::sync::Arc;

use axum::http::StatusCode;
use uuid::Uuid;

use super::super::{ApiError, ApiState};
use super::answer::{Fault, Refusal};
use super::given::Given;
use super::take::Sender;
use crate::clock::Timestamp;
use crate::event::OfferId;
use crate::inbound::{
    Click, CustomerChange, CustomerReport, Decimal, InboundCall, Offer, OfferState, PayoutAction, PayoutModel, Report, TemplateState,
    UnknownClicks, lead_id, parse_decimal, plain,
};

/// Most characters of each parameter.
const LENGTHS: [(&str, usize); 8] = [
    ("click_id", 100),
    ("request_id", 200),
    ("action", 100),
    ("status", 100),
    ("price", 40),
    ("customer_id", 200),
    ("comment", 1_000),
    ("offer_id", 64),
];
/// Most characters of an extra parameter.
const EXTRA_CHARACTERS_MAX: usize = 1_000;

/// The words that add a customer of a recurring action, and take one away.
const ACTIVATE: &str = "activate";
const DEACTIVATE: &str = "deactivate";

/// What a report turned out to be.
#[derive(Debug)]
pub(super) enum Judged {
    /// A report of an action.
    Report(Box<Report>),
    /// A report of a customer.
    Customer(Box<CustomerReport>),
}

/// Judges what was given; what is found on the way is noted in `call`.
///
/// # Errors
/// The [`Refusal`], or why the store could not be read.
pub(super) async fn judge(state: &ApiState, sender: &Sender, given: &Given, call: &mut InboundCall) -> Result<Judged, Stop> {
    let at = call.at;
    call.request_id = given.get("request_id").map(|id| id.trim().chars().take(200).collect());
    check_texts(given)?;
    check_missing(given)?;
    let (Some(click_text), Some(word)) = (given.get("click_id"), given.get("status")) else {
        return Err(Refusal::wrong(vec![missing("click_id")]).into());
    };
    let lead = given.get("request_id").map(|id| lead_id(sender.namespace, id.trim()));
    let (offer, click) = find_click(state, sender, given, click_text, lead, at).await?;
    call.click = Some(click.id.clone());
    call.offer = Some(offer.id.clone());
    let customer_word = plain(word);
    if [ACTIVATE, DEACTIVATE].contains(&customer_word.as_str()) && offer.spec.statuses.find(word).is_none() {
        return judge_customer(state, sender, given, (offer, click), customer_word == ACTIVATE, at).await;
    }
    judge_action(state, sender, given, call, (offer, click)).await
}

/// Why there is no report.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    Failed(ApiError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<crate::queue::StoreError> for Stop {
    fn from(error: crate::queue::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

fn missing(parameter: &str) -> Fault {
    Fault::new(parameter, "missing_parameter", format!("`{parameter}` is missing or empty; send it"))
}

fn check_texts(given: &Given) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    for (name, most) in LENGTHS {
        let Some(value) = given.get(name) else { continue };
        if value.chars().count() > most {
            faults.push(Fault::new(name, "wrong_parameter", format!("`{name}` has more than {most} characters; shorten it")));
        } else if value.chars().any(|character| character.is_control() && !(name == "comment" && "\n\r\t".contains(character))) {
            faults.push(Fault::new(name, "wrong_parameter", format!("`{name}` holds a control character; leave it out")));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::wrong(faults)) }
}

/// What every report needs, before it is known of which offer it is.
fn check_missing(given: &Given) -> Result<(), Refusal> {
    let is_of_customer = given.get("status").is_some_and(|word| [ACTIVATE, DEACTIVATE].contains(&plain(word).as_str()));
    let needed: &[&str] = if is_of_customer { &["click_id", "customer_id"] } else { &["click_id", "request_id", "action", "status"] };
    let faults: Vec<_> = needed.iter().filter(|name| given.get(name).is_none()).map(|name| missing(name)).collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::wrong(faults)) }
}

/// The click that is reported, and its offer.
async fn find_click(
    state: &ApiState,
    sender: &Sender,
    given: &Given,
    text: &str,
    lead: Option<Uuid>,
    at: Timestamp,
) -> Result<(Arc<Offer>, Arc<Click>), Stop> {
    let registry = state.queue.registry();
    let wanted: Option<OfferId> = match given.get("offer_id").map(|id| id.trim().parse()) {
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            return Err(Refusal::wrong(vec![Fault::new("offer_id", "wrong_parameter", "`offer_id` is not the id of an offer")]).into());
        }
        None => None,
    };
    let own = |id: &OfferId| registry.offer(id).map(|known| known.offer.clone()).filter(|offer| offer.account == sender.account);
    let other_offer = |detail: &str| Stop::from(Refusal::wrong(vec![Fault::new("offer_id", "wrong_parameter", detail)]));
    if let (Some(wanted), Some(of_key)) = (&wanted, &sender.offer)
        && wanted != of_key
    {
        return Err(other_offer("this key is for another offer than `offer_id`; use a key of that offer, or leave `offer_id` out"));
    }
    let named = wanted.as_ref().or(sender.offer.as_ref());
    if let Some(click) = state.queue.click(text).await?
        && let Some(offer) = own(&click.offer)
    {
        return match named {
            Some(named) if *named != click.offer && wanted.is_some() => {
                Err(other_offer("the click is of another offer than `offer_id`; leave `offer_id` out"))
            }
            Some(named) if *named != click.offer => Err(unknown_click().into()),
            _ => Ok((offer, Arc::new(click))),
        };
    }
    if let Some(lead) = lead
        && let Some((offer, click)) = known_lead(state, lead, text, own).await?
    {
        return Ok((offer, click));
    }
    match named.and_then(own) {
        Some(offer) if offer.spec.unknown_clicks == UnknownClicks::Accept => {
            let click = Click::unknown(text.trim().to_owned(), offer.account.clone(), offer.id.clone(), at);
            Ok((offer, Arc::new(click)))
        }
        _ => Err(unknown_click().into()),
    }
}

/// The click of an action that is known although its click is not kept any more.
async fn known_lead(
    state: &ApiState,
    lead: Uuid,
    text: &str,
    own: impl Fn(&OfferId) -> Option<Arc<Offer>>,
) -> Result<Option<(Arc<Offer>, Arc<Click>)>, Stop> {
    let Some(row) = state.queue.lead(lead).await? else { return Ok(None) };
    let (Some(id), Some(offer)) = (row.click, row.offer.as_ref().and_then(own)) else { return Ok(None) };
    if !id.eq_ignore_ascii_case(text.trim()) {
        return Ok(None);
    }
    let click = Click { account: row.account, ..Click::unknown(id, offer.account.clone(), offer.id.clone(), row.created_at) };
    Ok(Some((offer, Arc::new(click))))
}

fn unknown_click() -> Refusal {
    let detail = "no click of this id is known for the offers of this key; send back the click id of the landing address as it is";
    let mut refusal = Refusal::wrong(vec![Fault::new("click_id", "unknown_click", detail)]);
    refusal.status = StatusCode::NOT_FOUND;
    refusal
}

fn paused() -> Refusal {
    Refusal::unprocessable("offer_paused", "the offer is paused and takes no new actions; ask whoever runs it")
}

fn price_of(given: &Given) -> Result<Option<Decimal>, Fault> {
    let Some(text) = given.get("price") else { return Ok(None) };
    parse_decimal(text.trim()).map(Some).map_err(|error| Fault::new("price", "wrong_parameter", format!("`price`: {error}")))
}

/// A customer that is added, or taken away.
async fn judge_customer(
    state: &ApiState,
    sender: &Sender,
    given: &Given,
    (offer, click): (Arc<Offer>, Arc<Click>),
    activates: bool,
    at: Timestamp,
) -> Result<Judged, Stop> {
    let recurring: Vec<&PayoutAction> = offer.spec.actions.iter().filter(|action| action.model == PayoutModel::Recurring).collect();
    if recurring.is_empty() {
        let detail = "`activate` and `deactivate` are for offers with a recurring action, and this one has none; report an action instead";
        return Err(Refusal::wrong(vec![Fault::new("status", "unknown_status", detail)]).into());
    }
    let Some(customer) = given.get("customer_id").map(|id| id.trim().to_owned()) else {
        return Err(Refusal::wrong(vec![missing("customer_id")]).into());
    };
    let price = price_of(given).map_err(|fault| Refusal::wrong(vec![fault]))?;
    if recurring.iter().any(|action| price.is_some() && action.earned(price, offer.spec.currency).is_none()) {
        return Err(Refusal::wrong(vec![too_many_digits()]).into());
    }
    let is_known = state.queue.customer(&offer.account, &customer).await?.is_some();
    if !is_known && !activates {
        return Err(unknown_customer().into());
    }
    if !is_known && offer.spec.state == OfferState::Paused {
        return Err(paused().into());
    }
    if !is_known && price.is_none() && recurring.iter().any(|action| action.is_percentage()) {
        return Err(Refusal::wrong(vec![missing("price")]).into());
    }
    let lead = lead_id(sender.namespace, &format!("customer:{customer}"));
    let change = if activates { CustomerChange::Activate { price } } else { CustomerChange::Deactivate };
    Ok(Judged::Customer(Box::new(CustomerReport { lead, offer, click, customer, change, at })))
}

pub(super) fn unknown_customer() -> Refusal {
    let detail = "no such customer is active; add it first with `status=activate`, `click_id` and `customer_id`";
    Refusal::wrong(vec![Fault::new("customer_id", "unknown_customer", detail)])
}

fn too_many_digits() -> Fault {
    Fault::new("price", "wrong_parameter", "`price` has more digits than a payout can be worked out of; send a usual amount")
}

/// A report of an action.
async fn judge_action(
    state: &ApiState,
    sender: &Sender,
    given: &Given,
    call: &mut InboundCall,
    (offer, click): (Arc<Offer>, Arc<Click>),
) -> Result<Judged, Stop> {
    let (Some(request_id), Some(name), Some(word)) = (given.get("request_id"), given.get("action"), given.get("status")) else {
        let faults = ["request_id", "action", "status"].into_iter().filter(|name| given.get(name).is_none()).map(missing);
        return Err(Refusal::wrong(faults.collect()).into());
    };
    let mut faults = Vec::new();
    let status = offer.spec.statuses.find(word);
    if status.is_none() {
        let known: Vec<_> = offer.spec.statuses.lists().iter().flat_map(|(_, words)| words.iter().take(3).cloned()).collect();
        let detail = format!("`{word}` is no status of this offer; use one of its words, like {}", known.join(", "));
        faults.push(Fault::new("status", "unknown_status", detail));
    }
    let action = offer.spec.action(name);
    if action.is_none() {
        let known: Vec<_> = offer.spec.actions.iter().take(10).map(|action| format!("`{}`", action.name)).collect();
        let detail = format!("`{name}` is no action of this offer; it has {}", known.join(", "));
        faults.push(Fault::new("action", "unknown_action", detail));
    }
    call.action = action.map(|action| action.name.clone());
    let price = match price_of(given) {
        Ok(price) => price,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    let recurring = action.is_some_and(|action| action.model == PayoutModel::Recurring);
    if recurring && given.get("customer_id").is_none() {
        faults.push(missing("customer_id"));
    }
    let request_id = request_id.trim().to_owned();
    let lead = lead_id(sender.namespace, &request_id);
    // A later report of a known action need not repeat what the first has said.
    let has_template = action.is_some_and(|action| action.template.is_some());
    let is_short = action.is_some_and(PayoutAction::is_percentage) && given.get("price").is_none();
    let may_matter = recurring || is_short || has_template || offer.spec.state == OfferState::Paused;
    let is_known = may_matter && state.queue.lead(lead).await?.is_some();
    if !recurring && !is_known && is_short {
        faults.push(missing("price"));
    }
    let extra = action.map(|action| extra_fields(&offer, action, given, is_known, &mut faults)).unwrap_or_default();
    let (Some(status), Some(action), true) = (status, action, faults.is_empty()) else { return Err(Refusal::wrong(faults).into()) };
    if offer.spec.state == OfferState::Paused && !is_known {
        return Err(paused().into());
    }
    let customer = given.get("customer_id").map(|id| id.trim().to_owned());
    let price = match (&customer, recurring) {
        (Some(id), true) => of_customer(state, &offer, &click, action, (id, price), is_known).await?,
        _ => price,
    };
    if price.is_some() && action.earned(price, offer.spec.currency).is_none() {
        return Err(Refusal::wrong(vec![too_many_digits()]).into());
    }
    Ok(Judged::Report(Box::new(Report {
        lead,
        action: action.clone(),
        offer: offer.clone(),
        click,
        request_id,
        status,
        status_word: word.trim().to_owned(),
        price,
        customer,
        comment: given.get("comment").map(|text| text.trim().to_owned()),
        extra,
        at: call.at,
    })))
}

/// The price of a recurring action: that of its customer, if its rate is a percentage.
async fn of_customer(
    state: &ApiState,
    offer: &Offer,
    click: &Click,
    action: &PayoutAction,
    (id, price): (&str, Option<Decimal>),
    is_known: bool,
) -> Result<Option<Decimal>, Stop> {
    let customer = state.queue.customer(&offer.account, id).await?;
    // What was reported while the customer was active can still be decided.
    let Some(customer) = customer.filter(|customer| customer.offer == offer.id && (customer.active || is_known)) else {
        return Err(unknown_customer().into());
    };
    if customer.click != click.id {
        let detail = "the customer was added with another click; send the `click_id` of `status=activate`";
        return Err(Refusal::wrong(vec![Fault::new("click_id", "wrong_parameter", detail)]).into());
    }
    if !action.is_percentage() {
        return Ok(price);
    }
    let price = price.or(if is_known { None } else { customer.price });
    if price.is_none() && !is_known { Err(Refusal::wrong(vec![missing("price")]).into()) } else { Ok(price) }
}

/// The fields of the event that come of the parameters of an action's template.
fn extra_fields(offer: &Offer, action: &PayoutAction, given: &Given, is_known: bool, faults: &mut Vec<Fault>) -> Vec<(String, String)> {
    let template = offer.spec.parameter_templates.iter().find(|template| action.template.as_ref() == Some(&template.name));
    let Some(template) = template.filter(|template| template.state == TemplateState::Active) else { return Vec::new() };
    let mut fields = Vec::new();
    for parameter in &template.parameters {
        match given.get(&parameter.name) {
            Some(value) if value.chars().count() > EXTRA_CHARACTERS_MAX || value.contains('\0') => {
                let detail = format!("`{}` has more than {EXTRA_CHARACTERS_MAX} characters; shorten it", parameter.name);
                faults.push(Fault::new(&parameter.name, "wrong_parameter", detail));
            }
            Some(value) => fields.push((parameter.field.clone(), value.to_owned())),
            None if parameter.required && !is_known => faults.push(missing(&parameter.name)),
            None => {}
        }
    }
    fields
}
