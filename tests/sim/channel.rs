//! Signatures and tokens over time: what is the same on every attempt, what is new, and what ends.

use postrider::attempt::{Outcome, SentRequest};
use postrider::clock::Timestamp;
use postrider::queue::Actor;
use postrider::request::send::{Scripted, ScriptedTransport};
use postrider::request::sign::{Signed, TOLERANCE, VerifyingKey, verify};
use postrider::secret::Secret;
use serde_json::json;

use super::seconds;
use super::world::{World, most_within};

const FIRST: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SECOND: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn header<'a>(request: &'a SentRequest, name: &str) -> &'a str {
    &request.headers.iter().find(|(known, _)| known == name).unwrap().1
}

fn holds(request: &SentRequest, key: &str, now: Timestamp) -> bool {
    let key: VerifyingKey = key.parse().unwrap();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| header(request, name));
    verify(&Signed { id, timestamp, signature, body: &request.body }, &[key], now, TOLERANCE).is_ok()
}

fn post() -> serde_json::Value {
    json!({"method": "POST", "url": "https://a.example/", "body": "id={ActionId}"})
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_the_same_id_and_a_time_of_its_own() {
    let world = World::new().await;
    world.transport.on("https://a.example/", [Scripted::status(503), Scripted::status(200)]);
    let retry = json!({"jitter": 0, "schedule_s": [900]});
    world.subscribe("a", json!({"request": post(), "signing": {"secret": FIRST}, "retry": retry})).await;
    let id = world.emit("1", 1).await.deliveries[0];
    let started = world.now().unix_ms() / 1_000;
    world.advance(seconds(1_000)).await;
    let requests: Vec<_> = world.transport.requests().into_iter().map(|recorded| recorded.request).collect();
    assert_eq!(requests.len(), 2);
    for (request, at) in requests.iter().zip([started, started + 900]) {
        assert_eq!(
            (header(request, "webhook-id"), header(request, "webhook-timestamp")),
            (id.to_string().as_str(), at.to_string().as_str())
        );
        assert!(holds(request, FIRST, Timestamp::from_unix_ms(at * 1_000)));
    }
    assert!(!holds(&requests[0], FIRST, world.now()), "a receiver takes the retry and would not take the first one again");
}

#[tokio::test(start_paused = true)]
async fn h19_a_replaced_key_signs_until_its_overlap_ends() {
    let mut world = World::new().await;
    let id = world.subscribe("a", json!({"request": post(), "signing": {"secret": FIRST}})).await;
    world.queue.rotate_signing(&Actor::server(), id, None, |_| Ok((Secret::new(SECOND), None)), seconds(3_600)).await.unwrap();
    let mut seen = Vec::new();
    for wait in [0, 3_500, 99, 2] {
        world.advance(seconds(wait)).await;
        if wait == 99 {
            world.crash().await;
        }
        world.emit("1", 1).await;
        world.advance(std::time::Duration::from_millis(10)).await;
        let request = world.transport.requests().pop().unwrap().request;
        assert!(holds(&request, SECOND, world.now()));
        seen.push(holds(&request, FIRST, world.now()));
    }
    assert_eq!(seen, [true, true, true, false], "also after a restart");
}

#[tokio::test(start_paused = true)]
async fn a_second_request_for_a_new_token_takes_another_permit_of_the_ceiling() {
    let world = World::with(
        postrider::dispatcher::DispatcherSettings::default(),
        ScriptedTransport::answering(|_| Scripted::answer(200, r#"{"access_token":"T","expires_in":3600}"#)),
    )
    .await;
    // Every third request meets a token that was revoked meanwhile; its second request is taken.
    world.transport.on("https://a.example/", (0..40).map(|number| Scripted::status(if number % 3 == 2 { 401 } else { 200 })));
    let credentials = json!({"type": "oauth2", "token_url": "https://auth.example/", "client_id": "c", "client_secret": "s"});
    world.subscribe("a", json!({"credentials": credentials, "max_requests_per_second": 4})).await;
    world.emit_many(20).await;
    world.advance(seconds(20)).await;
    let times = world.handed_over("a");
    assert!(times.len() > 25, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{times:?}");
    assert!(most_within(&times, 1_000) <= 4);
    let deliveries = world.deliveries().await;
    assert_eq!(deliveries.len(), 20);
    for delivery in deliveries {
        assert_eq!(world.outcomes(delivery.id).await, [Outcome::Delivered], "a request that was repeated for its token is one attempt");
    }
}
