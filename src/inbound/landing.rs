//! Where a visitor is sent: the offer's landing address with the values of the click.
//!
//! The address is a template of our own language in its URL form: values are percent-encoded where they
//! stand, and scheme, user, host and port must be literal. What comes out is compared with the offer's own
//! origin all the same, so that no value of a link can lead a visitor anywhere else.

use serde_json::{Map, Value};
use url::{Origin, Url};

use super::Click;
use crate::subscription::FieldError;
use crate::template::{Engine, FieldKind, Format, Names, Template, Values};

/// Most bytes of a landing address as it is written.
const LANDING_BYTES_MAX: usize = 2_048;

/// What may stand in a landing address, with what it is.
pub const LANDING_MACROS: [(&str, &str); 19] = [
    ("click_id", "the id of the click, which reports give back"),
    ("offer_id", "the offer"),
    ("campaign_id", "the campaign that the link names, else that of the offer, else the offer"),
    ("network_id", "the account of the offer"),
    ("partner_id", "the account whose link it is"),
    ("promo_id", "`promo_id` of the link"),
    ("promo_code", "`promo_code` of the link"),
    ("sub_id", "the same as `sub_id1`"),
    ("sub_id1", "first value of the partner's own"),
    ("sub_id2", "second value of the partner's own"),
    ("sub_id3", "third value of the partner's own"),
    ("shared_id", "`shared_id` of the link"),
    ("traffic_source", "`traffic_source` of the link"),
    ("utm_source", "`utm_source` of the link"),
    ("ip", "the visitor's address"),
    ("country", "the visitor's country, if a proxy in front tells it"),
    ("user_agent", "the visitor's `User-Agent`"),
    ("timestamp", "when the click happened, in seconds since 1970"),
    ("date", "when the click happened, in the form of ISO 8601"),
];

/// The landing address of an offer, ready to be filled.
#[derive(Debug, Clone)]
pub struct Landing {
    template: Template,
    /// The parameter that is added, if the address does not name the click itself.
    click_parameter: Option<String>,
    origin: Origin,
}

/// A landing address that cannot be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LandingError {
    /// The template gave no address for these values.
    #[error("the landing address of the offer cannot be filled: {0}")]
    NotRendered(String),
    /// It would lead away from the offer's own host.
    #[error("the landing address would leave the host of the offer; change the offer's `landing_url`")]
    OtherHost,
}

struct LandingNames;

impl Names for LandingNames {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        let is_known = LANDING_MACROS.iter().any(|(known, _)| *known == name);
        is_known.then_some(match name {
            "timestamp" => FieldKind::Integer,
            "date" => FieldKind::Date,
            _ => FieldKind::Text,
        })
    }

    fn item_kind(&self, _: &str, _: &str) -> Option<FieldKind> {
        None
    }

    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        LANDING_MACROS.iter().for_each(|(name, _)| f(name));
    }

    fn for_each_item_field(&self, _: &str, _: &mut dyn FnMut(&str)) {}
}

impl Landing {
    /// The landing address `source`; if it does not name `{click_id}`, that is added as `click_parameter`.
    ///
    /// # Errors
    /// Every [`FieldError`] found, at `/landing_url`.
    pub fn compile(source: &str, click_parameter: &str) -> Result<Self, Vec<FieldError>> {
        let fault = |code: &str, detail: String| vec![FieldError::new("/landing_url", code, detail)];
        if source.len() > LANDING_BYTES_MAX {
            return Err(fault("too_large", format!("the address has {} bytes; use at most {LANDING_BYTES_MAX}", source.len())));
        }
        let origin = origin_of(source).ok_or_else(|| {
            let detail = "this is no landing address; use one like `https://shop.example/p?c={click_id}`, with the host written out";
            fault("bad_url", detail.into())
        })?;
        let template = Template::compile(Engine::Macro, Format::Url, source, &LandingNames).map_err(|findings| {
            let errors = findings.into_iter().filter(crate::template::Finding::is_error);
            errors
                .map(|finding| FieldError {
                    pointer: "/landing_url".into(),
                    code: finding.code.as_str().into(),
                    detail: finding.message.clone(),
                    finding: Some(Box::new(finding)),
                })
                .collect::<Vec<_>>()
        })?;
        let names_click = template.names_used().any(|name| name == "click_id");
        Ok(Self { template, click_parameter: (!names_click).then(|| click_parameter.to_owned()), origin })
    }

    /// The parameter in which the click id is added; none if the address names it itself.
    #[must_use]
    pub fn click_parameter(&self) -> Option<&str> {
        self.click_parameter.as_deref()
    }

    /// Where the visitor of `click` is sent. `ip` is the visitor's address as it is, of which the click may keep less.
    ///
    /// # Errors
    /// [`LandingError`]; the visitor is then sent nowhere.
    pub fn url(&self, click: &Click, visitor: &Visitor<'_>) -> Result<String, LandingError> {
        let values = values(click, visitor);
        let rendered =
            self.template.render(&Values { event: &values, extra: &[] }).map_err(|finding| LandingError::NotRendered(finding.message))?;
        let address = match &self.click_parameter {
            Some(name) => with_parameter(&rendered, name, &click.id),
            None => rendered,
        };
        let parsed = Url::parse(&address).map_err(|error| LandingError::NotRendered(error.to_string()))?;
        if parsed.origin() != self.origin || !parsed.username().is_empty() {
            return Err(LandingError::OtherHost);
        }
        Ok(parsed.into())
    }
}

