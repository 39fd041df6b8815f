//! The way of a conversion: a click on a partner's link, the reports of the advertiser's server, the partner's postbacks.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::keys::{client_of, create};
use super::receiver::Receiver;
use super::server::Running;

/// Where the partner's tracker is called: what happened, with all that it needs.
const POSTBACK: &str = "/postback?e=action.{EventKind}&cid={SubId1}&s={Status}&w={StatusDetail}&p={Payout}&dp={DeltaPayout}&a={Amount}&da={DeltaAmount}&c={Currency}&id={ActionId}&r={RequestId}&x={RefClickId}";

/// A server with the advertiser `shop`, the partner `acme`, an offer of the shop and a key of it.
struct Shop {
    running: Running,
    /// The text of the inbound key.
    key: String,
    /// Without an API key.
    stranger: Client,
}

impl Shop {
    async fn open() -> Self {
        Self::with(json!({})).await
    }

    async fn with(patch: Value) -> Self {
        let running = Running::with(|settings| {
            settings.store = "memory:".into();
            settings.clicks_per_address_per_second = 200;
        })
        .await;
        assert_eq!(running.client.post("/v1/accounts", json!({"id": "shop", "name": "Shop", "kind": "brand"})).await.status, 201);
        let mut offer = json!({
            "id": "summer", "account": "shop", "name": "Summer shop", "landing_url": "https://shop.example/p?x={sub_id1}", "currency": "USD",
            "campaign_id": "4711",
            "actions": [
                {"name": "lead", "action_type": "LEAD", "rate": "30.00", "partner_percent": "80"},
                {"name": "sale", "action_type": "SALE", "model": "percent", "rate": "10", "partner_percent": "50"},
                {"name": "renewal", "action_type": "RECURRING", "model": "recurring", "rate": "20", "rate_type": "percent"},
            ],
        });
        for (name, value) in patch.as_object().unwrap() {
            offer[name] = value.clone();
        }
        let created = running.client.post("/v1/offers", offer).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let key = running.client.post("/v1/inbound-keys", json!({"account": "shop", "name": "server"})).await;
        assert_eq!(key.status, 201, "{}", key.body);
        let key = key.json()["key"].as_str().unwrap().to_owned();
        let stranger = Client { key: String::new(), ..running.client.clone() };
        Self { running, key, stranger }
    }

    /// Follows acme's link and answers with the id of the click.
    async fn click(&self, query: &str) -> String {
        let answer = self.stranger.get(&format!("/acme/c/summer?{query}")).await;
        assert_eq!(answer.status, 302, "{}", answer.body);
        let location = url::Url::parse(answer.header("location").unwrap()).unwrap();
        location.query_pairs().find(|(name, _)| name == "click_id").unwrap().1.into_owned()
    }

    async fn get(&self, query: &str) -> Answer {
        self.stranger.get(&format!("/{}/s2s?{query}", self.key)).await
    }

    async fn post(&self, body: Value) -> Answer {
        self.stranger.post(&format!("/{}/s2s", self.key), body).await
    }

    /// The newest entry of the incoming log.
    async fn newest_call(&self) -> Value {
        self.running.client.get("/v1/inbound-calls?account=shop&limit=1").await.json()["data"][0].clone()
    }

    /// A receiver to which acme's postbacks go, in order.
    async fn tracker(&self) -> Receiver {
        let tracker = Receiver::start().await;
        self.running.subscribe(&format!("http://{}{POSTBACK}", tracker.address), json!({"order": "action"})).await;
        tracker
    }
}

/// What arrived, each as the parameters that these names have.
fn told(arrived: &[super::receiver::Arrived], names: &[&str]) -> Vec<Vec<String>> {
    let of = |target: &str| {
        let url = url::Url::parse(&format!("http://tracker.example{target}")).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let value = |name: &&str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone()).unwrap_or_default();
        names.iter().map(value).collect()
    };
    arrived.iter().map(|arrived| of(&arrived.target)).collect()
}

