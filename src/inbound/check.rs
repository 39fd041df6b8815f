//! From what a caller wrote to an offer that can be used: every fault found, with its place.

use std::collections::HashSet;

use rust_decimal::Decimal;

use super::status::plain;
use super::{Landing, OfferSpec, Partners, PayoutModel, RateType, is_ledger_field};
use crate::event::catalogue::is_macro_name;
use crate::subscription::FieldError;

/// Most characters of an offer's name.
const NAME_CHARACTERS_MAX: usize = 200;
/// Most characters of the name of an action or a template, of an action type, of a campaign id, and of a word for a status.
const WORD_CHARACTERS_MAX: usize = 100;
/// Most actions of an offer.
const ACTIONS_MAX: usize = 100;
/// Most partners that are listed.
const PARTNERS_MAX: usize = 10_000;
/// Most words for one status.
const WORDS_MAX: usize = 100;
/// Most templates of extra parameters, and most parameters of one.
const TEMPLATES_MAX: usize = 20;
const PARAMETERS_MAX: usize = 50;
/// Most of a percentage rate.
const PERCENT_MAX: u32 = 1_000;
/// Most bytes of an offer as JSON: what is kept in memory of it.
const OFFER_BYTES_MAX: usize = 256 * 1_024;

/// Parameters that every report may have.
pub const REPORT_PARAMETERS: [&str; 8] = ["click_id", "request_id", "action", "status", "price", "customer_id", "comment", "offer_id"];

/// Checks `spec` and gives its landing address, ready to be filled.
///
/// # Errors
/// Every [`FieldError`] found, in the order of the fields.
pub fn check_offer(spec: &OfferSpec) -> Result<Landing, Vec<FieldError>> {
    let bytes = serde_json::to_vec(spec).map_or(usize::MAX, |json| json.len());
    if bytes > OFFER_BYTES_MAX {
        return Err(vec![FieldError::new("", "too_large", format!("the offer has {bytes} bytes as JSON; use at most {OFFER_BYTES_MAX}"))]);
    }
    let mut faults = Faults(Vec::new());
    faults.text("/name", &spec.name, NAME_CHARACTERS_MAX);
    let landing = Landing::compile(&spec.landing_url, &spec.click_parameter);
    let landing = landing.map_err(|errors| faults.0.extend(errors)).ok();
    check_click_parameter(spec, &mut faults);
    if let Some(campaign) = &spec.campaign_id {
        faults.text("/campaign_id", campaign, WORD_CHARACTERS_MAX);
    }
    if let Partners::Listed(listed) = &spec.partners
        && listed.len() > PARTNERS_MAX
    {
        faults.add("/partners", "too_many_entries", format!("{} accounts; list at most {PARTNERS_MAX}, or use `all`", listed.len()));
    }
    check_actions(spec, &mut faults);
    check_statuses(spec, &mut faults);
    check_templates(spec, &mut faults);
    match landing {
        Some(landing) if faults.0.is_empty() => Ok(landing),
        _ => Err(faults.0),
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: &str, code: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    /// A text that people read.
    fn text(&mut self, pointer: &str, text: &str, characters_max: usize) {
        let count = text.chars().count();
        if !(1..=characters_max).contains(&count) || text.chars().any(char::is_control) || text.trim().is_empty() {
            self.add(pointer, "invalid_name", format!("{count} characters; use 1 to {characters_max}, without control characters"));
        }
    }

    /// Fewer than so many entries of a list.
    fn number(&mut self, pointer: &str, count: usize, max: usize) {
        if count > max {
            self.add(pointer, "too_many_entries", format!("{count} entries; at most {max} are taken"));
        }
    }
}

fn check_click_parameter(spec: &OfferSpec, faults: &mut Faults) {
    let name = &spec.click_parameter;
    if !(1..=64).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        faults.add("/click_parameter", "invalid_name", "use 1 to 64 letters, digits, `-`, `_` or `.`, like `click_id`");
    }
}

