//! The program as a person runs it.

use std::process::Command;

fn postrider(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_postrider")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

#[test]
fn the_demo_delivers_everything_and_ends() {
    let output = postrider(&["demo", "--once"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("GET /impact-query?campaign_id=1000&"), "{text}");
    assert!(text.contains(r#""items": [{"sku":"A-1","item_price":16.99,"#), "{text}");
    assert!(text.contains("<item_price>16.99</item_price>"), "{text}");
    assert!(text.contains("All 9 deliveries are delivered."), "{text}");
}

#[test]
fn a_delivery_is_shown_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sub.json");
    let subscription = r#"{"account":"acme","name":"x","event_types":["action.*"],"request":{"url":"https://t.example/?i={ActionId}&p={Payout}&s={Status}"}}"#;
    std::fs::write(&file, subscription).unwrap();
    let arguments = ["send", "--subscription", file.to_str().unwrap(), "--event", "examples/events/action.tracked.json"];
    let output = postrider(&[&arguments[..], &["--dry-run"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.starts_with("GET https://t.example/?i=1000.4636.158133&p=0.88&s=PENDING\n"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let blocked = postrider(&[&arguments[..], &["--to", "http://127.0.0.1:9/?i={ActionId}&s={Status}"]].concat());
    assert_eq!(blocked.status.code(), Some(1), "an address of this machine is refused without --allow-private");
    assert!(String::from_utf8_lossy(&blocked.stdout).contains("blocked:"));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    for arguments in [
        &["trigger", "action.vanished", "--api-key", "x"][..],
        &["serve", "--listen", "here"],
        &["serve", "--config", "none.toml"],
        &["demo", "--listen", "x"],
        &["fly"],
    ] {
        let output = postrider(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}
