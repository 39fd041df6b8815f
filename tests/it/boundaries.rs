//! Who may do what: every call with every kind of key, and nothing of one account for another.
//!
//! The table of cases is compared with the router's own, so that a call which is added without a case
//! fails here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use postrider::api::calls;
use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::keys::{client_of, create};
use super::server::Running;

/// What the part of a path in braces stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Thing {
    Nothing,
    Account,
    Subscription,
    Event,
    Delivery,
    Key,
    EventType,
    Preset,
    FreshAccount,
    Replay,
    Action,
    Offer,
    InboundKey,
    Click,
    InboundCall,
    TestRun,
    Link,
}

/// To whom a call answers what.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// Everybody, also without a key.
    Open,
    /// Every valid key; lists hold what the key may see.
    Anybody,
    /// Whoever sees the object; to others it is not found. Reading keys only read.
    Object,
    /// As `Object`, with the account in the body.
    Body,
    /// Every valid key, whatever the method: the call changes and sends nothing.
    Pure,
    /// As `Pure`, with the account in the body.
    PureBody,
    /// Operators only.
    Operator,
}

/// Numbers names that must not come twice.
static FRESH: AtomicUsize = AtomicUsize::new(0);

struct Case {
    method: &'static str,
    path: &'static str,
    thing: Thing,
    rule: Rule,
    status: u16,
    body: &'static str,
}

const fn case(method: &'static str, path: &'static str, thing: Thing, rule: Rule, status: u16, body: &'static str) -> Case {
    Case { method, path, thing, rule, status, body }
}

const SPEC: &str = r#"{"account":"acme","name":"n","event_types":["action.*"],"request":{"url":"http://127.0.0.1:9/?i={ActionId}"}}"#;
const OFFER: &str = r#"{"id":"fixed","account":"acme","name":"n","landing_url":"https://shop.example/","currency":"USD","actions":[{"name":"lead","rate":"1"}]}"#;
const EVENT: &str = r#"{"account":"acme","type":"action.tracked","data":{"ActionId":"1"}}"#;
const CHECK: &str = r#"{"format":"raw","template":"{ActionId}","account":"acme"}"#;
const RENDER: &str = r#"{"format":"raw","template":"{ActionId}","account":"acme","event_type":"action.tracked"}"#;
const DRAFT: &str =
    r#"{"subscription":{"account":"acme","name":"n","event_types":["action.*"],"request":{"url":"http://127.0.0.1:9/?i={ActionId}"}}}"#;