fn check_actions(spec: &OfferSpec, faults: &mut Faults) {
    if spec.actions.is_empty() {
        faults.add("/actions", "no_actions", "the list is empty; say what is paid for, like `[{\"name\":\"lead\",\"rate\":\"30.00\"}]`");
    }
    faults.number("/actions", spec.actions.len(), ACTIONS_MAX);
    let mut names = HashSet::new();
    for (index, action) in spec.actions.iter().enumerate().take(ACTIONS_MAX) {
        let at = |field: &str| format!("/actions/{index}/{field}");
        faults.text(&at("name"), &action.name, WORD_CHARACTERS_MAX);
        if !names.insert(plain(&action.name)) {
            faults.add(&at("name"), "duplicate_name", format!("the action `{}` is there already; case does not matter", action.name));
        }
        faults.text(&at("action_type"), &action.action_type, WORD_CHARACTERS_MAX);
        match (action.model, action.rate_type) {
            (PayoutModel::Fixed, Some(RateType::Percent)) => {
                faults.add(
                    &at("rate_type"),
                    "invalid_value",
                    "a fixed payout is an amount; use the model `percent`, or leave `rate_type` out",
                );
            }
            (PayoutModel::Percent, Some(RateType::Amount)) => {
                faults.add(&at("rate_type"), "invalid_value", "a percentage is no amount; use the model `fixed`, or leave `rate_type` out");
            }
            _ => {}
        }
        if action.is_percentage() && action.rate > Decimal::from(PERCENT_MAX) {
            faults.add(&at("rate"), "out_of_range", format!("{} percent; use 0 to {PERCENT_MAX}", action.rate));
        }
        if action.partner_percent > Decimal::ONE_HUNDRED {
            let detail = format!("{} percent is more than the advertiser pays; use 0 to 100", action.partner_percent);
            faults.add(&at("partner_percent"), "out_of_range", detail);
        }
        if let Some(name) = action.template.as_ref().filter(|name| !spec.parameter_templates.iter().any(|known| known.name == **name)) {
            faults.add(&at("template"), "unknown_template", format!("`{name}` is none of `parameter_templates`; add it there"));
        }
    }
}

