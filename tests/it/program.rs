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
fn a_dry_run_is_signed_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sub.json");
    let subscription = r#"{"account":"acme","name":"x","event_types":["action.*"],"signing":{},"credentials":{"type":"bearer","token":"geheim"},
        "request":{"url":"https://t.example/?i={ActionId}","headers":[{"name":"Cookie","value":"geheim"}]}}"#;
    std::fs::write(&file, subscription).unwrap();
    let arguments = ["send", "--subscription", file.to_str().unwrap(), "--event", "examples/events/action.tracked.json", "--dry-run"];
    let output = postrider(&arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !out.contains("geheim") && !err.contains("geheim"), "{out}{err}");
    assert!(out.contains("&webhook_signature=v1.") && out.contains("Authorization: (secret)") && out.contains("Cookie: (secret)"), "{out}");
    assert!(err.contains("signing secret, made for this run: whsec_"), "{err}");
    std::fs::write(&file, subscription.replace(r#","token":"geheim""#, "")).unwrap();
    let output = postrider(&arguments);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/credentials/token: `token` is not known; send it (secret_missing)"));
}

/// Runs the program with `input` as its standard input.
fn postrider_with(input: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

const CLEARED: &str = "examples/events/action.cleared.json";

#[test]
fn a_template_is_rendered_byte_for_byte() {
    let render = ["template", "render", "--template", "-", "--event", CLEARED, "--format"];
    let (code, out, err) = postrider_with("{\"p\": {Payout}, \"s\": \"{Status}\"}\n", &[&render[..], &["json"]].concat());
    assert_eq!((code, out.as_str()), (Some(0), "{\"p\": 0.88, \"s\": \"APPROVED\"}\n"), "{err}");
    let (code, out, err) = postrider_with("a={CampaignIdd}", &[&render[..], &["query"]].concat());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.contains("unknown_macro") && err.contains("a={CampaignIdd}") && err.contains("^") && err.contains("did you mean `CampaignId`?"),
        "{err}"
    );
    let (code, out, _) = postrider_with("a={CampaignIdd}", &[&render[..], &["query", "--json"]].concat());
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["ok"].clone(), document["errors"][0]["suggestion"].clone()), (Some(1), false.into(), "CampaignId".into()));
}

#[test]
fn the_documented_body_of_impact_is_mended_in_two_steps() {
    let body = include_str!("../template/impact-sample-body.txt");
    let check = ["template", "check", "--format", "json", "--template", "-"];
    let (code, _, err) = postrider_with(body, &check);
    assert_eq!(code, Some(1));
    for named in ["invalid_body", "wrapped_macro", "escape_run"] {
        assert!(err.contains(named), "{named} is not named: {err}");
    }
    let (code, fixed, err) = postrider_with(body, &[&check[..], &["--fix"]].concat());
    assert_eq!(code, Some(0), "{err}");
    let render = ["template", "render", "--format", "json", "--template", "-", "--event", CLEARED];
    let (code, out, err) = postrider_with(&fixed, &render);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap().as_object().unwrap().len(), 40);
}

#[test]
fn another_platforms_postback_is_imported() {
    let (code, out, err) = postrider_with("", &["template", "import", "https://t.example/pb?cid={aff_sub}&sum=#price#&x={weird}"]);
    assert_eq!((code, out.trim()), (Some(0), r"https://t.example/pb?cid={SubId1}&sum=#price#&x=\{weird}"));
    assert!(err.contains("not mapped  weird"), "{err}");
    let (_, out, _) = postrider_with("", &["template", "import", "--from", "#x#", "https://t.example/pb?sum=#price#"]);
    assert!(out.starts_with("https://t.example/pb?sum={"), "{out}");
}

#[test]
fn presets_are_listed_and_printed() {
    let (code, out, _) = postrider_with("", &["template", "presets"]);
    assert!(code == Some(0) && out.lines().count() >= 19 && out.contains("keitaro"), "{out}");
    let (code, out, _) = postrider_with("", &["template", "presets", "keitaro", "--json"]);
    assert!(code == Some(0) && serde_json::from_str::<serde_json::Value>(&out).unwrap()["request"]["url"].is_string());
    assert_eq!(postrider_with("", &["template", "presets", "none"]).0, Some(2));
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
