//! The program as a process: what it may use, what it prints, and when it refuses to start.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use postrider::config::Settings;
use postrider::server::Server;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http::Client;
use crate::program::{Files, run, run_in};
use crate::server::Running;
use crate::villain::{Receiver, Script, Step, answer, ok};
use crate::wire::PATIENCE;

/// A running `postrider serve`; it is killed with the test.
pub struct Served {
    pub child: Child,
    pub client: Client,
    /// What it writes to standard error, after where it listens; nobody reads it unless the test does.
    pub errors: BufReader<std::process::ChildStderr>,
}

impl Served {
    pub async fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_postrider")), data, variables).await
    }

    /// Starts it by `command`, which ends in the program, with the account `acme`.
    pub async fn start_by(mut command: Command, data: &Path, variables: &[(&str, &str)]) -> Self {
        command.args(["serve", "--allow-private", "--listen", "127.0.0.1:0", "--store", "memory:", "--data"]).arg(data);
        command.env("POSTRIDER_LOG_FORMAT", "json").envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(errors.read_line(&mut line).unwrap(), 0, "the server did not start");
            if let Some(address) = line.strip_prefix("Postrider serves http://") {
                break address.trim().parse().unwrap();
            }
        };
        errors.read_line(&mut String::new()).unwrap();
        let key = std::fs::read_to_string(data.join("operator.key")).unwrap().trim().to_owned();
        let served = Self { child, client: Client { address, key }, errors };
        assert_eq!(served.client.post("/v1/accounts", json!({"id": "acme"})).await.status, 201);
        served
    }

    pub async fn subscribe(&self, spec: Value) -> String {
        let created = self.client.post("/v1/subscriptions", &spec).await;
        assert_eq!(created.status, 201, "{}", created.body);
        created.json()["id"].as_str().unwrap().to_owned()
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// A number of `/proc/<pid>/status`, in kilobytes.
    pub fn memory_kb(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time used so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until it holds; panics after a while.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polled = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(polled.await.is_ok(), "{what} did not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_log_that_nobody_reads_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let mut served = Served::start(folder.path(), &[]).await;
    served.subscribe(json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": receiver.url("/?i={ActionId}&s={Status}")}})).await;
    // The lines of two thousand attempts are several times what a pipe holds.
    let events = vec![r#"{"account":"acme","type":"action.tracked","data":{"ActionId":"1"}}"#; 1_000].join("\n");
    for _ in 0..2 {
        let headers = [("Content-Type", "application/x-ndjson")];
        assert_eq!(served.client.send("POST", "/v1/events", &headers, events.as_bytes()).await.status, 202);
    }
    assert!(tokio::time::timeout(PATIENCE, receiver.arrived(2_000)).await.is_ok(), "sending stopped after {}", receiver.requests().len());
    assert_eq!(served.client.get("/readyz").await.status, 200);
    served.terminate();
    let mut ended = None;
    eventually("the end after a termination", async || {
        ended = served.child.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert!(ended.unwrap().success(), "it stopped in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_without_file_descriptors_it_waits_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_postrider")]);
    let served = Served::start_by(limited, folder.path(), &[]).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(served.client.address).await.unwrap());
    }
    // It is full when it no longer answers.
    let asked = tokio::time::timeout(Duration::from_secs(2), served.client.call("GET", "/healthz", &[], b"")).await;
    assert!(asked.is_err(), "the test did not use up the descriptors");
    let before = served.ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = served.ticks() - before;
    assert!(used < 50, "it uses {used} % of a processor while it waits for descriptors");
    drop(held);
    eventually("an answer", async || {
        let asked = tokio::time::timeout(Duration::from_secs(1), served.client.call("GET", "/healthz", &[], b"")).await;
        asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j3_no_text_of_others_makes_lines_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "a\n{\"level\":\"INFO\",\"message\":\"forged\"}\u{1b}[2J";
    let receiver = Receiver::start(Script::always(answer(500, &[], hostile))).await.unwrap();
    let mut served = Served::start(folder.path(), &[("POSTRIDER_LOG", "debug,hyper_util=off")]).await;
    let request = json!({"url": receiver.url("/?i={ActionId}&s={SubId1}"), "method": "POST", "body": "b={SubId1}"});
    served
        .subscribe(json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": request, "retry": {"attempts": 1}}))
        .await;
    served.client.post("/v1/accounts", json!({"id": hostile, "name": hostile})).await;
    served.client.post("/v1/events", json!({"account": hostile, "type": hostile, "key": hostile, "data": {}})).await;
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": hostile, "SubId1": hostile}});
    assert_eq!(served.client.post("/v1/events", event).await.status, 202);
    receiver.arrived(1).await;
    eventually("the end of the delivery", async || {
        !served.client.get("/v1/deliveries?state=dead").await.json()["data"].as_array().unwrap().is_empty()
    })
    .await;
    served.terminate();
    let mut lines = Vec::new();
    while let Some(line) = {
        let mut line = String::new();
        (served.errors.read_line(&mut line).unwrap() > 0).then_some(line)
    } {
        lines.push(line);
    }
    assert!(lines.iter().any(|line| line.contains("\"attempt\"")), "{lines:?}");
    for line in lines.iter().filter(|line| !line.starts_with("Stopping")) {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(parsed["message"] != "forged" && !line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn a4_on_a_full_disk_events_are_turned_away_and_what_is_stored_is_sent() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let running = Running::with(|_| {}).await;
    running.subscribe(&receiver.url("/?i={ActionId}&s={Status}"), json!({"minimum_delay_s": 1})).await;
    let event = json!({"account": "acme", "type": "action.tracked", "data": {"ActionId": "1"}});
    assert_eq!(running.client.post("/v1/events", &event).await.status, 202);
    let data = running.folder.path().join("data");
    running.server.stop().await.unwrap();
    let settings = |floor: u64| Settings {
        data: data.clone(),
        listen: "127.0.0.1:0".parse().unwrap(),
        allow_private: true,
        disk_free_bytes_min: floor,
        ..Settings::default()
    };
    let full = Server::start(&settings(u64::MAX)).await.unwrap();
    let client = Client { address: full.address(), key: full.operator_key().to_owned() };
    let refused = client.post("/v1/events", &event).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("storage_full")));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert!(tokio::time::timeout(PATIENCE, receiver.arrived(1)).await.is_ok(), "what was accepted before is sent");
    assert_eq!(client.get("/v1/events").await.json()["data"].as_array().unwrap().len(), 1);
    full.stop().await.unwrap();
    let space = Server::start(&settings(0)).await.unwrap();
    let client = Client { address: space.address(), key: space.operator_key().to_owned() };
    assert_eq!(client.post("/v1/events", &event).await.status, 202, "with space it takes events again");
    space.stop().await.unwrap();
}

#[test]
fn a13_a_data_folder_that_cannot_be_used_is_named_before_anything_listens() {
    let files = Files::new();
    let file = files.write("file", "x");
    for folder in ["/proc/postrider", file.as_str(), "/dev/null/x"] {
        let run = run(&["serve", "--listen", "127.0.0.1:0", "--data", folder]);
        assert_eq!(run.code, 1, "{}", run.err);
        assert!(run.err.contains(folder) && run.err.contains("--data") && !run.err.contains("serves http"), "{}", run.err);
    }
}

#[test]
fn h17_there_is_no_key_that_others_could_know() {
    let drawn = || {
        let folder = tempfile::tempdir().unwrap();
        let running = tokio::runtime::Runtime::new().unwrap();
        running.block_on(async {
            let settings = Settings {
                data: folder.path().into(),
                store: "memory:".into(),
                listen: "127.0.0.1:0".parse().unwrap(),
                ..Settings::default()
            };
            let server = Server::start(&settings).await.unwrap();
            let key = server.operator_key().to_owned();
            server.stop().await.unwrap();
            key
        })
    };
    let (first, second) = (drawn(), drawn());
    assert!(first != second && first.len() >= 40, "a key of {} characters", first.len());
    for text in ["", "\n", "admin\n", "changeme"] {
        let files = Files::new();
        files.write("operator.key", text);
        let folder = files.path("").display().to_string();
        let run = run(&["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--data", &folder]);
        assert!(run.code == 1 && run.err.contains("operator.key"), "{text:?}: {} {}", run.code, run.err);
    }
}

#[test]
fn h16_by_default_nobody_else_reaches_it() {
    let settings = Settings::default();
    assert!(settings.listen.ip().is_loopback());
    assert!(!settings.allow_private && settings.allow.is_empty());
}

#[test]
fn settings_outside_of_what_makes_sense_are_refused() {
    for (name, value) in [
        ("POSTRIDER_CONNECTIONS_MAX", "0"),
        ("POSTRIDER_CONNECTIONS_MAX", "18446744073709551615"),
        ("POSTRIDER_CONNECTIONS_PER_ADDRESS_MAX", "0"),
        ("POSTRIDER_REQUEST_HEAD_S", "0"),
        ("POSTRIDER_REQUEST_BODY_S", "3601"),
        ("POSTRIDER_CONNECTION_IDLE_S", "0"),
        ("POSTRIDER_SUBSCRIPTIONS_PER_ACCOUNT_MAX", "0"),
        ("POSTRIDER_WAITING_PER_SUBSCRIPTION_MAX", "0"),
        ("POSTRIDER_DRAIN_S", "3601"),
        ("POSTRIDER_BODY_BYTES_MAX", "0"),
        ("POSTRIDER_ALLOW", "10.0.0.0/33"),
        ("POSTRIDER_DENY", "everything"),
    ] {
        let run = run_in(&["serve", "--listen", "127.0.0.1:0", "--store", "memory:"], &[(name, value)]);
        let setting = name.strip_prefix("POSTRIDER_").unwrap().to_lowercase();
        assert!(run.code == 2 && run.err.to_lowercase().contains(&setting), "{name}={value}: {} {}", run.code, run.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d21_ranges_that_are_probably_not_meant_are_warned_about_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--data"])
        .arg(folder.path())
        .env("POSTRIDER_ALLOW", "0.0.0.0/0,10.1.2.3/8")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.take_while(|line| !line.contains("ready")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said.join("\n");
    assert!(said.contains("`0.0.0.0/0` allows very many addresses") && said.contains("means `10.0.0.0/8`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_what_receivers_answer_does_not_steer_the_terminal() {
    let body = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt.exe\r\nOK";
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Evil: a\u{9b}2J\u{202e}b\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body.as_bytes());
    let receiver = Receiver::start(Script::always(vec![Step::Send(bytes)])).await.unwrap();
    let to = receiver.url("/?i={ActionId}&s={Status}");
    let sent = tokio::task::spawn_blocking(move || {
        let subscription = "examples/scripts/subscription.json";
        run(&["send", "--subscription", subscription, "--event", "examples/events/action.tracked.json", "--allow-private", "--to", &to])
    });
    let sent = sent.await.unwrap();
    assert!(sent.out.contains("owned") && sent.out.contains("X-Evil: ") || sent.out.contains("x-evil: "), "{}", sent.out);
    for text in [&sent.out, &sent.err] {
        let steers =
            |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!text.contains(steers), "{}", text.escape_debug());
    }
}

#[test]
fn b5_dates_do_not_depend_on_the_zone_of_the_machine() {
    let files = Files::new();
    let template = files.write("t", "{date(EventDate, \"%Y-%m-%dT%H:%M:%S\", \"America/New_York\")} {date(EventDate, \"%H:%M\")}");
    let render = |zone: &str| {
        let run = run_in(
            &["template", "render", "--format", "raw", "--template", &template, "--event", "examples/events/action.tracked.json"],
            &[("TZ", zone)],
        );
        assert_eq!(run.code, 0, "{}", run.err);
        run.out
    };
    let utc = render("UTC");
    for zone in ["Pacific/Kiritimati", "America/New_York", "Australia/Lord_Howe", "right/UTC", "nonsense", ":/etc/passwd"] {
        assert_eq!(render(zone), utc, "{zone}");
    }
}