fn cases() -> Vec<Case> {
    use Rule::{Anybody, Body, Object, Open, Operator, Pure, PureBody};
    vec![
        case("GET", "/healthz", Thing::Nothing, Open, 200, ""),
        case("GET", "/readyz", Thing::Nothing, Open, 200, ""),
        case("GET", "/openapi.json", Thing::Nothing, Open, 200, ""),
        case("GET", "/docs", Thing::Nothing, Open, 200, ""),
        case("GET", "/metrics", Thing::Nothing, Open, 200, ""),
        case("GET", "/v1/me", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/keys", Thing::Nothing, Operator, 200, ""),
        case("GET", "/v1/nodes", Thing::Nothing, Operator, 200, ""),
        case("POST", "/v1/keys", Thing::Nothing, Operator, 201, r#"{"name":"n","scope":"read"}"#),
        case("GET", "/v1/keys/{id}", Thing::Key, Operator, 200, ""),
        case("DELETE", "/v1/keys/{id}", Thing::Key, Operator, 204, ""),
        case("POST", "/v1/keys/{id}/rotate", Thing::Key, Operator, 201, ""),
        case("GET", "/v1/audit", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/accounts", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/accounts", Thing::Nothing, Operator, 409, r#"{"id":"acme"}"#),
        case("GET", "/v1/accounts/{id}", Thing::Account, Object, 200, ""),
        case("PATCH", "/v1/accounts/{id}", Thing::Account, Operator, 200, r#"{"name":"m"}"#),
        case("DELETE", "/v1/accounts/{id}", Thing::FreshAccount, Operator, 202, ""),
        case("GET", "/v1/addresses", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/export", Thing::Nothing, Operator, 200, ""),
        case("GET", "/v1/offers", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/offers", Thing::Nothing, Body, 409, OFFER),
        case("GET", "/v1/offers/{id}", Thing::Offer, Object, 200, ""),
        case("PUT", "/v1/offers/{id}", Thing::Offer, Object, 200, OFFER),
        case("PATCH", "/v1/offers/{id}", Thing::Offer, Object, 200, r#"{"name":"m"}"#),
        case("DELETE", "/v1/offers/{id}", Thing::Offer, Object, 204, ""),
        case("GET", "/v1/offers/{id}/codes", Thing::Offer, Object, 200, ""),
        case("POST", "/v1/offers/{id}/test-runs", Thing::Offer, Object, 201, r#"{"partner":"acme","action":"lead"}"#),
        case("GET", "/v1/test-runs/{id}", Thing::TestRun, Object, 200, ""),
        case("POST", "/v1/test-runs/{id}/report", Thing::TestRun, Object, 409, r#"{"status":"new"}"#),
        case("POST", "/v1/test-runs/{id}/finish", Thing::TestRun, Object, 200, ""),
        case("GET", "/v1/inbound-keys", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/inbound-keys", Thing::Nothing, Body, 201, r#"{"account":"acme","name":"n"}"#),
        case("GET", "/v1/inbound-keys/{id}", Thing::InboundKey, Object, 200, ""),
        case("DELETE", "/v1/inbound-keys/{id}", Thing::InboundKey, Object, 204, ""),
        case("POST", "/v1/inbound-keys/{id}/rotate", Thing::InboundKey, Object, 201, ""),
        case("GET", "/v1/clicks", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/clicks", Thing::Nothing, Body, 201, r#"{"account":"acme","offer":"fixed"}"#),
        case("GET", "/v1/clicks/{id}", Thing::Click, Object, 200, ""),
        case("GET", "/v1/inbound-calls", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/inbound-calls/{id}", Thing::InboundCall, Object, 200, ""),
        case("GET", "/{account}/c/{offer}", Thing::Link, Open, 404, ""),
        case("GET", "/{key}/s2s", Thing::Link, Open, 404, ""),
        case("POST", "/{key}/s2s", Thing::Link, Open, 404, "{}"),
        case("GET", "/{key}/px.gif", Thing::Link, Open, 200, ""),
        case("GET", "/{key}/frame", Thing::Link, Open, 200, ""),
        case("GET", "/v1/events", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/events", Thing::Nothing, Body, 202, EVENT),
        case("GET", "/v1/events/{id}", Thing::Event, Object, 200, ""),
        case("GET", "/v1/subscriptions", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/subscriptions", Thing::Nothing, Body, 201, SPEC),
        case("GET", "/v1/subscriptions/{id}", Thing::Subscription, Object, 200, ""),
        case("PUT", "/v1/subscriptions/{id}", Thing::Subscription, Object, 200, SPEC),
        case("PATCH", "/v1/subscriptions/{id}", Thing::Subscription, Object, 200, r#"{"name":"m"}"#),
        case("DELETE", "/v1/subscriptions/{id}", Thing::Subscription, Object, 204, ""),
        case("POST", "/v1/subscriptions/{id}/pause", Thing::Subscription, Object, 200, ""),
        case("POST", "/v1/subscriptions/{id}/resume", Thing::Subscription, Object, 200, ""),
        case("POST", "/v1/subscriptions/{id}/signing/rotate", Thing::Subscription, Object, 200, ""),
        case("POST", "/v1/subscriptions/{id}/test", Thing::Subscription, Object, 200, ""),
        case("GET", "/v1/stats", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/replays", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/replays", Thing::Subscription, Body, 201, r#"{"subscription":"{id}"}"#),
        case("GET", "/v1/replays/{id}", Thing::Replay, Object, 200, ""),
        case("POST", "/v1/replays/{id}/cancel", Thing::Replay, Object, 200, ""),
        case("GET", "/v1/deliveries", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/deliveries/{id}", Thing::Delivery, Object, 200, ""),
        case("POST", "/v1/deliveries/{id}/retry", Thing::Delivery, Object, 200, ""),
        case("POST", "/v1/deliveries/{id}/cancel", Thing::Delivery, Object, 200, ""),
        case("GET", "/v1/actions", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/actions/{account}/{action_id}", Thing::Action, Object, 200, ""),
        case("GET", "/v1/events/{id}/routing", Thing::Event, Object, 200, ""),
        case("GET", "/v1/event-types", Thing::Nothing, Anybody, 200, ""),
        case("POST", "/v1/event-types", Thing::Nothing, Operator, 201, r#"{"type":"voucher.sent"}"#),
        case("GET", "/v1/event-types/{type}", Thing::EventType, Anybody, 200, ""),
        case("DELETE", "/v1/event-types/{type}", Thing::EventType, Operator, 204, ""),
        case("GET", "/v1/event-types/{type}/sample", Thing::EventType, Anybody, 200, ""),
        case("POST", "/v1/templates/check", Thing::Nothing, PureBody, 200, CHECK),
        case("POST", "/v1/templates/render", Thing::Nothing, PureBody, 200, RENDER),
        case("POST", "/v1/templates/import", Thing::Nothing, PureBody, 200, r#"{"text":"a={x}","account":"acme"}"#),
        case("GET", "/v1/presets", Thing::Nothing, Anybody, 200, ""),
        case("GET", "/v1/presets/{name}", Thing::Preset, Anybody, 200, ""),
        case("POST", "/v1/subscriptions/preview", Thing::Nothing, PureBody, 200, DRAFT),
        case("POST", "/v1/subscriptions/test", Thing::Nothing, Body, 200, DRAFT),
        case("POST", "/v1/responses/check", Thing::Nothing, Pure, 200, r#"{"response":{"status":200}}"#),
    ]
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    NoKey,
    UnknownKey,
    ExpiredKey,
    RevokedKey,
    Read,
    ReadOfAll,
    ReadOfAnother,
    Account,
    AccountOfAnother,
    Operator,
}

impl Who {
    const fn has_key(self) -> bool {
        !matches!(self, Self::NoKey | Self::UnknownKey | Self::ExpiredKey | Self::RevokedKey)
    }

    const fn only_reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadOfAll | Self::ReadOfAnother)
    }

    const fn is_of_another(self) -> bool {
        matches!(self, Self::ReadOfAnother | Self::AccountOfAnother)
    }
}

/// The status that somebody gets.
fn expected(case: &Case, who: Who) -> u16 {
    let reads = case.method == "GET";
    match case.rule {
        Rule::Open => case.status,
        _ if !who.has_key() => 401,
        Rule::Operator if who != Who::Operator => 403,
        Rule::PureBody if who.is_of_another() => 422,
        Rule::Pure | Rule::PureBody => case.status,
        _ if who.only_reads() && !reads => 403,
        Rule::Object if who.is_of_another() => 404,
        Rule::Body if who.is_of_another() => 422,
        _ => case.status,
    }
}

/// Two accounts, `acme` and `rival`, with a key of each kind.
struct World {
    running: Running,
    callers: Vec<(Who, Client)>,
}

impl World {
    async fn new() -> Self {
        let running = Running::with(|settings| {
            settings.store = "memory:".into();
            settings.inbound_per_second = 10_000;
            settings.allow_private = false;
            settings.authentication_failures_per_minute = 100_000;
        })
        .await;
        assert_eq!(running.client.post("/v1/accounts", json!({"id": "rival"})).await.status, 201);
        assert_eq!(running.client.post("/v1/offers", OFFER).await.status, 201);
        let mut callers = vec![
            (Who::NoKey, Client { key: String::new(), ..running.client.clone() }),
            (Who::UnknownKey, Client { key: "prk_unknown".into(), ..running.client.clone() }),
            (Who::Operator, running.client.clone()),
        ];
        let key = |scope: &'static str, account: Value| {
            let running = &running;
            async move { create(running, json!({"name": "matrix", "scope": scope, "account": account})).await }
        };
        let expired = key("operator", Value::Null).await;
        let rotate = format!("/v1/keys/{}/rotate", expired["id"].as_str().unwrap());
        assert_eq!(running.client.post(&rotate, json!({"overlap_s": 0})).await.status, 201);
        callers.push((Who::ExpiredKey, client_of(&running, &expired)));
        let revoked = key("operator", Value::Null).await;
        let path = format!("/v1/keys/{}", revoked["id"].as_str().unwrap());
        assert_eq!(running.client.send("DELETE", &path, &[], b"").await.status, 204);
        callers.push((Who::RevokedKey, client_of(&running, &revoked)));
        for (who, scope, account) in [
            (Who::Read, "read", json!("acme")),
            (Who::ReadOfAll, "read", Value::Null),
            (Who::ReadOfAnother, "read", json!("rival")),
            (Who::Account, "account", json!("acme")),
            (Who::AccountOfAnother, "account", json!("rival")),
        ] {
            callers.push((who, client_of(&running, &key(scope, account).await)));
        }
        Self { running, callers }
    }

    fn client(&self, who: Who) -> &Client {
        &self.callers.iter().find(|(caller, _)| *caller == who).unwrap().1
    }

    /// A paused subscription of an account; its URL names the account.
    async fn subscribe(&self, account: &str) -> String {
        let url = format!("http://127.0.0.1:9/{account}?i={{ActionId}}");
        let body = json!({"account": account, "name": account, "event_types": ["action.*"], "request": {"url": url}, "state": "paused", "signing": {}});
        let created = self.running.client.post("/v1/subscriptions", body).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.json()["id"].as_str().unwrap().to_owned()
    }

    /// An event of an account, with its deliveries.
    async fn report(&self, account: &str) -> (String, Vec<String>) {
        let body = json!({"account": account, "type": "action.tracked", "data": {"ActionId": format!("of-{account}")}});
        let accepted = self.running.client.post("/v1/events", body).await.json();
        let deliveries = accepted["deliveries"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (accepted["id"].as_str().unwrap().to_owned(), deliveries)
    }

    /// A replay of an account that is held up, since its subscription is paused.
    async fn replay(&self, account: &str) -> String {
        let subscription = self.subscribe(account).await;
        for delivery in self.report(account).await.1 {
            self.running.client.post(&format!("/v1/deliveries/{delivery}/cancel"), "").await;
        }
        let body = json!({"subscription": subscription, "states": ["cancelled"]});
        let created = self.running.client.post("/v1/replays", body).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.json()["id"].as_str().unwrap().to_owned()
    }

    /// A fresh offer of an account.
    async fn offer(&self, account: &str) -> String {
        let id = format!("{account}-offer{}", FRESH.fetch_add(1, Ordering::Relaxed));
        let created =
            self.running.client.post("/v1/offers", OFFER.replace("fixed", &id).replace("acme\",", &format!("{account}\","))).await;
        assert_eq!(created.status, 201, "{}", created.body);
        id
    }

    /// A fresh inbound key of an account, with its text. Keys of one account are bounded, so that the others go.
    async fn inbound_key(&self, account: &str) -> (String, String) {
        for key in
            self.running.client.get(&format!("/v1/inbound-keys?account={account}&limit=200")).await.json()["data"].as_array().unwrap()
        {
            self.running.client.send("DELETE", &format!("/v1/inbound-keys/{}", key["id"].as_str().unwrap()), &[], b"").await;
        }
        let created = self.running.client.post("/v1/inbound-keys", json!({"account": account, "name": account})).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let created = created.json();
        (created["id"].as_str().unwrap().to_owned(), created["key"].as_str().unwrap().to_owned())
    }

    /// A click of an account on an offer of its own.
    async fn click(&self, account: &str) -> String {
        let offer = self.offer(account).await;
        let made = self.running.client.post("/v1/clicks", json!({"account": account, "offer": offer})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["click_id"].as_str().unwrap().to_owned()
    }

    /// A report of an account, as it came in.
    async fn inbound_call(&self, account: &str) -> String {
        let (_, key) = self.inbound_key(account).await;
        self.running.client.get(&format!("/{key}/s2s?click_id={account}")).await;
        let calls = self.running.client.get(&format!("/v1/inbound-calls?account={account}&limit=1")).await.json();
        calls["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// The id of a fresh object of `acme`, and one of the same form that nothing has.
    async fn object(&self, thing: Thing) -> (String, String) {
        let unknown = |prefix: &str| format!("{prefix}_00000000000000000000000001");
        match thing {
            Thing::Nothing => (String::new(), String::new()),
            Thing::Account => ("acme".into(), "none".into()),
            Thing::Subscription => (self.subscribe("acme").await, unknown("sub")),
            Thing::Event => (self.report("acme").await.0, unknown("evt")),
            Thing::Delivery => {
                self.subscribe("acme").await;
                (self.report("acme").await.1[0].clone(), unknown("dlv"))
            }
            Thing::Key => {
                let key = create(&self.running, json!({"name": "fresh", "scope": "account", "account": "acme"})).await;
                (key["id"].as_str().unwrap().to_owned(), unknown("key"))
            }
            Thing::Action => {
                self.report("acme").await;
                ("acme/of-acme".into(), "acme/no-acme".into())
            }
            Thing::Replay => (self.replay("acme").await, unknown("rpl")),
            Thing::FreshAccount => {
                let id = format!("fresh{}", FRESH.fetch_add(1, Ordering::Relaxed));
                assert_eq!(self.running.client.post("/v1/accounts", json!({"id": id})).await.status, 201);
                (id, "none".into())
            }
            Thing::EventType => {
                let name = format!("fresh.type{}", FRESH.fetch_add(1, Ordering::Relaxed));
                assert_eq!(self.running.client.post("/v1/event-types", json!({"type": name})).await.status, 201);
                (name, "fresh.none".into())
            }
            Thing::Offer => {
                let id = self.offer("acme").await;
                (id.clone(), "x".repeat(id.len()))
            }
            Thing::InboundKey => {
                let (id, _) = self.inbound_key("acme").await;
                (id, unknown("ink"))
            }
            Thing::Click => (self.click("acme").await, "00000000-0000-7000-8000-000000000000".into()),
            Thing::InboundCall => (self.inbound_call("acme").await, unknown("inc")),
            Thing::TestRun => {
                let offer = self.offer("acme").await;
                let body = json!({"partner": "acme", "action": "lead"});
                let started = self.running.client.post(&format!("/v1/offers/{offer}/test-runs"), body).await;
                assert_eq!(started.status, 201, "{}", started.body);
                (started.json()["id"].as_str().unwrap().to_owned(), unknown("run"))
            }
            Thing::Link => ("00000000-0000-4000-8000-000000000000".into(), "none".into()),
            Thing::Preset => ("keitaro".into(), "none".into()),
        }
    }
}

/// A path with its braces filled.
fn at(path: &str, id: &str) -> String {
    let braces = ["{account}/{action_id}", "{id}", "{type}", "{name}", "{account}", "{offer}", "{key}"];
    braces.iter().fold(path.to_owned(), |path, braces| path.replace(braces, id))
}

async fn call(client: &Client, case: &Case, id: &str, body: &str) -> Answer {
    let body = body.replace("{id}", id);
    client.send(case.method, &at(case.path, id), &[("Content-Type", "application/json")], body.as_bytes()).await
}

/// An answer as text, without what differs between any two answers.
fn comparable(answer: &Answer, id: &str) -> String {
    answer.comparable().replace(id, "{id}")
}

#[test]
fn every_call_of_the_router_has_a_case_here() {
    let of_router: BTreeSet<_> = calls().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let here: BTreeSet<_> = cases().iter().map(|case| format!("{} {}", case.method, case.path)).collect();
    assert_eq!(here, of_router);
    assert_eq!(here.len(), calls().len(), "a call is listed twice");
}

#[tokio::test]
async fn h5_every_call_answers_every_kind_of_key_as_its_rule_says() {
    let world = World::new().await;
    for case in cases() {
        for (who, client) in &world.callers {
            let (id, _) = world.object(case.thing).await;
            let answer = call(client, &case, &id, case.body).await;
            assert_eq!(answer.status, expected(&case, *who), "{} {} by {who:?}: {}", case.method, case.path, answer.body);
            if case.method == "GET" {
                let head = client.send("HEAD", &at(case.path, &id), &[], b"").await;
                assert_eq!((head.status, head.body.as_str()), (answer.status, ""), "HEAD {} by {who:?}", case.path);
            }
            let code = match answer.status {
                401 => "unauthorized",
                403 => "forbidden",
                _ => continue,
            };
            assert_eq!(answer.json()["code"], code, "{} {} by {who:?}", case.method, case.path);
        }
    }
}

#[tokio::test]
async fn h2_another_accounts_objects_are_not_found() {
    let world = World::new().await;
    for case in cases().into_iter().filter(|case| case.rule == Rule::Object) {
        let (id, unknown) = world.object(case.thing).await;
        for who in [Who::AccountOfAnother, Who::ReadOfAnother] {
            let client = world.client(who);
            // Whatever else is wrong with the request, it must not be answered before the id.
            for (body, match_version) in [(case.body, "*"), ("{", "*"), (r#"{"surprise":1}"#, "*"), (case.body, "\"99\""), ("", "nonsense")]
            {
                let headers = [("Content-Type", "application/json"), ("If-Match", match_version)];
                let foreign = client.send(case.method, &at(case.path, &id), &headers, body.as_bytes()).await;
                let missing = client.send(case.method, &at(case.path, &unknown), &headers, body.as_bytes()).await;
                let (foreign, missing) = (comparable(&foreign, &id), comparable(&missing, &unknown));
                assert_eq!(foreign, missing, "{} {} by {who:?} with {body}", case.method, case.path);
            }
        }
        if case.thing == Thing::TestRun {
            // There is no list of test runs.
            assert_eq!(world.running.client.get(&format!("/v1/test-runs/{id}")).await.status, 200);
            continue;
        }
        let own = world.running.client.get(case.path.split('{').next().unwrap().trim_end_matches('/')).await;
        assert!(own.body.contains(id.rsplit('/').next().unwrap()), "{id} is unharmed");
    }
}

#[tokio::test]
async fn h2_another_account_in_a_body_is_as_one_that_does_not_exist() {
    let world = World::new().await;
    let client = world.client(Who::AccountOfAnother);
    let many = |account: &str| {
        let event = |account: &str, event_type: &str| format!(r#"{{"account":"{account}","type":"{event_type}","data":{{}}}}"#);
        let of = |event_type| event(account, event_type);
        [
            format!("[{},{}]", event("rival", "action.tracked"), of("action.tracked")),
            format!("[{},{}]", event("rival", "action.vanished"), of("action.tracked")),
            format!("[{},{}]", of("action.vanished"), event("rival", "action.vanished")),
            format!("[{},{}]", of("action.tracked"), of("Action")),
        ]
    };
    for (path, template) in [
        ("/v1/events", EVENT),
        ("/v1/subscriptions", SPEC),
        ("/v1/subscriptions", &SPEC.replace("http", "ftp")),
        ("/v1/offers", &OFFER.replace("fixed", "another")),
        ("/v1/inbound-keys", r#"{"account":"acme","name":"n"}"#),
        ("/v1/clicks", r#"{"account":"acme","offer":"fixed"}"#),
        ("/v1/templates/check", CHECK),
        ("/v1/templates/render", RENDER),
        ("/v1/templates/import", r#"{"text":"x","account":"acme"}"#),
        ("/v1/subscriptions/preview", DRAFT),
        ("/v1/subscriptions/preview", &DRAFT.replace("http", "ftp")),
        ("/v1/subscriptions/test", DRAFT),
        ("/v1/subscriptions/test", &DRAFT.replace("http", "ftp")),
    ] {
        let foreign = client.post(path, template).await;
        let missing = client.post(path, template.replace("acme", "none")).await;
        assert_eq!((foreign.status, comparable(&foreign, "acme")), (422, comparable(&missing, "none")), "{path}");
    }
    for (foreign, missing) in many("acme").iter().zip(&many("none")) {
        let (foreign, missing) = (client.post("/v1/events", foreign).await, client.post("/v1/events", missing).await);
        assert_eq!((foreign.status, comparable(&foreign, "acme")), (422, comparable(&missing, "none")));
    }
    assert_eq!(world.running.client.get("/v1/events").await.json()["data"], json!([]), "nothing was stored");
    // A subscription cannot be moved to another account either, and nothing tells whether that one exists.
    let own = format!("/v1/subscriptions/{}", world.subscribe("rival").await);
    for method in ["PATCH", "PUT"] {
        let body = |account: &str| SPEC.replace("acme", account);
        let foreign = client.send(method, &own, &[], body("acme").as_bytes()).await;
        let missing = client.send(method, &own, &[], body("none").as_bytes()).await;
        assert_eq!((foreign.status, comparable(&foreign, "acme")), (422, comparable(&missing, "none")), "{method}");
    }
}

/// Every page of a list, as text.
async fn all_pages(client: &Client, path: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let join = if path.contains('?') { "&" } else { "?" };
        let answer = client.get(&format!("{path}{join}limit=1{cursor}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let next = answer.json()["next_cursor"].clone();
        pages.push(answer.body);
        match next {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return pages,
        }
    }
}

#[tokio::test]
async fn h3_lists_filters_and_cursors_stay_within_the_account() {
    let world = World::new().await;
    let mut of_acme = Vec::new();
    let mut events = Vec::new();
    for _ in 0..3 {
        for account in ["acme", "rival"] {
            let subscription = world.subscribe(account).await;
            let (event, deliveries) = world.report(account).await;
            world.running.client.post(&format!("/v1/deliveries/{}/cancel", deliveries[0]), "").await;
            if account == "acme" {
                events.push(event.clone());
                of_acme.extend([subscription, event]);
                of_acme.extend(deliveries);
            }
        }
    }
    for account in ["acme", "rival", "acme", "rival"] {
        let replay = world.replay(account).await;
        of_acme.extend((account == "acme").then_some(replay));
    }
    for account in ["acme", "rival", "acme", "rival"] {
        let of_account = [world.click(account).await, world.inbound_call(account).await, world.offer(account).await];
        of_acme.extend(of_account.into_iter().filter(|_| account == "acme"));
    }
    for _ in 0..2 {
        let created = world.running.client.post("/v1/inbound-keys", json!({"account": "acme", "name": "acme"})).await;
        of_acme.push(created.json()["id"].as_str().unwrap().to_owned());
    }
    let lists = [
        "/v1/accounts",
        "/v1/subscriptions",
        "/v1/events",
        "/v1/deliveries",
        "/v1/audit",
        "/v1/replays",
        "/v1/offers",
        "/v1/inbound-keys",
        "/v1/clicks",
        "/v1/inbound-calls",
        // Last: the report is about one action each time, so that there is one page of them.
        "/v1/actions",
    ];
    for who in [Who::AccountOfAnother, Who::ReadOfAnother] {
        let client = world.client(who);
        for list in lists {
            let pages = all_pages(client, list).await.concat();
            assert!(pages.contains("rival"), "{list}: its own are there");
            assert!(!pages.contains("acme"), "{list}: {pages}");
            assert!(!of_acme.iter().any(|id| pages.contains(id)), "{list}: {pages}");
        }
        // A filter that names the other account, or something of it, finds as much as one that names nothing.
        let (subscription, event, delivery) = (&of_acme[0], &of_acme[1], &of_acme[2]);
        let zeros = "00000000000000000000000001";
        for (foreign, missing) in [
            ("/v1/subscriptions?account=acme".to_owned(), "/v1/subscriptions?account=none".to_owned()),
            ("/v1/events?account=acme".into(), "/v1/events?account=none".into()),
            ("/v1/offers?account=acme".into(), "/v1/offers?account=none".into()),
            ("/v1/inbound-keys?account=acme".into(), "/v1/inbound-keys?account=none".into()),
            ("/v1/clicks?account=acme".into(), "/v1/clicks?account=none".into()),
            ("/v1/inbound-calls?account=acme".into(), "/v1/inbound-calls?account=none".into()),
            ("/v1/inbound-calls?click=acme".into(), "/v1/inbound-calls?click=none".into()),
            ("/v1/deliveries?account=acme".into(), "/v1/deliveries?account=none".into()),
            ("/v1/audit?account=acme".into(), "/v1/audit?account=none".into()),
            ("/v1/actions?account=acme".into(), "/v1/actions?account=none".into()),
            ("/v1/actions?advertiser=acme".into(), "/v1/actions?advertiser=none".into()),
            ("/v1/replays?account=acme".into(), "/v1/replays?account=none".into()),
            (format!("/v1/replays?subscription={subscription}"), format!("/v1/replays?subscription=sub_{zeros}")),
            (format!("/v1/deliveries?subscription={subscription}"), format!("/v1/deliveries?subscription=sub_{zeros}")),
            (format!("/v1/deliveries?event={event}"), format!("/v1/deliveries?event=evt_{zeros}")),
            (format!("/v1/audit?object={delivery}"), format!("/v1/audit?object=dlv_{zeros}")),
            ("/v1/events?data.ActionId=of-acme".into(), "/v1/events?data.ActionId=of-none".into()),
        ] {
            let (found, nothing) = (client.get(&foreign).await, client.get(&missing).await);
            assert_eq!((found.status, &found.body), (200, &nothing.body), "{foreign}");
            assert_eq!(found.json()["data"], json!([]), "{foreign}");
        }
        // A cursor of the other account only says where to begin.
        for list in &lists[1..lists.len() - 1] {
            let theirs = world.client(Who::Account).get(&format!("{list}?limit=1")).await.json()["next_cursor"].clone();
            let page = client.get(&format!("{list}?cursor={}", theirs.as_str().unwrap())).await;
            assert_eq!(page.status, 200, "{list}: {}", page.body);
            assert!(!page.body.contains("acme") && !of_acme.iter().any(|id| page.body.contains(id)), "{list}: {}", page.body);
        }
    }
    // Numbers are of one's own account, and another's are not told.
    let rival = world.client(Who::AccountOfAnother);
    let stats = rival.get("/v1/stats").await;
    assert_eq!((stats.json()["totals"]["accepted"].clone(), stats.body.contains("acme")), (json!(15), false), "{}", stats.body);
    let (foreign, missing) = (rival.get("/v1/stats?account=acme").await, rival.get("/v1/stats?account=none").await);
    assert_eq!((foreign.status, comparable(&foreign, "acme")), (404, comparable(&missing, "none")));
    // Nor can a replay be asked for, whether the subscription exists or not.
    let replay = async |id: &str| rival.post("/v1/replays", json!({"subscription": id})).await;
    let zeros = "sub_00000000000000000000000001";
    let (foreign, missing) = (replay(&of_acme[0]).await, replay(zeros).await);
    assert_eq!((foreign.status, comparable(&foreign, &of_acme[0])), (422, comparable(&missing, zeros)));
    // A deleted subscription's deliveries stay with their account.
    world.running.client.send("DELETE", &format!("/v1/subscriptions/{}", of_acme[0]), &[], b"").await;
    let path = format!("/v1/deliveries?subscription={}", of_acme[0]);
    assert_eq!(world.client(Who::AccountOfAnother).get(&path).await.json()["data"], json!([]));
    assert_ne!(world.client(Who::Account).get(&path).await.json()["data"], json!([]));
    let unknown = world.running.client.get("/v1/deliveries?account=none").await;
    assert_eq!((unknown.status, unknown.json()["data"].clone()), (200, json!([])), "to an operator an unknown account is the same");
}

#[tokio::test]
async fn h4_what_the_server_sets_is_refused_or_left_alone() {
    let world = World::new().await;
    let client = world.client(Who::Account);
    let with = |text: &str, name: &str, value: Value| {
        let mut body: Value = serde_json::from_str(text).unwrap();
        body[name] = value;
        body
    };
    let id = world.subscribe("acme").await;
    let other = world.subscribe("rival").await;
    let path = format!("/v1/subscriptions/{id}");
    let before = client.get(&path).await.json();
    // Creating takes nothing that the server sets.
    for (target, text, names) in [
        ("/v1/events", EVENT, &["id", "received_at", "deliveries", "state", "tenant_id"][..]),
        ("/v1/subscriptions", SPEC, &["id", "version", "created_at", "updated_at", "warnings", "owner"]),
    ] {
        for name in names {
            let answer = client.post(target, with(text, name, json!(other))).await;
            let error = &answer.json()["errors"][0];
            assert_eq!(
                (answer.status, error["code"].as_str(), error["pointer"].as_str()),
                (422, Some("unknown_field"), Some(&*format!("/{name}"))),
                "{target}"
            );
        }
    }
    for name in ["created_at", "owner"] {
        let answer = world.running.client.post("/v1/accounts", with(r#"{"id":"new"}"#, name, json!("2001-01-01T00:00:00Z"))).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (422, json!("unknown_field")), "{name}");
    }
    // Changing takes what was read back, and leaves what the server sets as it is.
    for method in ["PUT", "PATCH"] {
        let mut body = before.clone();
        body["id"] = json!(other);
        body["version"] = json!(900);
        body["created_at"] = json!("2001-01-01T00:00:00Z");
        body["updated_at"] = json!("2001-01-01T00:00:00Z");
        let answer = client.send(method, &path, &[], body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let after = answer.json();
        assert_eq!((&after["id"], &after["created_at"], &after["account"]), (&before["id"], &before["created_at"], &before["account"]));
        assert!(after["version"].as_u64().unwrap() < 10 && after["updated_at"].as_str().unwrap() > "2020");
        let unknown = client.send(method, &path, &[], with(&before.to_string(), "tenant_id", json!("rival")).to_string().as_bytes()).await;
        assert_eq!((unknown.status, unknown.json()["errors"][0]["code"].clone()), (422, json!("unknown_field")), "{method}");
    }
    assert_eq!(world.client(Who::AccountOfAnother).get(&format!("/v1/subscriptions/{other}")).await.json()["version"], 1, "untouched");
}

#[tokio::test]
async fn h7_idempotency_keys_of_two_accounts_have_nothing_to_do_with_each_other() {
    let world = World::new().await;
    let (acme, rival) = (world.client(Who::Account), world.client(Who::AccountOfAnother));
    let event =
        |account: &str, action: &str| json!({"account": account, "type": "action.tracked", "key": "same", "data": {"ActionId": action}});
    let first = acme.post("/v1/events", event("acme", "1")).await.json();
    let other = rival.post("/v1/events", event("rival", "2")).await;
    assert_eq!((other.status, other.json()["duplicate"].clone()), (202, json!(false)), "other content and yet no conflict");
    assert_ne!(other.json()["id"], first["id"]);
    let again = acme.post("/v1/events", event("acme", "1")).await.json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    let reused = acme.post("/v1/events", event("acme", "3")).await;
    assert_eq!((reused.status, reused.json()["code"].clone()), (422, json!("key_reused")));
    let foreign = rival.post("/v1/events", event("acme", "1")).await;
    assert_eq!(
        (foreign.status, foreign.json()["code"].clone()),
        (422, json!("unknown_account")),
        "a known key of another account says nothing"
    );
    let large = acme.post("/v1/events", event("acme", "1").to_string().replace("same", &"k".repeat(1_000_000))).await;
    assert_eq!((large.status, large.json()["errors"][0]["code"].clone()), (422, json!("invalid_key")));
    let concurrent = futures_util::future::join_all((0..8).map(|_| {
        let body = json!({"account": "acme", "type": "action.tracked", "key": "raced", "data": {"ActionId": "9"}});
        async move { acme.post("/v1/events", body).await.json() }
    }))
    .await;
    assert!(concurrent.iter().all(|accepted| accepted["id"] == concurrent[0]["id"]));
    assert_eq!(concurrent.iter().filter(|accepted| accepted["duplicate"] == false).count(), 1);
}

#[tokio::test]
async fn accounts_are_paged_while_others_are_created() {
    let world = World::new().await;
    let operator = &world.running.client;
    for number in 0..5 {
        operator.post("/v1/accounts", json!({"id": format!("a{number}")})).await;
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = operator.get(&format!("/v1/accounts?limit=2{cursor}")).await.json();
        listed.extend(page["data"].as_array().unwrap().iter().map(|account| account["id"].as_str().unwrap().to_owned()));
        operator.post("/v1/accounts", json!({"id": format!("new{}", listed.len())})).await;
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(sorted, ["a0", "a1", "a2", "a3", "a4", "acme", "rival"], "each once: {listed:?}");
    let bad = operator.get("/v1/accounts?cursor=7").await;
    assert_eq!((bad.status, bad.json()["errors"][0]["code"].clone()), (422, json!("invalid_parameter")));
}

#[tokio::test]
async fn h3_a_filter_does_not_page_through_another_accounts_deliveries() {
    let world = World::new().await;
    let subscription = world.subscribe("acme").await;
    // One more than a page looks at: the page after that would begin at a delivery of the other account.
    let event = r#"{"account":"acme","type":"action.tracked","data":{}}"#;
    let thousand = format!("[{}]", vec![event; 1_000].join(","));
    for _ in 0..10 {
        assert_eq!(world.running.client.post("/v1/events", &thousand).await.status, 202);
    }
    world.report("acme").await;
    let path = format!("/v1/deliveries?subscription={subscription}");
    let of_another = world.client(Who::AccountOfAnother).get(&path).await;
    assert_eq!(of_another.body, r#"{"data":[],"next_cursor":null}"#);
    assert!(world.client(Who::Account).get(&path).await.json()["next_cursor"].is_string());
}
