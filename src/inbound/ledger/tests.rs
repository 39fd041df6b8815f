//! Reports and events as tables, and random sequences of reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::event::EventData;
use crate::id::EventId;
use crate::inbound::{Click, Conflict, Offer, Report, ReportedStatus, parse_decimal};

fn offer() -> Arc<Offer> {
    let spec = json!({
        "id": "summer", "account": "shop", "name": "Summer shop", "landing_url": "https://shop.example/", "currency": "USD",
        "actions": [
            {"name": "lead", "rate": "30.00", "partner_percent": "80"},
            {"name": "sale", "action_type": "SALE", "model": "percent", "rate": "4", "locks": true},
        ],
        "version": 1, "created_at": at(0), "updated_at": at(0),
    });
    Arc::new(serde_json::from_value(spec).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_732_233_600_000 + seconds * 1_000)
}

fn click(id: &str) -> Arc<Click> {
    let click = Click::unknown(id.into(), "acme".parse().unwrap(), "summer".parse().unwrap(), at(-60));
    Arc::new(Click { unknown: false, sub_id1: Some("w8T".into()), sub_id3: Some("banner".into()), country: Some("US".into()), ..click })
}

/// A report of `lead` or `sale` of click `c1`, at this second, with this word for the status.
fn report(action: &str, word: &str, price: Option<&str>, second: i64) -> Report {
    let offer = offer();
    let action = offer.spec.action(action).unwrap().clone();
    Report {
        lead: Uuid::from_u128(7),
        action,
        click: click("c1"),
        request_id: "12345".into(),
        status: offer.spec.statuses.find(word).unwrap(),
        status_word: word.into(),
        price: price.map(|text| parse_decimal(text).unwrap()),
        customer: None,
        comment: None,
        extra: Vec::new(),
        at: at(second),
        offer,
    }
}

/// What a report makes of an action: its events as `type Status StatusDetail Amount DeltaAmount Payout DeltaPayout`.
fn told(present: &mut Option<ActionState>, report: &Report) -> Result<Vec<String>, Option<Conflict>> {
    match decide(present.as_ref(), report) {
        Decision::Changed { state, events } => {
            let line = |event: &LedgerEvent| {
                let value = |name: &str| event.data[name].as_str().unwrap().to_owned();
                let names = ["Status", "StatusDetail", "Amount", "DeltaAmount", "Payout", "DeltaPayout"];
                format!("{} {}", event.step.event_type().as_str().trim_start_matches("action."), names.map(value).join(" "))
            };
            *present = Some(*state);
            Ok(events.iter().map(line).collect())
        }
        Decision::Repeated => Err(None),
        Decision::Conflicting { state, reason } => {
            *present = Some(*state);
            Err(Some(reason))
        }
    }
}

#[test]
fn a_lead_on_hold_is_tracked_and_approved_later() {
    let mut lead = None;
    assert_eq!(told(&mut lead, &report("lead", "new", None, 1)).unwrap(), ["tracked PENDING new 0 0 24.00 24.00"]);
    assert_eq!(told(&mut lead, &report("lead", "sold", None, 2)).unwrap(), ["cleared APPROVED sold 0 0 24.00 0.00"]);
    let lead = lead.unwrap();
    assert_eq!(
        (lead.state, lead.status_word.as_deref(), lead.created_at, lead.occurred_at),
        (Standing::Cleared, Some("sold"), at(1), at(2))
    );
    assert_eq!((lead.account.as_str(), lead.advertiser.unwrap().as_str(), lead.action.unwrap().as_str()), ("acme", "shop", "lead"));
}

#[test]
fn a_final_status_at_once_is_tracked_before() {
    let mut sale = None;
    let expected = [
        "tracked PENDING  50.00 50.00 2.00 2.00",
        "locked APPROVED paid 50.00 0.00 2.00 0.00",
        "cleared APPROVED paid 50.00 0.00 2.00 0.00",
    ];
    assert_eq!(told(&mut sale, &report("sale", "paid", Some("50.00"), 1)).unwrap(), expected);
    let mut spam = None;
    let expected = ["tracked PENDING  50.00 50.00 2.00 2.00", "reversed REVERSED spam 0.00 -50.00 0.00 -2.00"];
    assert_eq!(told(&mut spam, &report("sale", "spam", Some("50.00"), 1)).unwrap(), expected);
    assert_eq!(spam.unwrap().state, Standing::Reversed);
}