fn success(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!((answer.status, &body["status"], &body["rejected_by_conflict"]), (200, &json!("success"), &json!(false)), "{}", answer.body);
    body["lead_id"].as_str().unwrap().to_owned()
}

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!((&body["status"], &body["rejected_by_conflict"]), (&json!("error"), &json!(false)), "{}", answer.body);
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", answer.body);
    (answer.status, body["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_lead_by_get_is_held_and_approved_and_the_partner_hears_of_both() {
    let shop = Shop::open().await;
    let tracker = shop.tracker().await;
    let click = shop.click("sub_id1=w8TnE3kQ5u2Lx0&sub_id2=news").await;
    let held = success(&shop.get(&format!("click_id={click}&request_id=12345&action=lead&price=30&status=hold")).await);
    let expected = postrider::inbound::lead_id(shop.key.parse().unwrap(), "12345").to_string();
    assert_eq!(held, expected, "the lead is the name-based UUID of key and request id");
    assert_eq!(success(&shop.get(&format!("click_id={click}&request_id=12345&action=lead&price=30&status=confirmed")).await), held);
    let arrived = tracker.wait_for(2).await;
    let names = ["e", "cid", "s", "w", "p", "dp", "a", "da", "c", "id", "r", "x"];
    let lead = held.as_str();
    assert_eq!(
        told(&arrived, &names),
        [
            ["action.tracked", "w8TnE3kQ5u2Lx0", "PENDING", "hold", "24.00", "24.00", "30", "30", "USD", lead, "12345", &click],
            ["action.cleared", "w8TnE3kQ5u2Lx0", "APPROVED", "confirmed", "24.00", "0.00", "30", "0", "USD", lead, "12345", &click],
        ]
    );
    // The incoming log has both, newest first, with what was answered and what came of it.
    let calls = shop.running.client.get("/v1/inbound-calls?account=shop").await.json()["data"].clone();
    assert_eq!((calls.as_array().unwrap().len(), &calls[0]["result"], &calls[0]["lead"]), (2, &json!("success"), &json!(held)));
    assert_eq!((&calls[1]["parameters"]["status"], &calls[1]["status"], &calls[1]["click"]), (&json!("hold"), &json!(200), &json!(click)));
    assert_eq!(calls[1]["reply"], json!({"rejected_by_conflict": false, "status": "success", "lead_id": held}));
    let event = shop.running.client.get(&format!("/v1/events/{}", calls[1]["events"][0].as_str().unwrap())).await.json();
    assert_eq!(
        (&event["account"], &event["type"], &event["data"]["CampaignId"]),
        (&json!("acme"), &json!("action.tracked"), &json!("4711"))
    );
}

#[tokio::test]
async fn a_lead_by_post_is_rejected_and_a_percentage_is_paid_by_its_price() {
    let shop = Shop::open().await;
    let tracker = shop.tracker().await;
    let click = shop.click("SubId1=a").await;
    let report = |status: &str| json!({"click_id": click, "request_id": "A-1", "action": "Lead", "price": 30, "status": status});
    let lead = success(&shop.post(report("new")).await);
    assert_eq!(success(&shop.post(report("canceled")).await), lead);
    tracker.wait_for(2).await;
    let sale = |price: &str, status: &str| {
        let body = format!(r#"{{"click_id":"{click}","request_id":"B-2","action":"sale","price":{price},"status":"{status}"}}"#);
        body
    };
    let post = async |body: String| {
        shop.stranger.send("POST", &format!("/{}/s2s", shop.key), &[("Content-Type", "application/json")], body.as_bytes()).await
    };
    success(&post(sale("199.90", "pending")).await);
    success(&post(sale("99.95", "pending")).await);
    success(&post(sale("99.95", "approved")).await);
    let arrived = tracker.wait_for(5).await;
    assert_eq!(
        told(&arrived, &["e", "s", "p", "dp", "a", "da"]),
        [
            ["action.tracked", "PENDING", "24.00", "24.00", "30", "30"],
            ["action.reversed", "REVERSED", "0.00", "-24.00", "0", "-30"],
            // A percentage of 10, of which the partner gets half, rounded to the even digit.
            ["action.tracked", "PENDING", "10.00", "10.00", "199.90", "199.90"],
            ["action.modified", "PENDING", "5.00", "-5.00", "99.95", "-99.95"],
            ["action.cleared", "APPROVED", "5.00", "0.00", "99.95", "0.00"],
        ]
    );
    // A form says the same as JSON, and the query counts where the body says nothing.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("request_id=C-3&action=sale&price=10&status=approved&click_id={click}");
    let target = format!("/{}/s2s?price=20&comment=by+form", shop.key);
    success(&shop.stranger.send("POST", &target, &form, body.as_bytes()).await);
    let arrived = tracker.wait_for(7).await;
    assert_eq!(told(&arrived[5..], &["e", "a", "p"]), [["action.tracked", "10", "0.50"], ["action.cleared", "10", "0.50"]]);
}

#[tokio::test]
async fn a_recurring_customer_pays_again_and_again_until_it_is_taken_away() {
    let shop = Shop::open().await;
    let tracker = shop.tracker().await;
    let click = shop.click("sub_id=r").await;
    let base = format!("click_id={click}&customer_id=7");
    let lead = |request: &str| format!("{base}&request_id={request}&action=renewal&status=approved");
    assert_eq!(refusal(&shop.get(&lead("1")).await), (422, "unknown_customer".into()));
    assert_eq!(refusal(&shop.get(&format!("{base}&status=activate")).await), (422, "missing_parameter".into()), "the rate is a percentage");
    let customer = success(&shop.get(&format!("{base}&status=activate&price=50")).await);
    assert_eq!(customer, postrider::inbound::lead_id(shop.key.parse().unwrap(), "customer:7").to_string());
    let leads = [success(&shop.get(&lead("1")).await), success(&shop.get(&lead("2")).await)];
    assert_ne!(leads[0], leads[1]);
    let arrived = tracker.wait_for(4).await;
    let mut paid = told(&arrived, &["r", "e", "p"]);
    paid.sort();
    assert_eq!(
        paid,
        [
            ["1", "action.cleared", "10.00"],
            ["1", "action.tracked", "10.00"],
            ["2", "action.cleared", "10.00"],
            ["2", "action.tracked", "10.00"]
        ]
    );
    let other = shop.click("").await;
    let conflict = shop.get(&format!("click_id={other}&customer_id=7&status=activate&price=50")).await;
    assert_eq!((conflict.status, &conflict.json()["code"]), (200, &json!("other_click")));
    let of_other = shop.get(&format!("click_id={other}&customer_id=7&request_id=3&action=renewal&status=new")).await;
    assert_eq!(refusal(&of_other), (422, "wrong_parameter".into()));
    assert_eq!(success(&shop.get(&format!("{base}&status=Deactivate")).await), customer);
    assert_eq!(refusal(&shop.get(&lead("3")).await), (422, "unknown_customer".into()));
}

#[tokio::test]
async fn a_repeat_is_no_new_event_and_a_contradiction_is_a_conflict() {
    let shop = Shop::open().await;
    let click = shop.click("").await;
    let approved = format!("click_id={click}&request_id=9&action=lead&status=paid");
    let lead = success(&shop.get(&approved).await);
    assert_eq!(success(&shop.get(&approved).await), lead);
    assert_eq!(shop.newest_call().await["result"], "repeated");
    let other_click = shop.click("").await;
    for (query, code) in [
        (approved.replace("paid", "rejected"), "final_status"),
        (approved.replace(&click, &other_click), "other_click"),
        (format!("click_id={click}&request_id=9&action=sale&price=5&status=paid"), "other_action"),
    ] {
        let answer = shop.get(&query).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["rejected_by_conflict"], &body["status"]),
            (200, &json!(true), &json!("error")),
            "{}",
            answer.body
        );
        assert_eq!((body["lead_id"].as_str(), body["code"].as_str()), (Some(lead.as_str()), Some(code)));
        let call = shop.newest_call().await;
        assert_eq!((&call["result"], &call["code"], &call["events"]), (&json!("conflict"), &json!(code), &json!([])));
    }
    let events = shop.running.client.get("/v1/events?account=acme").await.json();
    assert_eq!(events["data"].as_array().unwrap().len(), 2, "tracked and cleared, and nothing else");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_told_and_logged() {
    let shop = Shop::with(json!({
        "parameter_templates": [{"name": "place", "state": "active", "parameters": [{"name": "city", "required": true, "field": "Text1"}]}],
        "actions": [
            {"name": "lead", "rate": "30"},
            {"name": "sale", "model": "percent", "rate": "10"},
            {"name": "visit", "rate": "1", "template": "place"},
        ],
    }))
    .await;
    let click = shop.click("").await;
    let ok = format!("click_id={click}&request_id=1&action=lead&status=hold");
    let long = "x".repeat(300);
    let cases: [(String, u16, &str, &str); 18] = [
        (String::new(), 422, "missing_parameter", "click_id"),
        (ok.replace("request_id=1", "request_id="), 422, "missing_parameter", "request_id"),
        (ok.replace("&status=hold", ""), 422, "missing_parameter", "status"),
        (ok.replace("action=lead", "action=install"), 422, "unknown_action", "action"),
        (ok.replace("hold", "perhaps"), 422, "unknown_status", "status"),
        (ok.replace("hold", "activate&customer_id=1"), 422, "unknown_status", "status"),
        (ok.replace(&click, "{click_id}"), 404, "unknown_click", "click_id"),
        (ok.replace(&click, "00000000-0000-0000-0000-000000000000"), 404, "unknown_click", "click_id"),
        (ok.replace("lead", "sale"), 422, "missing_parameter", "price"),
        (ok.replace("lead", "sale&price=1,50"), 422, "wrong_parameter", "price"),
        (ok.replace("lead", "sale&price=-1"), 422, "wrong_parameter", "price"),
        (ok.replace("lead", "sale&price=1e3"), 422, "wrong_parameter", "price"),
        (ok.replace("lead", "visit"), 422, "missing_parameter", "city"),
        (format!("{ok}&offer_id=winter"), 422, "wrong_parameter", "offer_id"),
        (format!("{ok}&price=1&price=2"), 422, "wrong_parameter", "price"),
        (ok.replace("request_id=1", &format!("request_id={long}")), 422, "wrong_parameter", "request_id"),
        (ok.replace("request_id=1", "request_id=a%00b"), 422, "wrong_parameter", "request_id"),
        (ok.replace(&click, "..%2F..%2Fv1"), 404, "unknown_click", "click_id"),
    ];
    for (query, status, code, parameter) in &cases {
        let answer = shop.get(query).await;
        assert_eq!(refusal(&answer), (*status, (*code).to_owned()), "{query}: {}", answer.body);
        assert_eq!(answer.json()["errors"][0]["parameter"], *parameter, "{query}");
        let call = shop.newest_call().await;
        assert_eq!((&call["result"], &call["code"], &call["status"]), (&json!("error"), &json!(code), &json!(status)), "{query}");
    }
    let json_type = [("Content-Type", "application/json")];
    let target = format!("/{}/s2s", shop.key);
    for (headers, body, status, code) in [
        (&json_type[..], b"{".to_vec(), 422, "malformed_body"),
        (&json_type[..], b"[1]".to_vec(), 422, "malformed_body"),
        (&json_type[..], b"{\"click_id\":{\"a\":1}}".to_vec(), 422, "wrong_parameter"),
        (&json_type[..], b"{\"click_id\":\"\xff\"}".to_vec(), 422, "malformed_body"),
        (&[("Content-Type", "text/xml")][..], b"<a/>".to_vec(), 415, "unsupported_media_type"),
        (&json_type[..], vec![b' '; 70_000], 413, "body_too_large"),
    ] {
        let answer = shop.stranger.send("POST", &target, headers, &body).await;
        assert_eq!(refusal(&answer), (status, code.to_owned()), "{}", answer.body);
        assert_eq!(shop.newest_call().await["code"], code);
    }
    let events = shop.running.client.get("/v1/events").await.json();
    assert_eq!(events["data"], json!([]), "nothing came of any of it");
    // What the template asks for arrives in its field.
    success(&shop.get(&ok.replace("lead", "visit&city=K%C3%B6ln")).await);
    let event = shop.running.client.get("/v1/events?limit=1").await.json()["data"][0].clone();
    assert_eq!(event["data"]["Text1"], "Köln");
}

#[tokio::test]
async fn m1_an_unknown_key_is_not_found_and_seen_by_operators_alone() {
    let shop = Shop::open().await;
    let unknown = "11111111-2222-4333-8444-555555555555";
    let answer = shop.stranger.get(&format!("/{unknown}/s2s?click_id=1&request_id=2")).await;
    assert_eq!(refusal(&answer), (404, "unknown_key".into()));
    let seen = shop.running.client.get("/v1/inbound-calls?code=unknown_key").await;
    let calls = seen.json()["data"].clone();
    assert_eq!((calls.as_array().unwrap().len(), &calls[0]["account"]), (1, &Value::Null));
    assert!(!seen.body.contains(unknown), "a key is not logged, known or not");
    let id = calls[0]["id"].as_str().unwrap();
    assert_eq!(shop.running.client.get(&format!("/v1/inbound-calls/{id}")).await.status, 200);
    let holder = client_of(&shop.running, &create(&shop.running, json!({"name": "n", "scope": "account", "account": "shop"})).await);
    assert_eq!(holder.get("/v1/inbound-calls?code=unknown_key").await.json()["data"], json!([]));
    assert_eq!(holder.get(&format!("/v1/inbound-calls/{id}")).await.status, 404);
    // More than a few of them are counted and not written down.
    for _ in 0..40 {
        shop.stranger.get(&format!("/{unknown}/s2s?a=1")).await;
    }
    let kept = shop.running.client.get("/v1/inbound-calls?code=unknown_key&limit=200").await.json()["data"].as_array().unwrap().len();
    assert!((2..40).contains(&kept), "{kept} are kept");
    // A path that almost is one is not repeated with the key in it.
    let near = shop.stranger.get(&format!("/{}/s2z", shop.key)).await;
    assert!(near.status == 404 && !near.body.contains(&shop.key), "{}", near.body);
}

#[tokio::test]
async fn m2_a_key_is_kept_to_its_addresses_and_its_rate() {
    let shop = Shop::open().await;
    let key = async |more: Value| {
        let mut body = json!({"account": "shop", "name": "k", "offer": "summer"});
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        shop.running.client.post("/v1/inbound-keys", body).await.json()["key"].as_str().unwrap().to_owned()
    };
    let elsewhere = key(json!({"addresses": ["203.0.113.0/24"]})).await;
    let answer = shop.stranger.get(&format!("/{elsewhere}/s2s?click_id=1")).await;
    assert_eq!(refusal(&answer), (403, "address_not_allowed".into()));
    assert_eq!(shop.newest_call().await["code"], "address_not_allowed");
    let here = key(json!({"addresses": ["127.0.0.1", "203.0.113.0/24"], "per_second": 2})).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let answer = shop.stranger.get(&format!("/{here}/s2s?click_id=1")).await;
        if answer.status == 429 {
            assert_eq!(refusal(&answer).1, "too_many_requests");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        statuses.push(answer.status);
    }
    assert!(statuses.contains(&422) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(shop.get("click_id=1").await.status, 422, "another key is not concerned");
}

#[tokio::test]
async fn m3_a_rotated_key_leads_to_the_same_lead_and_the_old_one_ends() {
    let shop = Shop::open().await;
    let click = shop.click("").await;
    let report = format!("click_id={click}&request_id=77&action=lead&status=hold");
    let lead = success(&shop.get(&report).await);
    let id = shop.running.client.get("/v1/inbound-keys?account=shop").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let rotated = shop.running.client.post(&format!("/v1/inbound-keys/{id}/rotate"), json!({"overlap_s": 0})).await;
    assert_eq!(rotated.status, 201, "{}", rotated.body);
    let new = rotated.json()["key"].as_str().unwrap().to_owned();
    assert_ne!(new, shop.key);
    let again = shop.stranger.get(&format!("/{new}/s2s?{report}")).await;
    assert_eq!(success(&again), lead);
    assert_eq!(shop.newest_call().await["result"], "repeated");
    assert_eq!(refusal(&shop.get(&report).await), (404, "unknown_key".into()));
    // After both keys are gone a new one still makes the same lead.
    for key in shop.running.client.get("/v1/inbound-keys?account=shop").await.json()["data"].as_array().unwrap() {
        let path = format!("/v1/inbound-keys/{}", key["id"].as_str().unwrap());
        assert_eq!(shop.running.client.send("DELETE", &path, &[], b"").await.status, 204);
    }
    let third = shop.running.client.post("/v1/inbound-keys", json!({"account": "shop", "name": "third"})).await.json();
    let again = shop.stranger.get(&format!("/{}/s2s?{report}", third["key"].as_str().unwrap())).await;
    assert_eq!(success(&again), lead);
}

#[tokio::test]
async fn m4_a_key_is_shown_to_those_who_may_change_it() {
    let shop = Shop::open().await;
    let key = async |scope: &str, account: Value| {
        client_of(&shop.running, &create(&shop.running, json!({"name": "n", "scope": scope, "account": account})).await)
    };
    let (own, reads, other) = (key("account", json!("shop")).await, key("read", json!("shop")).await, key("account", json!("acme")).await);
    let id = own.get("/v1/inbound-keys").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    for path in ["/v1/inbound-keys".to_owned(), format!("/v1/inbound-keys/{id}"), "/v1/offers/summer/codes".to_owned()] {
        let shown = own.get(&path).await;
        assert!(shown.status == 200 && shown.body.contains(&shop.key), "{path}: {}", shown.body);
        assert_eq!(shown.header("cache-control"), Some("no-store"), "{path}");
        let hidden = reads.get(&path).await;
        assert!(hidden.status == 200 && !hidden.body.contains(&shop.key), "{path}: {}", hidden.body);
        assert!(!other.get(&path).await.body.contains(&shop.key), "{path}");
    }
}

#[tokio::test]
async fn m5_the_key_is_in_no_log_list_export_or_metric() {
    let shop = Shop::open().await;
    let click = shop.click("").await;
    // Whoever writes the key into a parameter does not write it into the log.
    let report = format!("click_id={click}&request_id=5&action=lead&status=hold&comment={}&key={}", shop.key.to_uppercase(), shop.key);
    success(&shop.get(&report).await);
    shop.get(&format!("click_id={}", shop.key)).await;
    shop.stranger.get(&format!("/{}/px.gif?click_id=1", shop.key)).await;
    shop.stranger.send("PUT", &format!("/{}/s2s", shop.key), &[], b"").await;
    for path in ["/v1/inbound-calls", "/v1/audit?limit=200", "/v1/export", "/metrics", "/v1/clicks", "/v1/accounts"] {
        let shown = shop.running.client.get(path).await;
        assert_eq!(shown.status, 200, "{path}");
        assert!(!shown.body.to_ascii_lowercase().contains(&shop.key), "{path}: {}", shown.body);
    }
    let metrics = shop.running.client.get("/metrics").await.body;
    assert!(metrics.contains("postrider_inbound_calls_total{result=\"success\"} 1"), "{metrics}");
    assert!(metrics.contains("postrider_clicks_total{result=\"recorded\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_pixel_and_a_frame_report_too_and_are_always_answered() {
    let shop = Shop::open().await;
    let click = shop.click("").await;
    let report = format!("click_id={click}&request_id=px-1&action=lead&status=hold");
    let pixel = shop.stranger.get(&format!("/{}/px.gif?{report}", shop.key)).await;
    assert_eq!((pixel.status, pixel.header("content-type"), pixel.header("x-postrider-result")), (200, Some("image/gif"), Some("success")));
    assert!(pixel.body.starts_with("GIF89a"));
    let frame = shop.stranger.get(&format!("/{}/frame?{report}", shop.key)).await;
    assert_eq!((frame.status, frame.header("x-postrider-result")), (200, Some("repeated")));
    assert!(frame.body.contains("<!doctype html>") && !frame.body.contains("<script"));
    assert!(frame.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let wrong = shop.stranger.get(&format!("/{}/px.gif?click_id=none", shop.key)).await;
    assert_eq!((wrong.status, wrong.header("x-postrider-result")), (200, Some("error; missing_parameter")));
    let unknown = shop.stranger.get("/11111111-2222-4333-8444-555555555555/px.gif").await;
    assert_eq!((unknown.status, unknown.header("x-postrider-result")), (200, Some("error; unknown_key")));
    let calls = shop.running.client.get("/v1/inbound-calls?account=shop&request_id=px-1").await.json()["data"].clone();
    assert_eq!((&calls[0]["kind"], &calls[1]["kind"], &calls[1]["address"]), (&json!("frame"), &json!("pixel"), &json!("127.0.0.0")));
}

#[tokio::test]
async fn m6_a_link_leads_to_the_offers_host_and_nowhere_else() {
    let shop = Shop::open().await;
    for value in ["https://evil.example/", "//evil.example", "%0d%0aLocation:%20https://evil.example", "@evil.example", "\\evil.example"] {
        for name in ["sub_id1", "url", "redirect", "landing_url", "campaign_id"] {
            let answer = shop.stranger.get(&format!("/acme/c/summer?{name}={value}")).await;
            let location = answer.header("location").unwrap_or_else(|| panic!("{value}: {} {}", answer.status, answer.body));
            assert!(answer.status == 302 && location.starts_with("https://shop.example/p?x="), "{location}");
        }
    }
    let answer = shop.stranger.get("/acme/c/summer").await;
    assert_eq!((answer.header("cache-control"), answer.header("referrer-policy")), (Some("no-store"), Some("no-referrer-when-downgrade")));
    for path in ["/nobody/c/summer", "/acme/c/winter", "/a%20b/c/summer", "/acme/c/%2e%2e"] {
        assert_eq!(shop.stranger.get(path).await.status, 404, "{path}");
    }
    let clicks = async || shop.running.client.get("/v1/clicks?limit=200").await.json()["data"].as_array().unwrap().len();
    let before = clicks().await;
    for headers in [[("Sec-Purpose", "prefetch;prerender")], [("Purpose", "prefetch")], [("X-Moz", "prefetch")]] {
        assert_eq!(shop.stranger.send("GET", "/acme/c/summer", &headers, b"").await.status, 204);
    }
    assert_eq!(shop.stranger.send("HEAD", "/acme/c/summer", &[], b"").await.status, 204);
    assert_eq!(clicks().await, before, "nobody has followed the link");
    assert_eq!(shop.running.client.send("PATCH", "/v1/offers/summer", &[], br#"{"partners": ["other"]}"#).await.status, 200);
    assert_eq!(shop.stranger.get("/acme/c/summer").await.status, 404, "acme is not among the partners");
    assert_eq!(shop.running.client.send("PATCH", "/v1/offers/summer", &[], br#"{"partners": "all", "state": "paused"}"#).await.status, 200);
    assert_eq!(shop.stranger.get("/acme/c/summer").await.status, 404, "the offer is paused");
}

#[tokio::test]
async fn m7_a_click_keeps_of_a_visitor_what_the_offer_says_and_belongs_to_its_partner() {
    let shop = Shop::open().await;
    let headers = [("User-Agent", "Browser/1"), ("Referer", "https://blog.example/review?secret=1"), ("CF-IPCountry", "XX")];
    let answer = shop.stranger.send("GET", "/acme/c/summer?sub_id1=own&shared_id=both", &headers, b"").await;
    assert_eq!(answer.status, 302);
    let partner = client_of(&shop.running, &create(&shop.running, json!({"name": "n", "scope": "account", "account": "acme"})).await);
    let advertiser = client_of(&shop.running, &create(&shop.running, json!({"name": "n", "scope": "account", "account": "shop"})).await);
    shop.running.client.post("/v1/accounts", json!({"id": "rival"})).await;
    let rival = client_of(&shop.running, &create(&shop.running, json!({"name": "n", "scope": "account", "account": "rival"})).await);
    let click = partner.get("/v1/clicks").await.json()["data"][0].clone();
    assert_eq!(
        (&click["ip"], &click["user_agent"], &click["referring_domain"]),
        (&json!("127.0.0.0"), &json!("Browser/1"), &json!("blog.example"))
    );
    assert_eq!((&click["country"], &click["sub_id1"]), (&Value::Null, &json!("own")), "no proxy is trusted to say where a visitor is");
    let seen = advertiser.get("/v1/clicks").await.json()["data"][0].clone();
    assert_eq!(
        (&seen["id"], &seen["shared_id"], &seen["sub_id1"], &seen["landing_url"]),
        (&click["id"], &json!("both"), &Value::Null, &Value::Null)
    );
    assert_eq!(rival.get("/v1/clicks").await.json()["data"], json!([]));
    let path = format!("/v1/clicks/{}", click["id"].as_str().unwrap());
    assert_eq!((partner.get(&path).await.status, advertiser.get(&path).await.status, rival.get(&path).await.status), (200, 200, 404));
    let patch = br#"{"privacy": {"ip": "none", "user_agent": false}}"#;
    assert_eq!(shop.running.client.send("PATCH", "/v1/offers/summer", &[], patch).await.status, 200);
    shop.stranger.send("GET", "/acme/c/summer", &headers, b"").await;
    let click = partner.get("/v1/clicks?limit=1").await.json()["data"][0].clone();
    assert_eq!((&click["ip"], &click["user_agent"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn what_names_nothing_that_is_there_is_refused_by_its_field() {
    let shop = Shop::open().await;
    let client = &shop.running.client;
    let code = |answer: &Answer| (answer.status, answer.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned());
    let key = client.post("/v1/inbound-keys", json!({"account": "shop", "name": "k", "offer": "winter"})).await;
    assert_eq!(code(&key), (422, "unknown_offer".into()));
    let click = client.post("/v1/clicks", json!({"account": "acme", "offer": "winter"})).await;
    assert_eq!(code(&click), (422, "unknown_offer".into()));
    let run = client.post("/v1/offers/summer/test-runs", json!({"partner": "nobody", "action": "lead"})).await;
    assert_eq!(code(&run), (422, "unknown_partner".into()));
    let run = client.post("/v1/offers/summer/test-runs", json!({"partner": "acme", "action": "install"})).await;
    assert_eq!(code(&run), (422, "unknown_action".into()));
    let moved = client.send("PATCH", "/v1/offers/summer", &[], br#"{"account": "acme"}"#).await;
    assert_eq!(code(&moved), (422, "account_changed".into()));
    let stale = client.send("PATCH", "/v1/offers/summer", &[("If-Match", "\"7\"")], b"{}").await;
    assert_eq!((stale.status, &stale.json()["code"]), (412, &json!("version_mismatch")));
    let wrong = client.send("PATCH", "/v1/offers/summer", &[], br#"{"landing_url": "https://{ip}/"}"#).await;
    assert_eq!(code(&wrong), (422, "bad_url".into()));
}

#[tokio::test]
async fn a_deleted_advertiser_leaves_no_offer_key_or_report() {
    let shop = Shop::open().await;
    shop.get("click_id=1").await;
    assert_eq!(shop.running.client.send("DELETE", "/v1/accounts/shop", &[], b"").await.status, 202);
    assert_eq!(refusal(&shop.get("click_id=1").await), (404, "unknown_key".into()));
    assert_eq!(shop.running.client.get("/v1/offers").await.json()["data"], json!([]));
    assert_eq!(shop.stranger.get("/acme/c/summer").await.status, 404);
    for _ in 0..600 {
        if shop.running.client.get("/v1/accounts/shop").await.status == 404 {
            let export = shop.running.client.get("/v1/export").await.body;
            assert!(!export.contains("shop/inc_") && !export.contains("leads/shop"), "{export}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the account is still there");
}

#[tokio::test]
async fn m8_one_address_makes_no_more_clicks_than_the_settings_say() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.clicks_per_address_per_second = 3;
    })
    .await;
    let offer = json!({"id": "o", "account": "acme", "name": "n", "landing_url": "https://shop.example/", "currency": "USD",
        "actions": [{"name": "lead", "rate": "1"}]});
    assert_eq!(running.client.post("/v1/offers", offer).await.status, 201);
    let mut refused = 0;
    for _ in 0..12 {
        let answer = running.client.get("/acme/c/o").await;
        if answer.status == 429 {
            assert_eq!((&answer.json()["code"], answer.header("retry-after")), (&json!("too_many_clicks"), Some("1")));
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_click_is_an_event_for_those_who_want_it() {
    let shop = Shop::open().await;
    shop.click("sub_id1=before").await;
    assert_eq!(shop.running.client.get("/v1/events").await.json()["data"], json!([]), "nobody asked for clicks");
    let tracker = Receiver::start().await;
    let url = format!("http://{}/c?id={{ClickId}}&s={{SubId1}}&l={{LandingPageUrl}}", tracker.address);
    shop.running.subscribe(&url, json!({"event_types": ["click.recorded"]})).await;
    let click = shop.click("sub_id1=after").await;
    let arrived = tracker.wait_for(1).await;
    let landing = format!("https://shop.example/p?x=after&click_id={click}");
    assert_eq!(told(&arrived, &["id", "s", "l"]), [[click.as_str(), "after", landing.as_str()]]);
    // A redirector of one's own makes clicks, too.
    let made = shop.running.client.post("/v1/clicks", json!({"account": "acme", "offer": "summer", "sub_id1": "api"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    assert!(made["landing_url"].as_str().unwrap().ends_with(&format!("?x=api&click_id={}", made["click_id"].as_str().unwrap())));
    tracker.wait_for(2).await;
}

#[tokio::test]
async fn a_click_that_was_not_recorded_counts_for_the_offers_account_if_that_is_wanted() {
    let shop = Shop::with(json!({"unknown_clicks": "accept"})).await;
    let report = "click_id=foreign-1&request_id=1&action=lead&status=new";
    assert_eq!(refusal(&shop.get(report).await), (404, "unknown_click".into()), "of which offer is not told");
    success(&shop.get(&format!("{report}&offer_id=summer")).await);
    let event = shop.running.client.get("/v1/events?limit=1").await.json()["data"][0].clone();
    assert_eq!((&event["account"], &event["data"]["RefClickId"]), (&json!("shop"), &json!("foreign-1")));
}

#[tokio::test]
async fn a_paused_offer_takes_no_new_action_and_decides_those_it_has() {
    let shop = Shop::open().await;
    let click = shop.click("").await;
    success(&shop.get(&format!("click_id={click}&request_id=1&action=lead&status=hold")).await);
    assert_eq!(shop.running.client.send("PATCH", "/v1/offers/summer", &[], br#"{"state": "paused"}"#).await.status, 200);
    let new = shop.get(&format!("click_id={click}&request_id=2&action=lead&status=hold")).await;
    assert_eq!(refusal(&new), (422, "offer_paused".into()));
    success(&shop.get(&format!("click_id={click}&request_id=1&action=lead&status=paid")).await);
}

#[tokio::test]
async fn codes_are_ready_to_be_copied_and_work_when_their_braces_are_filled() {
    let shop = Shop::open().await;
    let codes = shop.running.client.get("/v1/offers/summer/codes?partner=acme").await;
    assert_eq!(codes.status, 200, "{}", codes.body);
    let codes = codes.json();
    assert_eq!(codes["click_parameter"], "click_id");
    let path_of =
        |address: &str| url::Url::parse(address).map(|url| format!("{}?{}", url.path(), url.query().unwrap_or_default())).unwrap();
    let link = codes["link"].as_str().unwrap();
    let answer = shop.stranger.get(&path_of(link)).await;
    let location = url::Url::parse(answer.header("location").unwrap()).unwrap();
    let click = location.query_pairs().find(|(name, _)| name == "click_id").unwrap().1.into_owned();
    let fill = |code: &str, request: &str| {
        code.replace("{click_id}", &click)
            .replace("{request_id}", request)
            .replace("{status}", "new")
            .replace("{price}", "50")
            .replace("{customer_id}", "7")
    };
    for (index, action) in codes["actions"].as_array().unwrap().iter().enumerate() {
        if let Some(activate) = action["activate"].as_str() {
            success(&shop.stranger.get(&path_of(&fill(activate, ""))).await);
        }
        success(&shop.stranger.get(&path_of(&fill(action["get"].as_str().unwrap(), &format!("get-{index}")))).await);
        let body = fill(&action["post_body"].to_string(), &format!("post-{index}"));
        success(&shop.stranger.post(&path_of(action["post_url"].as_str().unwrap()), body).await);
        let pixel = fill(action["pixel"].as_str().unwrap(), &format!("px-{index}")).replace("&amp;", "&");
        let source = pixel.split('"').nth(1).unwrap();
        assert_eq!(shop.stranger.get(&path_of(source)).await.header("x-postrider-result"), Some("success"), "{source}");
        if let Some(deactivate) = action["deactivate"].as_str() {
            success(&shop.stranger.get(&path_of(&fill(deactivate, ""))).await);
        }
    }
}

/// The steps of a run as name and state.
fn steps(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    run["steps"].as_array().unwrap().iter().map(|step| (text(&step["name"]), text(&step["state"]))).collect()
}

fn states(run: &Value) -> Vec<String> {
    steps(run).into_iter().map(|(_, state)| state).collect()
}

#[tokio::test]
async fn a_test_run_walks_one_lead_from_the_click_to_the_postback() {
    let shop = Shop::open().await;
    let started = shop.running.client.post("/v1/offers/summer/test-runs", json!({"partner": "acme", "action": "lead"})).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let run = started.json();
    let path = format!("/v1/test-runs/{}", run["id"].as_str().unwrap());
    let early = shop.running.client.post(&format!("{path}/report"), json!({"status": "new"})).await;
    assert_eq!((early.status, &early.json()["code"]), (409, &json!("test_run_not_ready")));
    let names = ["link_opened", "report_received", "lead_recorded", "event_emitted", "postback_delivered", "status_changed"];
    assert_eq!(steps(&run).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert_eq!(states(&run), ["waiting"; 6]);
    let link = url::Url::parse(run["link"].as_str().unwrap()).unwrap();
    assert_eq!(shop.stranger.get(&format!("{}?{}", link.path(), link.query().unwrap())).await.status, 302);
    // The advertiser's own server gets it wrong first, and the run says in what.
    let run = shop.running.client.get(&path).await.json();
    let click = run["click"].as_str().unwrap().to_owned();
    shop.get(&format!("click_id={click}&request_id=1&action=leed&status=new")).await;
    let run = shop.running.client.get(&path).await.json();
    assert_eq!(states(&run)[..2], ["passed", "failed"]);
    assert!(run["steps"][1]["detail"].as_str().unwrap().contains("unknown_action"), "{run}");
    let run = shop.running.client.post(&format!("{path}/report"), json!({"status": "new"})).await.json();
    assert_eq!(states(&run), ["passed", "passed", "passed", "passed", "failed", "waiting"], "acme has no subscription");
    assert!(run["steps"][4]["detail"].as_str().unwrap().contains("create one"), "{run}");
    let wrong = shop.running.client.post(&format!("{path}/report"), json!({"status": "perhaps"})).await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["code"]), (422, &json!("unknown_status")));
    let finished = shop.running.client.post(&format!("{path}/finish"), "").await.json();
    assert_eq!(states(&finished), ["passed", "passed", "passed", "passed", "failed", "passed"], "{finished}");
    let action = shop.running.client.get("/v1/events?account=acme&limit=1").await.json()["data"][0].clone();
    assert_eq!(action["type"], "action.reversed", "nothing of a test is paid");
    assert_eq!(shop.running.client.post(&format!("{path}/report"), json!({"status": "new"})).await.status, 409);
}

#[tokio::test]
async fn a_test_run_sees_the_postback_arrive() {
    let shop = Shop::open().await;
    let tracker = shop.tracker().await;
    let started =
        shop.running.client.post("/v1/offers/summer/test-runs", json!({"partner": "acme", "action": "sale", "price": "50"})).await;
    let run = started.json();
    let path = format!("/v1/test-runs/{}", run["id"].as_str().unwrap());
    let link = url::Url::parse(run["link"].as_str().unwrap()).unwrap();
    shop.stranger.get(&format!("{}?{}&sub_id1=t", link.path(), link.query().unwrap())).await;
    shop.running.client.post(&format!("{path}/report"), json!({"status": "new"})).await;
    shop.running.client.post(&format!("{path}/report"), json!({"status": "approved"})).await;
    let arrived = tracker.wait_for(2).await;
    assert_eq!(told(&arrived, &["e", "cid", "p"]), [["action.tracked", "t", "2.50"], ["action.cleared", "t", "2.50"]]);
    let mut run = Value::Null;
    for _ in 0..600 {
        run = shop.running.client.get(&path).await.json();
        if states(&run) == ["passed"; 6] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{run}");
}

#[tokio::test]
async fn a_chain_of_three_systems_agrees_on_one_click() {
    // The network: offers, clicks and the partner's postbacks.
    let network = Shop::open().await;
    let tracker = network.tracker().await;
    let click = network.click("sub_id1=tracker-click-1").await;
    // The advertiser: its own server, which reports with the preset for HOQU.
    let advertiser = Running::start().await;
    let preset = advertiser.client.get("/v1/presets/hoqu-get").await.json()["subscription"].clone();
    let template = preset["request"]["url"].as_str().unwrap();
    let url = template
        .replace("https://TRACKER_DOMAIN", &format!("http://{}", network.running.client.address))
        .replace("API_KEY", &network.key)
        .replace("ACTION_NAME", "sale");
    let rules = json!({"success_response": preset["success_response"], "error_response": preset["error_response"], "order": "action"});
    let subscription = advertiser.subscribe(&url, rules).await;
    let subscription = subscription["id"].as_str().unwrap();
    for (event_type, status) in [("action.tracked", "PENDING"), ("action.cleared", "APPROVED")] {
        let data = json!({"ActionId": "order-1", "SubId1": click, "Amount": "199.90", "Status": status});
        let event = json!({"account": "acme", "type": event_type, "data": data});
        assert_eq!(advertiser.client.post("/v1/events", event).await.status, 202);
    }
    // The partner's tracker.
    let arrived = tracker.wait_for(2).await;
    let told = told(&arrived, &["e", "cid", "x", "r", "p"]);
    assert_eq!(
        told,
        [
            ["action.tracked", "tracker-click-1", &click, "order-1", "10.00"],
            ["action.cleared", "tracker-click-1", &click, "order-1", "10.00"]
        ]
    );
    // All three logs tell the same: what the advertiser sent and was answered, what the network took and sent, what arrived.
    advertiser.wait_for_state(subscription, "delivered", 2).await;
    let calls = network.running.client.get(&format!("/v1/inbound-calls?account=shop&click={click}")).await.json()["data"].clone();
    let calls: Vec<Value> = calls.as_array().unwrap().iter().rev().cloned().collect();
    let deliveries = advertiser.client.get(&format!("/v1/deliveries?subscription={subscription}")).await.json()["data"].clone();
    let deliveries: Vec<Value> = deliveries.as_array().unwrap().iter().rev().cloned().collect();
    assert_eq!((calls.len(), deliveries.len()), (2, 2));
    let mut partner_events = Vec::new();
    for (call, delivery) in calls.iter().zip(&deliveries) {
        let sent = advertiser.attempts(delivery["id"].as_str().unwrap(), 1).await["attempt_log"][0].clone();
        let answered: Value = serde_json::from_str(sent["response"]["body"].as_str().unwrap()).unwrap();
        assert_eq!((&answered, &call["lead"]), (&call["reply"], &answered["lead_id"]));
        let sent = url::Url::parse(sent["request"]["url"].as_str().unwrap()).unwrap();
        let status = sent.query_pairs().find(|(name, _)| name == "status").unwrap().1.into_owned();
        assert_eq!(call["parameters"]["status"], status);
        partner_events.extend(call["events"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    for (event, told) in partner_events.iter().zip(&told) {
        let event = network.running.client.get(&format!("/v1/events/{event}")).await.json();
        assert_eq!((&event["type"], &event["data"]["RefClickId"]), (&json!(told[0]), &json!(click)));
    }
    let action = network.running.client.get("/v1/inbound-calls?limit=1").await.json()["data"][0]["lead"].clone();
    assert_eq!(action, calls[0]["lead"]);
}