fn check_statuses(spec: &OfferSpec, faults: &mut Faults) {
    let mut seen: Vec<(String, &'static str)> = Vec::new();
    for (status, words) in spec.statuses.lists() {
        let list = status.as_str();
        faults.number(&format!("/statuses/{list}"), words.len(), WORDS_MAX);
        for (index, word) in words.iter().enumerate().take(WORDS_MAX) {
            let pointer = format!("/statuses/{list}/{index}");
            faults.text(&pointer, word, WORD_CHARACTERS_MAX);
            let word = plain(word);
            match seen.iter().find(|(known, _)| *known == word) {
                Some((_, other)) if *other == list => {
                    faults.add(&pointer, "duplicate_word", format!("`{word}` is in this list already; take it out"));
                }
                Some((_, other)) => {
                    faults.add(&pointer, "word_in_two_lists", format!("`{word}` stands for `{other}` already; take it out of one list"));
                }
                None => seen.push((word, list)),
            }
        }
    }
    if seen.is_empty() {
        faults.add(
            "/statuses",
            "no_words",
            "no word stands for any status, so that no report would be understood; name some, or leave it out",
        );
    }
}

fn check_templates(spec: &OfferSpec, faults: &mut Faults) {
    faults.number("/parameter_templates", spec.parameter_templates.len(), TEMPLATES_MAX);
    let mut templates = HashSet::new();
    for (index, template) in spec.parameter_templates.iter().enumerate().take(TEMPLATES_MAX) {
        let base = format!("/parameter_templates/{index}");
        faults.text(&format!("{base}/name"), &template.name, WORD_CHARACTERS_MAX);
        if !templates.insert(&template.name) {
            faults.add(&format!("{base}/name"), "duplicate_name", format!("the template `{}` is there already", template.name));
        }
        faults.number(&format!("{base}/parameters"), template.parameters.len(), PARAMETERS_MAX);
        let mut names = HashSet::new();
        for (place, parameter) in template.parameters.iter().enumerate().take(PARAMETERS_MAX) {
            let at = |field: &str| format!("{base}/parameters/{place}/{field}");
            if !is_macro_name(&parameter.name) {
                faults.add(&at("name"), "invalid_name", "use letters, digits and `_`, not a digit first, at most 64");
            } else if REPORT_PARAMETERS.contains(&parameter.name.as_str()) {
                faults.add(
                    &at("name"),
                    "reserved_name",
                    format!("every report may have `{}` already; choose another name", parameter.name),
                );
            } else if !names.insert(&parameter.name) {
                faults.add(&at("name"), "duplicate_name", format!("the parameter `{}` is there already", parameter.name));
            }
            check_field(&at("field"), &parameter.field, faults);
        }
    }
}

fn check_field(pointer: &str, field: &str, faults: &mut Faults) {
    if !is_macro_name(field) {
        faults.add(pointer, "invalid_field_name", "use letters, digits and `_`, not a digit first, at most 64");
    } else if is_ledger_field(field) {
        faults.add(
            pointer,
            "reserved_field",
            format!("`{field}` is worked out from the report, or holds a list; use another, like `Text1`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn offer(patch: Value) -> OfferSpec {
        let mut offer = json!({
            "name": "Summer shop", "landing_url": "https://shop.example/p", "currency": "USD", "actions": [{"name": "lead", "rate": "30"}],
        });
        for (name, value) in patch.as_object().unwrap() {
            offer[name] = value.clone();
        }
        serde_json::from_value(offer).unwrap()
    }

    #[test]
    fn an_offer_with_defaults_is_right() {
        assert!(check_offer(&offer(json!({}))).is_ok());
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let template = |parameter: Value| json!({"parameter_templates": [{"name": "t", "parameters": [parameter]}]});
        let table = [
            (json!({"name": " "}), "/name", "invalid_name"),
            (json!({"landing_url": "https://{ip}/"}), "/landing_url", "bad_url"),
            (json!({"click_parameter": "a b"}), "/click_parameter", "invalid_name"),
            (json!({"campaign_id": ""}), "/campaign_id", "invalid_name"),
            (json!({"actions": []}), "/actions", "no_actions"),
            (json!({"actions": [{"name": "a", "rate": "1"}, {"name": " A ", "rate": "1"}]}), "/actions/1/name", "duplicate_name"),
            (json!({"actions": [{"name": "a", "rate": "1001", "model": "percent"}]}), "/actions/0/rate", "out_of_range"),
            (json!({"actions": [{"name": "a", "rate": "1", "partner_percent": "101"}]}), "/actions/0/partner_percent", "out_of_range"),
            (json!({"actions": [{"name": "a", "rate": "1", "rate_type": "percent"}]}), "/actions/0/rate_type", "invalid_value"),
            (
                json!({"actions": [{"name": "a", "rate": "1", "model": "percent", "rate_type": "amount"}]}),
                "/actions/0/rate_type",
                "invalid_value",
            ),
            (json!({"actions": [{"name": "a", "rate": "1", "template": "t"}]}), "/actions/0/template", "unknown_template"),
            (json!({"statuses": {"hold": ["new"], "approved": ["OK", " new "]}}), "/statuses/approved/1", "word_in_two_lists"),
            (json!({"statuses": {"hold": ["new", "NEW"]}}), "/statuses/hold/1", "duplicate_word"),
            (json!({"statuses": {}}), "/statuses", "no_words"),
            (template(json!({"name": "price", "field": "Text1"})), "/parameter_templates/0/parameters/0/name", "reserved_name"),
            (template(json!({"name": "1a", "field": "Text1"})), "/parameter_templates/0/parameters/0/name", "invalid_name"),
            (template(json!({"name": "city", "field": "Payout"})), "/parameter_templates/0/parameters/0/field", "reserved_field"),
            (template(json!({"name": "city", "field": "items"})), "/parameter_templates/0/parameters/0/field", "reserved_field"),
            (
                template(json!({"name": "city", "field": "RefCustomerCountry"})),
                "/parameter_templates/0/parameters/0/field",
                "reserved_field",
            ),
            (template(json!({"name": "city", "field": "a b"})), "/parameter_templates/0/parameters/0/field", "invalid_field_name"),
        ];
        for (patch, pointer, code) in table {
            let errors = check_offer(&offer(patch.clone())).unwrap_err();
            let found: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code.as_str())).collect();
            assert_eq!(found, [(pointer, code)], "{patch}");
        }
    }
}