/// What is known of a visitor beyond what the click keeps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visitor<'a> {
    /// The address.
    pub ip: Option<&'a str>,
    /// The `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The campaign of the offer, if the link names none.
    pub campaign_id: Option<&'a str>,
    /// The account of the offer.
    pub advertiser: Option<&'a str>,
}

fn values(click: &Click, visitor: &Visitor<'_>) -> Map<String, Value> {
    let mut values = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    };
    put("click_id", Some(&click.id));
    put("offer_id", Some(click.offer.as_str()));
    put("campaign_id", click.campaign_id.as_deref().or(visitor.campaign_id).or(Some(click.offer.as_str())));
    put("network_id", visitor.advertiser);
    put("partner_id", Some(click.account.as_str()));
    put("promo_id", click.promo_id.as_deref());
    put("promo_code", click.promo_code.as_deref());
    put("sub_id", click.sub_id1.as_deref());
    put("sub_id1", click.sub_id1.as_deref());
    put("sub_id2", click.sub_id2.as_deref());
    put("sub_id3", click.sub_id3.as_deref());
    put("shared_id", click.shared_id.as_deref());
    put("traffic_source", click.traffic_source.as_deref());
    put("utm_source", click.utm_source.as_deref());
    put("ip", visitor.ip.or(click.ip.as_deref()));
    put("country", click.country.as_deref());
    put("user_agent", visitor.user_agent.or(click.user_agent.as_deref()));
    put("timestamp", Some(&click.at.unix_ms().div_euclid(1_000).to_string()));
    put("date", Some(&click.at.to_string()));
    values
}

/// Scheme, host and port of an address whose host is written out; none if it has no such host.
fn origin_of(source: &str) -> Option<Origin> {
    let rest = source.strip_prefix("https://").or_else(|| source.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.is_empty() || authority.contains(['{', '}', '@', '\\', '<']) {
        return None;
    }
    let url = Url::parse(&source[..source.len() - rest.len() + end]).ok()?;
    url.host_str()?;
    Some(url.origin())
}

/// The address with one more parameter, before its fragment.
fn with_parameter(address: &str, name: &str, value: &str) -> String {
    let (before, fragment) = address.split_once('#').map_or((address, None), |(before, fragment)| (before, Some(fragment)));
    let joint = match before.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{before}{joint}{name}={value}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn click(sub_id1: &str) -> Click {
        let mut click =
            Click::unknown("018f-id".into(), "acme".parse().unwrap(), "shop".parse().unwrap(), Timestamp::from_unix_ms(1_700_000_000_500));
        click.sub_id1 = Some(sub_id1.into());
        click
    }

    fn filled(source: &str, sub_id1: &str) -> String {
        Landing::compile(source, "click_id").unwrap().url(&click(sub_id1), &Visitor::default()).unwrap()
    }

    #[test]
    fn the_click_is_added_unless_the_address_names_it() {
        assert_eq!(filled("https://shop.example/p", "x"), "https://shop.example/p?click_id=018f-id");
        assert_eq!(filled("https://shop.example/p?a=1#top", "x"), "https://shop.example/p?a=1&click_id=018f-id#top");
        assert_eq!(filled("https://shop.example/p?", "x"), "https://shop.example/p?click_id=018f-id");
        assert_eq!(filled("https://shop.example/p?c={click_id}&t={timestamp}", "x"), "https://shop.example/p?c=018f-id&t=1700000000");
        assert_eq!(filled("https://shop.example", "x"), "https://shop.example/?click_id=018f-id");
    }

    #[test]
    fn values_are_encoded_where_they_stand_and_cannot_lead_elsewhere() {
        let source = "https://shop.example/{sub_id1}/x?s={sub_id}&c={click_id}#{sub_id}";
        for evil in
            ["//evil.example", "\\\\evil.example", "@evil.example", "../../..", "a&c=other", "%2e%2e", "\r\nLocation: x", "ä €", "#?&="]
        {
            let url = Url::parse(&filled(source, evil)).unwrap();
            assert_eq!(url.host_str(), Some("shop.example"), "{evil}");
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            assert_eq!(pairs, [("s".to_owned(), evil.to_owned()), ("c".to_owned(), "018f-id".to_owned())], "{evil}");
        }
    }

    #[test]
    fn the_host_must_be_written_out() {
        for source in [
            "",
            "shop.example",
            "ftp://shop.example/",
            "javascript:alert(1)",
            "https://{sub_id}/",
            "https://{sub_id}.shop.example/",
            "https:///p",
            "https://user@shop.example/",
            "https://shop.example\\@evil.example/",
            "//shop.example/",
            "https://shop.example{sub_id}/",
            "https://?a=1",
            "data:text/html,x",
            " https://shop.example/",
            "https://shop.example:{sub_id}/",
        ] {
            let errors = Landing::compile(source, "click_id").unwrap_err();
            assert!(errors.iter().all(|error| error.pointer == "/landing_url"), "{source}: {errors:?}");
        }
        assert_eq!(Landing::compile("https://shop.example/?a={nothing}", "c").unwrap_err()[0].code, "unknown_macro");
    }
}
