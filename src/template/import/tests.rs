//! Imports as people paste them.

use super::*;
use crate::template::macros::{FieldKind, Names};

struct Ours;

const NAMES: [&str; 9] = ["SubId1", "SubId2", "ActionId", "Payout", "Amount", "Status", "CampaignId", "EventDate", "ActionTrackerName"];

impl Names for Ours {
    fn kind(&self, name: &str) -> Option<FieldKind> {
        NAMES.contains(&name).then_some(FieldKind::Text)
    }
    fn item_kind(&self, _: &str, _: &str) -> Option<FieldKind> {
        None
    }
    fn for_each_name(&self, f: &mut dyn FnMut(&str)) {
        NAMES.iter().for_each(|name| f(name));
    }
    fn for_each_item_field(&self, _: &str, _: &mut dyn FnMut(&str)) {}
}

fn imported(text: &str) -> (Option<Style>, String) {
    let imported = import(None, text, &Ours);
    (imported.style, imported.template)
}

#[test]
fn every_style_is_detected_and_translated() {
    let ours = "https://t.example/?c={SubId1}&p={Payout}";
    for style in Style::ALL {
        let (open, close) = style.as_str().split_once('x').unwrap();
        let text = format!("https://t.example/?c={open}click_id{close}&p={open}payout{close}");
        assert_eq!(imported(&text), (Some(style), ours.to_owned()), "{style}");
        assert_eq!(style.as_str().parse(), Ok(style));
        assert_eq!(style.word().parse(), Ok(style));
    }
}

#[test]
fn branch_and_timestamp_forms_are_read() {
    let (style, template) = imported("https://t.example/?t=${(timestamp)!}&s=${status}");
    assert_eq!(style, Some(Style::DollarCurly));
    assert_eq!(template, "https://t.example/?t={date(EventDate, \"%s\")}&s={Status}");
}

#[test]
fn unknown_names_stay_as_text_and_are_listed_with_their_place() {
    let text = "https://t.example/?a={payout}&b={user_agent}";
    let imported = import(None, text, &Ours);
    assert_eq!(imported.template, "https://t.example/?a={Payout}&b=\\{user_agent}");
    let [unmapped] = imported.unmapped.as_slice() else {
        panic!("{imported:?}");
    };
    assert_eq!(&text[unmapped.span.start..unmapped.span.end], "{user_agent}");
}

#[test]
fn sums_are_told_apart() {
    let imported = import(None, "a={commission}&b={sale_amount}", &Ours);
    assert_eq!(imported.template, "a={Payout}&b={Amount}");
    assert_eq!(imported.notes.len(), 1);
    let (_, cake) = self::imported("https://t.example/?p=#price#&t=#tid#");
    assert_eq!(cake, "https://t.example/?p={Payout}&t={ActionId}");
}

#[test]
fn encoded_characters_are_no_macros() {
    let imported = import(Some(Style::Percent), "a=%2F%af%&b=%payout%", &Ours);
    assert_eq!(imported.template, "a=%2F%af%&b={Payout}");
    let none = import(None, "https://t.example/?a=1", &Ours);
    assert_eq!((none.style, none.template.as_str()), (None, "https://t.example/?a=1"));
}
