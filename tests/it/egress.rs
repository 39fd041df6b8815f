//! The way out of a whole server: its settings, its own listener, and a proxy that is down.

use std::time::Duration;

use postrider::config::Settings;
use postrider::secret::Secret;
use postrider::server::Server;
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

/// What a start with these settings fails with, causes included.
async fn start_error(change: impl FnOnce(&mut Settings)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings {
        data: folder.path().join("data"),
        store: "memory:".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Settings::default()
    };
    change(&mut settings);
    format!("{:#}", anyhow::Error::from(Server::start(&settings).await.unwrap_err()))
}

#[tokio::test]
async fn a_way_out_that_cannot_be_is_told_at_the_start() {
    let error = start_error(|settings| settings.egress_address = Some([203, 0, 113, 7].into())).await;
    assert!(error.starts_with("cannot send from 203.0.113.7; set `egress_address` to an address of this machine"), "{error}");
    let error = start_error(|settings| settings.egress_proxy = Some(Secret::new("https://u:geheim@proxy.example"))).await;
    assert!(error.starts_with("the setting `egress_proxy` is wrong: ") && !error.contains("geheim"), "{error}");
    let error = start_error(|settings| settings.deny_hosts = vec!["10.0.0.1".into()]).await;
    assert_eq!(error, "the setting `deny_hosts` is wrong: `10.0.0.1` is an address; put it in `deny`");
}

async fn test_send(running: &Running, url: &str) -> Value {
    let subscription = running.subscribe(url, json!({})).await;
    running.client.post(&format!("/v1/subscriptions/{}/test", subscription["id"].as_str().unwrap()), "").await.json()
}

#[tokio::test]
async fn d7_the_servers_own_listener_is_blocked_even_where_this_machine_is_allowed() {
    let running = Running::start().await;
    let port = running.server.address().port();
    for host in ["127.0.0.1", "localhost"] {
        let attempt = test_send(&running, &format!("http://{host}:{port}/v1/accounts")).await;
        assert_eq!(attempt["outcome"], json!("blocked"), "{attempt}");
    }
    let receiver = Receiver::start().await;
    assert_eq!(test_send(&running, &format!("http://{}/", receiver.address)).await["outcome"], json!("delivered"));
}

#[tokio::test]
async fn ports_and_hosts_of_the_settings_are_blocked() {
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.ports = vec![80, 443];
        settings.deny_hosts = vec!["*.bank.example".into()];
    })
    .await;
    for url in ["http://127.0.0.1:8081/", "https://www.bank.example/"] {
        assert_eq!(test_send(&running, url).await["outcome"], json!("blocked"), "{url}");
    }
}

#[tokio::test]
async fn c21_deliveries_wait_undiminished_for_a_proxy_that_is_down() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = nobody.local_addr().unwrap();
    drop(nobody);
    let running = Running::with(|settings| {
        settings.store = "memory:".into();
        settings.egress_proxy = Some(Secret::new(format!("http://{proxy}")));
    })
    .await;
    running.subscribe("http://tracker.example/?id={ActionId}", json!({"retry": {"attempts": 1}})).await;
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1", "Status": "PENDING"}});
    let accepted = running.client.post("/v1/events", event).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let delivery = accepted.json()["deliveries"][0].as_str().unwrap().to_owned();
    let attempt = test_send(&running, "http://tracker.example/").await;
    assert_eq!(
        (&attempt["outcome"], &attempt["reason"]),
        (&json!("unreachable"), &json!("the operator's egress proxy cannot be reached, or broke off"))
    );
    // The proxy comes up; what waited is sent through it, as the only attempt that it has.
    let listener = tokio::net::TcpListener::bind(proxy).await.unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK").await;
        }
    });
    let path = format!("/v1/deliveries/{delivery}");
    let delivered = async {
        loop {
            let shown = running.client.get(&path).await.json();
            if shown["state"] == json!("delivered") {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(30), delivered).await.unwrap();
    assert_eq!((&shown["attempts"], &shown["attempt_log"][0]["number"]), (&json!(1), &json!(1)), "{shown}");
}
