//! Where a subscription may lead: the spellings of forbidden places, saved, tested and delivered.

use postrider::attempt::Outcome;
use serde_json::{Value, json};

use crate::server::Running;
use crate::villain::{Receiver, Script, ok};
use crate::wire::PATIENCE;

/// A server that sends to public addresses only, as it does by default.
async fn guarded() -> Running {
    Running::with(|settings| {
        settings.test_sends_per_minute = 1_000;
        settings.store = "memory:".into();
        settings.allow_private = false;
    })
    .await
}

fn spec(url: &str) -> Value {
    json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": url, "method": "POST", "body": "i={ActionId}&s={Status}"}})
}

/// Hosts by the row they belong to. `PORT` stands for the one of a receiver that must hear nothing.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "d1",
        &[
            "127.0.0.1:PORT",
            "localhost:PORT",
            "localhost.:PORT",
            "LOCALHOST:PORT",
            "a.localhost:PORT",
            "localhost.localdomain:PORT",
            "ip6-localhost:PORT",
        ],
    ),
    (
        "d2",
        &[
            "127.1:PORT",
            "127.0.1:PORT",
            "2130706433:PORT",
            "0x7f000001:PORT",
            "0X7F.1:PORT",
            "0x7f.0.0.1:PORT",
            "017700000001:PORT",
            "0177.0.0.1:PORT",
            "0177.0x0.0.01:PORT",
            "127.0.0.1.:PORT",
            "%31%32%37.0.0.1:PORT",
            "127%2e0%2e0%2e1:PORT",
            "１２７.０.０.１:PORT",
            "①②⑦.0.0.1:PORT",
            "127。0。0。1:PORT",
            "127．0．0．1:PORT",
            "ｌｏｃａｌｈｏｓｔ:PORT",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT",
            "loc\u{ad}alhost:PORT",
        ],
    ),
    ("d3", &["0.0.0.0:PORT", "0:PORT", "0x0:PORT", "[::]:PORT", "0.1.2.3:PORT"]),
    (
        "d4",
        &[
            "[::1]:PORT",
            "[0:0:0:0:0:0:0:1]:PORT",
            "[::ffff:127.0.0.1]:PORT",
            "[::ffff:7f00:1]:PORT",
            "[::127.0.0.1]:PORT",
            "[64:ff9b::127.0.0.1]:PORT",
            "[64:ff9b:1::10.0.0.1]",
            "[2002:7f00:1::]:PORT",
            "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
            "[fe80::5efe:127.0.0.1]",
            "[2606:4700::200:5efe:10.0.0.1]",
            "[5f00::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
        ],
    ),
    (
        "d5",
        &[
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "169.254.170.2",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "metadata",
            "instance-data",
        ],
    ),
    (
        "d6",
        &[
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "169.254.1.1",
            "[2001:db8::1]",
            "[2001:2::1]",
            "[100::1]",
            "[ff02::1]",
            "[4000::1]",
        ],
    ),
    // What follows the host is not where it goes.
    ("d12", &["127.0.0.1:PORT/@good.example", "127.0.0.1:PORT#@good.example", "127.0.0.1:PORT?@good.example"]),
];