#[test]
fn another_price_on_hold_is_a_modification() {
    let mut sale = None;
    told(&mut sale, &report("sale", "hold", Some("100"), 1)).unwrap();
    let lower = report("sale", "hold", Some("60.5"), 2);
    assert_eq!(told(&mut sale, &lower).unwrap(), ["modified PENDING hold 60.5 -39.5 2.42 -1.58"]);
    assert_eq!(told(&mut sale, &lower), Err(None));
    let expected =
        ["modified PENDING  70 9.5 2.80 0.38", "locked APPROVED confirmed 70 0 2.80 0.00", "cleared APPROVED confirmed 70 0 2.80 0.00"];
    assert_eq!(told(&mut sale, &report("sale", "confirmed", Some("70"), 3)).unwrap(), expected);
    let sale = sale.unwrap();
    let intended = [sale.intended_amount, sale.intended_payout].map(|amount| amount.unwrap().to_string());
    assert_eq!(intended, ["100", "4.00"]);
}

#[test]
fn a_rejection_takes_everything_back() {
    let mut sale = None;
    told(&mut sale, &report("sale", "hold", Some("100.00"), 1)).unwrap();
    // A price that comes with it does not matter.
    let rejected = report("sale", "refund", Some("90"), 2);
    assert_eq!(told(&mut sale, &rejected).unwrap(), ["reversed REVERSED refund 0.00 -100.00 0.00 -4.00"]);
    assert_eq!(told(&mut sale, &rejected), Err(None));
    assert_eq!(told(&mut sale, &report("sale", "rejected", None, 3)), Err(None));
    assert_eq!(told(&mut sale, &report("sale", "rejected", Some("91"), 3)), Err(Some(Conflict::FinalPrice)));
}

#[test]
fn what_says_nothing_new_is_a_repeat() {
    let mut sale = None;
    told(&mut sale, &report("sale", "hold", Some("100"), 1)).unwrap();
    for (word, price) in [("hold", Some("100")), ("hold", Some("100.00")), ("processing", None)] {
        assert_eq!(told(&mut sale, &report("sale", word, price, 2)), Err(None), "{word} {price:?}");
    }
    told(&mut sale, &report("sale", "approved", None, 3)).unwrap();
    assert_eq!(told(&mut sale, &report("sale", "confirmed", Some("100.0"), 4)), Err(None));
}

#[test]
fn the_terms_are_those_of_the_report_with_the_price() {
    let mut sale = None;
    told(&mut sale, &report("sale", "hold", Some("100"), 1)).unwrap();
    let better = |price| {
        let mut report = report("sale", "hold", price, 2);
        report.action.rate = Decimal::from(9);
        report
    };
    assert_eq!(told(&mut sale, &better(Some("100"))), Err(None));
    assert_eq!(told(&mut sale, &better(Some("110"))).unwrap(), ["modified PENDING hold 110 10 9.90 5.90"]);
}

#[test]
fn what_contradicts_is_a_conflict_and_only_counted() {
    type Change = fn(&mut Report);
    let changes: [(Change, Conflict); 7] = [
        (|report| report.status = ReportedStatus::Hold, Conflict::FinalStatus),
        (|report| report.status = ReportedStatus::Rejected, Conflict::FinalStatus),
        (|report| report.price = Some(Decimal::from(101)), Conflict::FinalPrice),
        (|report| report.click = click("c2"), Conflict::OtherClick),
        (|report| report.action = report.offer.spec.action("lead").unwrap().clone(), Conflict::OtherAction),
        (|report| Arc::make_mut(&mut report.offer).id = "winter".parse().unwrap(), Conflict::OtherOffer),
        (|report| report.customer = Some("2".into()), Conflict::OtherCustomer),
    ];
    let mut sale = None;
    let approved = Report { customer: Some("1".into()), ..report("sale", "approved", Some("100"), 1) };
    told(&mut sale, &approved).unwrap();
    let before = sale.clone().unwrap();
    for (number, (change, reason)) in (1..).zip(changes) {
        let mut other = Report { at: at(1 + number), ..approved.clone() };
        change(&mut other);
        assert_eq!(told(&mut sale, &other), Err(Some(reason)));
        let conflicts = u64::try_from(number).unwrap();
        assert_eq!(sale.as_ref(), Some(&ActionState { conflicts, changed_at: other.at, ..before.clone() }));
    }
}

