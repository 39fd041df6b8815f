//! The commands by which people look after a server and its store.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Running;

/// Runs the program against this server.
async fn command(running: &Running, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_postrider"));
    command
        .args(arguments)
        .env("POSTRIDER_URL", format!("http://{}", running.client.address))
        .env("POSTRIDER_KEY", &running.client.key)
        .current_dir(running.folder.path());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

async fn done(running: &Running, arguments: &[&str]) -> String {
    let output = command(running, arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(running: &Running, arguments: &[&str]) -> String {
    let output = command(running, arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn spec(name: &str, url: &str) -> Value {
    json!({"account": "acme", "name": name, "event_types": ["action.*"], "request": {"url": url}})
}

#[tokio::test]
async fn subscriptions_are_made_what_a_file_says() {
    let running = Running::start().await;
    let file = running.folder.path().join("subs.json");
    let file = file.to_str().unwrap();
    let write = |value: Value| std::fs::write(file, value.to_string()).unwrap();
    let names = async || {
        let listed = running.client.get("/v1/subscriptions?account=acme").await.json();
        let mut names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|sub| sub["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    write(json!({"subscriptions": [spec("one", "https://t.example/1?i={ActionId}"), spec("two", "https://t.example/2?i={ActionId}")]}));
    let shown = done(&running, &["subscriptions", "apply", "-f", file, "--dry-run"]).await;
    assert!(shown.contains("+ create `one` of acme") && shown.contains("nothing was done"), "{shown}");
    assert!(names().await.is_empty());
    done(&running, &["subscriptions", "apply", "-f", file]).await;
    assert_eq!(names().await, ["one", "two"]);
    assert_eq!(done(&running, &["subscriptions", "apply", "-f", file]).await, "nothing to do\n");

    let mut changed = spec("one", "https://t.example/changed?i={ActionId}");
    changed["minimum_delay_s"] = json!(60);
    write(json!([changed]));
    let shown = done(&running, &["subscriptions", "apply", "-f", file, "--prune"]).await;
    assert!(shown.contains(r#"/request/url: "https://t.example/1?i={ActionId}" -> "https://t.example/changed?i={ActionId}""#), "{shown}");
    assert!(shown.contains("/minimum_delay_s: 0 -> 60") && shown.contains("- delete `two`"), "{shown}");
    assert_eq!(names().await, ["one"]);

    write(json!([spec("one", "https://t.example/?i={ActionId}"), spec("one", "https://t.example/?i={ActionId}")]));
    assert!(refused(&running, &["subscriptions", "apply", "-f", file]).await.contains("names `one` of account `acme` twice"));
    write(json!([{"account": "acme", "name": "x", "event_types": "action.*", "request": {"url": "https://t.example"}}]));
    assert!(refused(&running, &["subscriptions", "apply", "-f", file]).await.contains("subscription 0 of the file"));
    assert_eq!(names().await, ["one"], "a wrong file changes nothing");
}

#[tokio::test]
async fn events_are_sent_from_a_file_and_found_again() {
    let running = Running::start().await;
    let file = running.folder.path().join("events.ndjson");
    let lines: String = (0..1_200)
        .map(|n| format!("{{\"account\":\"acme\",\"type\":\"action.tracked\",\"key\":\"k{n}\",\"data\":{{\"ActionId\":\"\\u001b[31m{n}\",\"Payout\":5.00}}}}\n"))
        .collect();
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let first: Value = serde_json::from_str(&done(&running, &["events", "send", file]).await).unwrap();
    assert_eq!(first, json!({"accepted": 1_200, "duplicates": 0}));
    let again: Value = serde_json::from_str(&done(&running, &["events", "send", file]).await).unwrap();
    assert_eq!(again, json!({"accepted": 1_200, "duplicates": 1_200}));
    assert_eq!(done(&running, &["health"]).await, "ready\n");
    let table = done(&running, &["events", "list", "--limit", "300", "--type", "action.tracked"]).await;
    assert_eq!(table.lines().count(), 301);
    assert!(table.contains("\\u{1b}[31m1199") && !table.contains('\u{1b}'), "control characters are escaped");
    let one = done(&running, &["events", "list", "--field", "ActionId=\u{1b}[31m7", "--json"]).await;
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one[0]["data"]["Payout"].to_string(), "5.00");
    assert!(refused(&running, &["events", "show", "evt_/../accounts"]).await.contains("is no id"));
}

#[tokio::test]
async fn a_running_server_is_backed_up_and_moved_to_another_engine() {
    let receiver = Receiver::start().await;
    let running = Running::with(|settings| settings.store = "sled".into()).await;
    let credentials = json!({"credentials": {"type": "bearer", "token": "canary-token"}});
    let subscription = running.subscribe(&format!("http://{}/p?i={{ActionId}}", receiver.address), credentials).await;
    running.subscribe(&format!("http://{}/later?i={{ActionId}}", receiver.address), json!({"minimum_delay_s": 86_400})).await;
    for number in 0..30 {
        let event = json!({"account": "acme", "type": "action.tracked", "key": format!("k{number}"), "data": {"ActionId": format!("A{number}"), "Payout": 5.00}});
        assert_eq!(running.client.post("/v1/events", event).await.status, 202);
    }
    receiver.wait_for(30).await;
    running.wait_for_state(subscription["id"].as_str().unwrap(), "delivered", 30).await;
    let folder = running.folder.path().to_owned();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let archive = path("backup.ndjson");
    done(&running, &["store", "export", "--server", "--output", &archive]).await;
    assert!(refused(&running, &["store", "export", "--server", "--output", &archive]).await.contains("cannot be created"));
    assert_eq!(permissions(Path::new(&archive)), 0o600);

    assert!(!std::fs::read_to_string(&archive).unwrap().contains("canary-token"), "secrets are exported as they are stored: sealed");
    let master_key = Some(running.folder.path().join("data").join("master.key"));
    let paused = format!("sled:{}", path("paused"));
    done(&running, &["store", "import", "--paused", "--store", &paused, "--input", &archive]).await;
    let looked_at = Running::with_account(|settings| {
        settings.store = paused.into();
        settings.master_key_file.clone_from(&master_key);
    })
    .await;
    let listed = looked_at.client.get("/v1/subscriptions").await.json();
    assert!(listed["data"].as_array().unwrap().iter().all(|subscription| subscription["state"] == "paused"), "{listed}");

    let redb = format!("redb:{}", path("moved"));
    done(&running, &["store", "import", "--store", &redb, "--input", &archive]).await;
    assert!(refused(&running, &["store", "import", "--store", &redb, "--input", &archive]).await.contains("is not empty"));
    assert!(done(&running, &["store", "check", "--store", &redb]).await.ends_with("no faults\n"));
    let stats: Value = serde_json::from_str(&done(&running, &["store", "stats", "--json", "--store", &redb]).await).unwrap();
    assert_eq!((stats["subscriptions"].clone(), stats["deliveries"]["waiting"].clone()), (json!(2), json!(30)), "{stats}");

    let text = std::fs::read_to_string(&archive).unwrap();
    std::fs::write(path("cut.ndjson"), &text[..text.len() / 2]).unwrap();
    let cut = refused(&running, &["store", "import", "--store", &format!("sled:{}", path("half")), "--input", &path("cut.ndjson")]).await;
    assert!(cut.contains("cut off after line"), "{cut}");

    let sled = format!("sled:{}", path("back"));
    done(&running, &["store", "copy", "--from", &redb, "--to", &sled]).await;
    assert!(refused(&running, &["store", "copy", "--from", &redb, "--to", &sled]).await.contains("is not empty"));
    done(&running, &["store", "compact", "--store", &sled]).await;
    assert!(refused(&running, &["store", "check", "--store", "sled:nowhere"]).await.contains("there is no store in `nowhere`"));
    let in_use = refused(&running, &["store", "check", "--data", running.folder.path().join("data").to_str().unwrap()]).await;
    assert!(in_use.contains("is in use by process"), "{in_use}");

    // The moved store goes on where the first one was: keys known, the log there, the rest still waiting.
    let moved = Running::with_account(|settings| {
        settings.store = sled.clone().into();
        settings.master_key_file = master_key;
    })
    .await;
    let credentials = &moved.client.get(&format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap())).await.json()["credentials"];
    assert_eq!(credentials, &json!({"type": "bearer", "has_secret": true}), "the master key came along");
    let event = json!({"account": "acme", "type": "action.tracked", "key": "k7", "data": {"ActionId": "A7", "Payout": 5.00}});
    assert_eq!(moved.client.post("/v1/events", event).await.json()["duplicate"], true);
    let id = subscription["id"].as_str().unwrap();
    let delivered = moved.client.get(&format!("/v1/deliveries?subscription={id}&state=delivered&limit=100")).await.json();
    assert_eq!(delivered["data"].as_array().unwrap().len(), 30);
    let log = moved.client.get(&format!("/v1/deliveries/{}", delivered["data"][0]["id"].as_str().unwrap())).await.json();
    assert_eq!(log["attempt_log"][0]["response"]["status"], 200, "{log}");
    let audit = moved.client.get("/v1/audit?action=subscription.created").await.json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 2, "the audit log moves too: {audit}");
    assert_eq!(moved.client.get("/v1/deliveries?state=pending&limit=100").await.json()["data"].as_array().unwrap().len(), 30);
}

/// What a command told about its progress: the last of its lines of JSON on standard error.
async fn told(running: &Running, arguments: &[&str]) -> Value {
    let output = command(running, arguments).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let mut told = errors.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line.get("progress").is_some());
    told.next_back().unwrap_or_else(|| panic!("{arguments:?} told nothing: {errors}"))
}

#[tokio::test]
async fn long_commands_tell_programs_and_people_how_far_they_are() {
    let receiver = Receiver::start().await;
    let running = Running::with(|settings| settings.store = "sled".into()).await;
    let subscription = running.subscribe(&format!("http://{}/p?i={{ActionId}}", receiver.address), json!({})).await;
    let id = subscription["id"].as_str().unwrap();
    for number in 0..5 {
        running.emit(json!({"ActionId": number.to_string()})).await;
    }
    running.wait_for_state(id, "delivered", 5).await;
    let archive = running.folder.path().join("backup.ndjson").to_str().unwrap().to_owned();
    let place = |name: &str| format!("sled:{}", running.folder.path().join(name).to_str().unwrap());
    let (first, second) = (place("first"), place("second"));
    let export = ["store", "export", "--server", "--output", &archive];
    for (arguments, action) in [
        (&export[..], "bytes exported"),
        (&["store", "import", "--store", &first, "--input", &archive], "imported"),
        (&["store", "copy", "--from", &first, "--to", &second], "copied"),
        (&["store", "compact", "--store", &second], "copied"),
        (&["replays", "create", "--subscription", id, "--state", "delivered", "--wait"], "replayed"),
    ] {
        let last = told(&running, arguments).await;
        assert_eq!(last["progress"], action, "{last}");
        assert!(last["done"].as_u64().is_some_and(|done| done >= 5), "{arguments:?}: {last}");
    }
    // The same on a terminal: one line that is written again and again.
    std::fs::remove_file(&archive).unwrap();
    let on_a_terminal = format!(
        "import pty, sys; sys.exit(pty.spawn([{:?}, {}]))",
        env!("CARGO_BIN_EXE_postrider"),
        export.map(|a| format!("{a:?}")).join(", ")
    );
    let mut person = std::process::Command::new("python3");
    person
        .args(["-c", &on_a_terminal])
        .env("POSTRIDER_URL", format!("http://{}", running.client.address))
        .env("POSTRIDER_KEY", &running.client.key);
    let seen = tokio::task::spawn_blocking(move || person.output()).await.unwrap().expect("this test needs python3");
    let seen = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.contains("\r\u{1b}[Kbytes exported ") && !seen.contains("\"progress\""), "{seen:?}");
}

fn permissions(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