#[tokio::test]
async fn d1_d2_d3_d4_d5_d6_d12_d13_d20_forbidden_targets_are_saved_with_a_warning_and_never_sent_to() {
    let running = guarded().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let port = receiver.addr().port().to_string();
    let mut subscriptions = 0;
    for (row, hosts) in FORBIDDEN {
        for host in *hosts {
            let url = format!("http://{}/p", host.replace("PORT", &port));
            let created = running.client.post("/v1/subscriptions", spec(&url)).await;
            assert_eq!(created.status, 201, "{row} {host}: {}", created.body);
            let created = created.json();
            let warned = created["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "blocked_address");
            assert!(warned, "{row} {host}: {created}");
            // A test is no way round, and tells no more than that it was blocked.
            let tested = running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), "").await.json();
            assert_eq!((&tested["outcome"], &tested["response"]), (&json!("blocked"), &Value::Null), "{row} {host}: {tested}");
            subscriptions += 1;
        }
    }
    let accepted = running.client.post("/v1/events", json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}})).await;
    assert_eq!(accepted.json()["deliveries"].as_array().unwrap().len(), subscriptions);
    let decided = async {
        loop {
            let page = running.client.get("/v1/deliveries?state=dead&limit=200").await.json();
            let dead = page["data"].as_array().unwrap().clone();
            if dead.len() == subscriptions {
                return dead;
            }
            tokio::task::yield_now().await;
        }
    };
    let dead = tokio::time::timeout(PATIENCE, decided).await.unwrap();
    for delivery in dead {
        assert_eq!((&delivery["attempts"], &delivery["last_outcome"]), (&json!(1), &json!(Outcome::Blocked.as_str())), "{delivery}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn d12_d13_d14_d15_targets_that_cannot_be_sent_to_are_refused_when_saved() {
    let running = guarded().await;
    for (row, url) in [
        ("d12", "https://good.example@127.0.0.1/"),
        ("d12", "https://good.example:443@127.0.0.1/"),
        ("d12", "https://user:pw@good.example/"),
        ("d12", "https://:pw@good.example/"),
        ("d12", "https://good.example\t/"),
        ("d12", "https://127.0.0.1\\@good.example/"),
        ("d12", "https://good.example\\@127.0.0.1/"),
        ("d12", "https://good.example:0/"),
        ("d12", "https://good.example:65536/"),
        ("d12", "https://good.example:x/"),
        ("d12", "https://"),
        ("d12", "https:///path"),
        ("d12", "//good.example/"),
        ("d12", "good.example/"),
        ("d12", ""),
        ("d13", "https://xn--a/"),
        ("d13", "https://./"),
        ("d13", "https://../"),
        ("d13", "https://256.1.1.1/"),
        ("d13", "https://1.2.3.4.5/"),
        ("d13", "https://[::1/"),
        ("d13", "https://[fe80::1%25eth0]/"),
        ("d14", "ftp://good.example/"),
        ("d14", "FTP://good.example/"),
        ("d14", "file:///etc/passwd"),
        ("d14", "gopher://good.example/"),
        ("d14", "unix:/run/x"),
        ("d14", "javascript:alert(1)"),
        ("d14", "data:,x"),
        ("d14", "ws://good.example/"),
        ("d14", "jar:https://good.example!/"),
        ("d15", "https://{SubId1}/"),
        ("d15", "https://{SubId1}.good.example/"),
        ("d15", "https://good.example{SubId1}/"),
        ("d15", "https://good.example:{SubId1}/"),
        ("d15", "https://{SubId1}@good.example/"),
        ("d15", "{SubId1}://good.example/"),
        ("d15", "{SubId1}"),
    ] {
        let answer = running.client.post("/v1/subscriptions", spec(url)).await;
        assert_eq!(answer.status, 422, "{row} {url:?}: {}", answer.body);
        let pointers: Vec<_> = answer.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
        assert!(pointers.contains(&json!("/request/url")), "{row} {url:?}: {}", answer.body);
        assert!(!answer.body.contains("pw@") && !answer.body.contains(":pw"), "{url:?}: {}", answer.body);
    }
    assert_eq!(running.client.get("/v1/subscriptions").await.json()["data"], json!([]));
}

#[tokio::test]
async fn d12_d13_names_are_shown_as_they_are_sent() {
    let running = guarded().await;
    for (url, sent) in [
        ("https://аpple.invalid/p", "https://xn--pple-43d.invalid/p"),
        ("HTTPS://Good.INVALID:443/p#x", "https://good.invalid/p"),
        ("https://good.invalid./p", "https://good.invalid/p"),
        ("https://good.invalid/\u{0}a b", "https://good.invalid/%00a%20b"),
        // Line ends of a template are for people.
        ("https://good\n.invalid/p", "https://good.invalid/p"),
    ] {
        let created = running.client.post("/v1/subscriptions", spec(url)).await.json();
        let tested = running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), "").await.json();
        assert_eq!(tested["request"]["url"], sent, "{url:?}");
    }
}

#[tokio::test]
async fn d21_wide_ranges_do_not_lift_metadata_addresses() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.allow = ["0.0.0.0/0", "::/0"].iter().map(|range| range.parse().unwrap()).collect();
        settings.deny = vec!["127.0.0.2/32".parse().unwrap()];
    })
    .await;
    for (host, blocked) in [
        ("169.254.169.254", true),
        ("100.100.100.200", true),
        ("[fd00:ec2::254]", true),
        ("[::ffff:169.254.169.254]", true),
        ("127.0.0.2", true),
        ("[::ffff:127.0.0.2]", true),
        ("10.0.0.1", false),
    ] {
        let created = running.client.post("/v1/subscriptions", spec(&format!("http://{host}/"))).await.json();
        let warned = created["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "blocked_address");
        assert_eq!(warned, blocked, "{host}: {created}");
    }
}

#[tokio::test]
async fn c9_d11_a_redirect_inside_is_shown_and_not_followed() {
    let running = Running::start().await;
    let inside = Receiver::start(Script::always(ok())).await.unwrap();
    let location = inside.url("/secret");
    let redirects = Receiver::start(Script::always(crate::villain::answer(307, &[("Location", &location)], ""))).await.unwrap();
    let created = running.client.post("/v1/subscriptions", spec(&redirects.url("/p"))).await.json();
    let tested = running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), "").await.json();
    assert_eq!((&tested["outcome"], &tested["response"]["status"]), (&json!("unexpected_response"), &json!(307)), "{tested}");
    assert!(tested["response"]["headers"].as_array().unwrap().contains(&json!({"name": "location", "value": location})), "{tested}");
    assert_eq!((redirects.requests().len(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn e14_e15_queries_are_sent_as_written_and_too_long_ones_are_not_sent() {
    let running = Running::start().await;
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let request = json!({"url": receiver.url("/?a=1&a=2&=x&b&c=&i={SubId1}&s={Status}#top")});
    let created = running.subscribe("http://127.0.0.1:9/", json!({"request": request})).await;
    let test = async |value: &str| {
        let event = json!({"event": {"type": "action.tracked", "data": {"SubId1": value, "Status": "P"}}});
        running.client.post(&format!("/v1/subscriptions/{}/test", created["id"].as_str().unwrap()), event).await.json()
    };
    assert_eq!(test("../?#&=%2e").await["outcome"], "delivered");
    assert_eq!(receiver.requests()[0].target, "/?a=1&a=2&=x&b&c=&i=..%2F%3F%23%26%3D%252e&s=P");
    let long = test(&"x".repeat(8 * 1024)).await;
    assert_eq!((&long["outcome"], &long["request"]), (&json!("not_rendered"), &Value::Null), "{long}");
    assert!(long["reason"].as_str().unwrap().contains("at most 8192"), "{long}");
    assert_eq!(receiver.requests().len(), 1);
}
