//! Actions over the API: what a platform emits and what an advertiser reports make one story, seen by both sides.

use serde_json::{Value, json};

use super::http::Client;
use super::keys::{client_of, create};
use super::server::Running;

/// A server with the partner `acme`, the advertiser `shop` and the account `rival`, with a key of each.
struct World {
    running: Running,
    acme: Client,
    shop: Client,
    rival: Client,
}

impl World {
    async fn new() -> Self {
        let running = Running::with(|settings| settings.store = "memory:".into()).await;
        for account in ["shop", "rival"] {
            assert_eq!(running.client.post("/v1/accounts", json!({"id": account})).await.status, 201);
        }
        let client = async |account: &str| {
            let key = create(&running, json!({"name": account, "scope": "account", "account": account})).await;
            client_of(&running, &key)
        };
        let (acme, shop, rival) = (client("acme").await, client("shop").await, client("rival").await);
        Self { acme, shop, rival, running }
    }

    /// Tells of `order-1` as a platform does.
    async fn emit(&self, event_type: &str, occurred_at: &str, mut data: Value) {
        data["ActionId"] = "order/1".into();
        let event = json!({"account": "acme", "type": event_type, "occurred_at": occurred_at, "data": data});
        let answer = self.running.client.post("/v1/events", event).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    /// A reported lead of `shop` on a click of `acme`; its id.
    async fn lead(&self) -> String {
        let offer = json!({
            "id": "summer", "account": "shop", "name": "Summer", "landing_url": "https://shop.example/", "currency": "USD",
            "actions": [{"name": "sale", "model": "percent", "rate": "4"}],
        });
        let made = async |path: &str, body: Value| {
            let answer = self.running.client.post(path, body).await;
            assert_eq!(answer.status, 201, "{path}: {}", answer.body);
            answer.json()
        };
        made("/v1/offers", offer).await;
        let key = made("/v1/inbound-keys", json!({"account": "shop", "name": "shop"})).await["key"].as_str().unwrap().to_owned();
        let click = json!({"account": "acme", "offer": "summer", "sub_id1": "w8TnE3", "shared_id": "RT-1"});
        let click = made("/v1/clicks", click).await["click_id"].as_str().unwrap().to_owned();
        let path = format!("/{key}/s2s?click_id={click}&request_id=77&action=sale&price=50&status=hold");
        let answer = self.running.client.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["lead_id"].as_str().unwrap().to_owned()
    }
}

/// Values of these names, in their order.
fn values(object: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| object[*name].clone()).collect()
}

async fn listed(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("/v1/actions{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page = answer.json();
    page["data"].as_array().unwrap().iter().map(|action| action["action_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_action_of_a_platform_has_its_state_and_its_story() {
    let world = World::new().await;
    let tracked = r#"{"Amount": "21.99", "Payout": 0.880, "Currency": "USD", "ActionTrackerName": "Sale"}"#;
    let tracked = serde_json::from_str(tracked).unwrap();
    world.emit("action.tracked", "2026-09-10T10:00:00Z", tracked).await;
    world
        .emit("action.modified", "2026-09-11T10:00:00Z", json!({"Amount": 16.99, "Payout": "0.68", "StatusDetail": "ITEM_RETURNED"}))
        .await;
    world.emit("action.cleared", "2026-10-20T10:00:00Z", json!({})).await;
    // Late news of before change no state.
    world.emit("action.reversed", "2026-09-12T10:00:00Z", json!({})).await;

    let answer = world.acme.get("/v1/actions/acme/order%2F1").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let action = answer.json();
    let names = ["account", "action_id", "action", "state", "amount", "payout", "intended_amount", "intended_payout", "currency"];
    let expected = json!(["acme", "order/1", "Sale", "cleared", "16.99", "0.68", "21.99", "0.880", "USD"]);
    assert_eq!(values(&action, &names), expected);
    let names = ["advertiser", "offer", "click", "source", "test", "occurred_at", "conflicts", "events_count"];
    assert_eq!(values(&action, &names), json!([null, null, null, "events", false, "2026-10-20T10:00:00.000Z", 0, 4]));
    let types: Vec<_> = action["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["action.tracked", "action.modified", "action.cleared", "action.reversed"]);
    assert_eq!(action["events"][0]["data"]["Payout"].to_string(), "0.880");

    assert_eq!(listed(&world.acme, "").await, ["order/1"]);
    assert_eq!(listed(&world.acme, "?state=paid&state=cleared").await, ["order/1"]);
    assert_eq!(listed(&world.acme, "?state=pending").await, [""; 0]);
    assert_eq!(world.acme.get("/v1/actions?state=done").await.json()["errors"][0]["code"], "invalid_parameter");
    assert_eq!(world.acme.get("/v1/actions/acme/none").await.status, 404);
}

#[tokio::test]
async fn a_reported_action_is_seen_by_partner_and_advertiser() {
    let world = World::new().await;
    let lead = world.lead().await;
    world.emit("action.tracked", "2026-09-10T10:00:00Z", json!({})).await;
    let path = format!("/v1/actions/acme/{lead}");

    let of_partner = world.acme.get(&path).await.json();
    let names = ["account", "advertiser", "offer", "action", "request_id", "state", "amount", "payout", "status_word", "source"];
    let expected = json!(["acme", "shop", "summer", "sale", "77", "pending", "50", "2.00", "hold", "s2s"]);
    assert_eq!(values(&of_partner, &names), expected);
    let data = &of_partner["events"][0]["data"];
    assert_eq!(values(data, &["SubId1", "SharedId", "DeltaAmount"]), json!(["w8TnE3", "RT-1", "50"]));

    let of_advertiser = world.shop.get(&path).await.json();
    let data = &of_advertiser["events"][0]["data"];
    assert_eq!(values(data, &["SubId1", "SharedId", "DeltaAmount"]), json!([null, "RT-1", "50"]));
    assert!(!of_advertiser.to_string().contains("w8TnE3"));

    let none = "00000000-0000-5000-8000-000000000000";
    let (foreign, missing) = (world.rival.get(&path).await, world.rival.get(&format!("/v1/actions/acme/{none}")).await);
    assert_eq!((foreign.status, missing.status), (404, 404));
    assert_eq!(foreign.comparable().replace(&lead, none), missing.comparable());

    assert_eq!(listed(&world.running.client, "").await, ["order/1", &lead]);
    assert_eq!(listed(&world.acme, "?advertiser=shop").await, [lead.as_str()]);
    assert_eq!(listed(&world.shop, "").await, [lead.as_str()]);
    assert_eq!(listed(&world.shop, "?account=acme&offer=summer").await, [lead.as_str()]);
    assert_eq!(listed(&world.rival, "").await, [""; 0]);
    assert_eq!(listed(&world.rival, "?account=acme").await, [""; 0]);
    let first = world.running.client.get("/v1/actions?limit=1").await.json();
    let second = format!("?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(listed(&world.running.client, &second).await, [lead.as_str()]);
}