#[test]
fn an_action_on_hold_keeps_its_click_too() {
    let mut lead = None;
    told(&mut lead, &report("lead", "hold", None, 1)).unwrap();
    let other = Report { click: click("c2"), ..report("lead", "approved", None, 2) };
    assert_eq!(told(&mut lead, &other), Err(Some(Conflict::OtherClick)));
    assert_eq!(lead.unwrap().state, Standing::Pending);
}

#[test]
fn an_event_carries_offer_click_and_extra_parameters() {
    let extra = [("Text1", "Kyiv"), ("Payout", "999"), ("items", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let report = Report { extra: extra.to_vec(), comment: Some("gift".into()), ..report("sale", "approved", Some("50"), 1) };
    let Decision::Changed { events, .. } = decide(None, &report) else { panic!() };
    let cleared = &events[2].data;
    let expected = json!({
        "CampaignId": "summer", "CampaignName": "Summer shop", "ActionTrackerName": "sale", "ActionType": "SALE", "MediaPartnerId": "acme",
        "ActionId": "00000000-0000-0000-0000-000000000007", "RequestId": "12345", "Status": "APPROVED", "StatusDetail": "approved",
        "Payout": "2.00", "DeltaPayout": "0.00", "IntendedPayout": "2.00", "Amount": "50", "DeltaAmount": "0", "IntendedAmount": "50",
        "Currency": "USD", "EventDate": at(1), "CreationDate": at(1), "LockingDate": at(1), "ClearedDate": at(1),
        "ReferringType": "CLICK_COOKIE", "RefCustomerCountry": "US", "RefClickId": "c1", "SubId1": "w8T", "SubId3": "banner",
        "Comment": "gift", "Text1": "Kyiv",
    });
    assert_eq!(serde_json::Value::Object(cleared.clone()), expected);
    for event in &events {
        assert!(event.data.keys().all(|name| is_ledger_field(name) || name == "Text1"));
        EventData::parse(&serde_json::to_string(&event.data).unwrap()).unwrap();
    }
}

fn fact(event_type: &str, occurred: i64, received: i64, data: serde_json::Value) -> ActionFact {
    let data = EventData::parse(&data.to_string()).unwrap();
    let times = (at(occurred), at(received));
    ActionFact::of(&"acme".parse().unwrap(), &event_type.parse().unwrap(), times, &data, "0a".into()).unwrap()
}

/// The action after these events: type, second of happening, data.
fn after(events: &[(&str, i64, serde_json::Value)]) -> ActionState {
    let mut state = None;
    for (number, (event_type, occurred, data)) in (1..).zip(events) {
        let mut data = data.clone();
        data["ActionId"] = "1000.1".into();
        state = Some(apply(state, &fact(event_type, *occurred, number, data), EventId::from_raw(u128::try_from(number).unwrap())));
    }
    state.unwrap()
}

fn shown(state: &ActionState) -> String {
    let text = |amount: Option<Decimal>| amount.map_or("-".into(), |amount| amount.to_string());
    format!("{} {} {} {}", state.state.as_str(), text(state.amount), text(state.payout), text(state.intended_payout))
}

#[test]
fn an_action_follows_the_events_of_a_platform() {
    let story = [
        ("action.tracked", 1, json!({"Amount": "21.99", "Payout": 0.88, "Currency": "USD", "RefClickId": "c9"}), "pending 21.99 0.88 0.88"),
        ("action.modified", 2, json!({"Amount": "16.990", "Payout": "0.68"}), "pending 16.990 0.68 0.88"),
        ("action.locked", 3, json!({}), "locked 16.990 0.68 0.88"),
        ("action.overdue", 4, json!({"StatusDetail": "OVERDUE"}), "locked 16.990 0.68 0.88"),
        ("action.cleared", 5, json!({"Payout": "about one"}), "cleared 16.990 0.68 0.88"),
        ("action.paid", 6, json!({"StatusDetail": "PAID"}), "paid 16.990 0.68 0.88"),
        ("action.reversed", 7, json!({"Amount": "-0.5"}), "reversed -0.5 0.00 0.88"),
        ("action.modified", 8, json!({"Payout": "1E1"}), "pending -0.5 10 0.88"),
    ];
    for end in 1..=story.len() {
        let events: Vec<_> = story[..end].iter().map(|(event_type, occurred, data, _)| (*event_type, *occurred, data.clone())).collect();
        assert_eq!(shown(&after(&events)), story[end - 1].3);
    }
    let all: Vec<_> = story.iter().map(|(event_type, occurred, data, _)| (*event_type, *occurred, data.clone())).collect();
    let state = after(&all);
    assert_eq!(
        (state.source, state.events.count, state.click.as_deref(), state.currency.as_deref()),
        (Source::Events, 8, Some("c9"), Some("USD"))
    );
    assert_eq!((state.created_at, state.changed_at, state.occurred_at, state.place.as_str()), (at(1), at(8), at(8), "0a"));
}

#[test]
fn an_event_of_before_is_in_the_story_and_changes_no_state() {
    let late =
        [("action.cleared", 9, json!({"Payout": "5"})), ("action.tracked", 1, json!({"Payout": "4"})), ("action.reversed", 8, json!({}))];
    let state = after(&late);
    assert_eq!((shown(&state), state.events.count), ("cleared - 5 5".into(), 3));
    assert_eq!(state.changed_at, at(3));
    // What happened at the same time is taken in order of acceptance.
    assert_eq!(after(&[("action.cleared", 9, json!({})), ("action.reversed", 9, json!({}))]).state, Standing::Reversed);
}

#[test]
fn what_is_about_no_action_has_no_row() {
    let of = |event_type: &str, data: serde_json::Value| {
        let data = EventData::parse(&data.to_string()).unwrap();
        ActionFact::of(&"acme".parse().unwrap(), &event_type.parse().unwrap(), (at(1), at(1)), &data, String::new())
    };
    assert!(of("action.tracked", json!({"ActionId": 7})).is_some());
    assert!(of("action.tracked", json!({"ActionId": "x".repeat(255)})).is_some());
    for (event_type, data) in [
        ("click.recorded", json!({"ActionId": "1"})),
        ("actions.tracked", json!({"ActionId": "1"})),
        ("action.tracked", json!({})),
        ("action.tracked", json!({"ActionId": ""})),
        ("action.tracked", json!({"ActionId": "x".repeat(256)})),
    ] {
        assert_eq!(of(event_type, data), None, "{event_type}");
    }
}

#[test]
fn a_report_goes_on_where_a_platform_began() {
    let events = [("action.tracked", 1, json!({"Amount": "100", "Payout": "3"}))];
    let mut sale = Some(after(&events));
    let expected = ["modified PENDING  50 -50 2.00 -1.00", "locked APPROVED sold 50 0 2.00 0.00", "cleared APPROVED sold 50 0 2.00 0.00"];
    assert_eq!(told(&mut sale, &report("sale", "sold", Some("50"), 2)).unwrap(), expected);
    let sale = sale.unwrap();
    assert_eq!((sale.source, sale.offer.unwrap().as_str(), sale.events.count), (Source::Events, "summer", 1));
    // And a platform that locked it has decided.
    let mut locked = Some(after(&[("action.locked", 1, json!({"Amount": "100"}))]));
    assert_eq!(told(&mut locked, &report("sale", "hold", None, 2)), Err(Some(Conflict::FinalStatus)));
    assert_eq!(told(&mut locked, &report("sale", "sold", Some("99"), 2)), Err(Some(Conflict::FinalPrice)));
    assert_eq!(told(&mut locked, &report("sale", "sold", None, 2)).unwrap(), ["cleared APPROVED sold 100 0 0 0"]);
}

#[test]
fn a_story_remembers_its_beginning_and_its_end() {
    let mut story = Story::default();
    (1..=100).map(EventId::from_raw).for_each(|event| story.add(event));
    let expected: Vec<_> = (1..=8).chain(45..=100).map(EventId::from_raw).collect();
    assert_eq!((story.count, story.events().collect::<Vec<_>>()), (100, expected));
}

#[test]
fn a_row_is_read_back_as_it_was_written() {
    let mut sale = None;
    told(&mut sale, &report("sale", "hold", Some("100.00"), 1)).unwrap();
    let mut sale = sale.unwrap();
    sale.events.add(EventId::from_raw(1 << 90));
    let text = serde_json::to_string(&sale).unwrap();
    assert_eq!(serde_json::from_str::<ActionState>(&text).unwrap(), sale);
    assert!(text.contains(r#""amount":"100.00","payout":"4.00""#), "{text}");
    let least = json!({
        "account": "a", "action_id": "1", "state": "pending", "source": "events", "created_at": at(1), "changed_at": at(1), "occurred_at": at(1),
        "events": {"count": 0, "first": []},
    });
    assert_eq!(serde_json::from_value::<ActionState>(least).unwrap().amount, None);
}

#[test]
fn documents_of_actions_are_apart_by_account_and_id() {
    let id = |account: &str, action: &str| action_document_id(&account.parse().unwrap(), action);
    // The first half of SHA-256 of the action id.
    assert_eq!(id("acme", "1000.1"), "acme/4be53f277163c0166c250559d9e799ac");
    assert_ne!(id("acme", "1"), id("acme", "2"));
}

/// What the advertiser may say next.
#[derive(Debug, Clone)]
struct Say {
    word: &'static str,
    cents: Option<u32>,
    other_click: bool,
    repeat: bool,
}

fn say() -> impl Strategy<Value = Say> {
    let word = prop_oneof![3 => Just("hold"), 1 => Just("processing"), 1 => Just("approved"), 1 => Just("rejected")];
    let cents = proptest::option::weighted(0.7, prop_oneof![Just(5_000u32), 0..1_000_000u32]);
    (word, cents, proptest::bool::weighted(0.1), proptest::bool::weighted(0.2)).prop_map(|(word, cents, other_click, repeat)| Say {
        word,
        cents,
        other_click,
        repeat,
    })
}

proptest! {
    #[test]
    fn deltas_add_up_and_an_action_has_one_end(action in prop_oneof![Just("lead"), Just("sale")], says in proptest::collection::vec(say(), 1..20)) {
        let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
        let mut present: Option<ActionState> = None;
        let mut ends = 0;
        for (second, say) in (1..).zip(says) {
            let cents = if present.is_none() { say.cents.or(Some(100)) } else { say.cents };
            let price = cents.map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
            let click = click(if say.other_click { "c2" } else { "c1" });
            let report = Report { click, ..report(action, say.word, price.as_deref(), second) };
            let before = present.clone();
            match decide(present.as_ref(), &report) {
                Decision::Changed { state, events } => {
                    prop_assert!(!events.is_empty());
                    prop_assert!(before.as_ref().is_none_or(|before| before.state == Standing::Pending), "a final action changed");
                    for event in &events {
                        for name in ["Amount", "Payout"] {
                            let value = |name: &str| event.data[name].as_str().unwrap().parse::<Decimal>().unwrap();
                            *sums.entry(name).or_default() += value(&format!("Delta{name}"));
                            prop_assert_eq!(sums[name], value(name), "{} after {:?}", name, event.step);
                        }
                    }
                    let last = events.last().unwrap();
                    prop_assert_eq!(last.data["Status"].as_str().unwrap(), state.state.status());
                    ends += usize::from(state.state != Standing::Pending);
                    prop_assert_eq!(events.iter().filter(|event| event.step == Step::Tracked).count(), usize::from(before.is_none()));
                    present = Some(*state);
                }
                Decision::Repeated => prop_assert!(before.is_some()),
                Decision::Conflicting { state, .. } => {
                    let before = before.as_ref().unwrap();
                    let same = ActionState { conflicts: before.conflicts, changed_at: before.changed_at, ..(*state).clone() };
                    prop_assert_eq!(&same, before, "a conflict changes nothing");
                    prop_assert_eq!(state.conflicts, before.conflicts + 1);
                    present = Some(*state);
                }
            }
            let state = present.as_ref().unwrap();
            prop_assert_eq!([state.amount, state.payout].map(Option::unwrap), [sums["Amount"], sums["Payout"]]);
            if say.repeat && before.as_ref().is_none_or(|before| before.conflicts == state.conflicts) {
                prop_assert_eq!(decide(Some(state), &report), Decision::Repeated, "the same again");
            }
        }
        prop_assert!(ends <= 1, "an action ended {ends} times");
    }
}
