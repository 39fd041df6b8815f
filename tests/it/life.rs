//! The life of the program: what it tells systemd, and settings that change while it runs.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::http::Client;

/// The program with a settings file, and a socket on which it tells how it goes.
struct Program {
    child: Child,
    client: Client,
    file: PathBuf,
    told: UnixDatagram,
    /// Its lines.
    lines: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("postrider.toml"), folder.path().join("notify"));
        std::fs::write(&file, settings).unwrap();
        let told = UnixDatagram::bind(&socket).unwrap();
        told.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "200000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.by_ref().find_map(|line| Some(line.strip_prefix("Postrider serves http://")?.trim().parse().unwrap()));
        let (sender, receiver) = channel();
        std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        let key = read_key(folder.path());
        Self { child, client: Client { address: address.unwrap(), key }, file, told, lines: receiver, _folder: folder }
    }

    /// Waits until a message of this beginning was told.
    fn wait_for(&self, beginning: &str) -> String {
        let mut buffer = [0; 1_024];
        loop {
            let length = self.told.recv(&mut buffer).unwrap_or_else(|error| panic!("`{beginning}` was not told: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.starts_with(beginning) {
                return message;
            }
        }
    }

    /// Waits for a line of the log that holds this text.
    fn wait_for_line(&self, text: &str) {
        while !self.lines.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("`{text}` was not logged")).contains(text) {}
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What the audit log has of reloads, newest first, when there are so many.
    async fn reloads(&self, count: usize) -> Vec<Value> {
        let found = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let page = self.client.get("/v1/audit?action=settings.reloaded").await.json();
                let entries = page["data"].as_array().unwrap().clone();
                if entries.len() >= count {
                    return entries;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        found.await.expect("the reload is not in the audit log")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_key(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/operator.key")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn l2_systemd_is_told_of_the_start_the_state_every_turn_and_the_stop() {
    let mut program = Program::start("");
    program.wait_for("READY=1");
    assert_eq!(program.wait_for("STATUS="), "STATUS=0 waiting, 0 in flight, 0 failing");
    for _ in 0..3 {
        program.wait_for("WATCHDOG=1");
    }
    program.signal(Signal::TERM);
    program.wait_for("STOPPING=1");
    assert!(program.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_hang_up_takes_over_settings_or_none_of_them() {
    let program = Program::start("retention_days = 7\nfailing_after = 5\n");
    program.wait_for("READY=1");
    let blocked =
        json!({"account": "acme", "name": "x", "event_types": ["action.*"], "request": {"url": "https://198.51.100.7/?i={ActionId}"}});
    program.client.post("/v1/accounts", json!({"id": "acme"})).await;
    let warned = async || {
        let answer = program.client.post("/v1/subscriptions", &blocked).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "blocked_address")
    };
    assert!(warned().await, "documentation addresses are not sent to");
    std::fs::write(&program.file, "retention_days = 8\nfailing_after = 5\nlog = \"debug\"\nallow = [\"198.51.100.0/24\"]\n").unwrap();
    program.signal(Signal::HUP);
    let reloading = program.wait_for("RELOADING=1\n");
    let since: u64 = reloading.split_once("MONOTONIC_USEC=").unwrap().1.parse().unwrap();
    let now = postrider::clock::system_monotonic().as_micros() as u64;
    assert!(since <= now && now - since < 60_000_000, "{since} {now}");
    program.wait_for("READY=1");
    let entry = program.reloads(1).await.remove(0);
    assert_eq!((entry["changes"].clone(), entry["actor"]["name"].clone()), (json!(["/allow", "/retention_days", "/log"]), json!("server")));
    assert!(!warned().await, "what is allowed holds from now on");
    program.client.send("GET", "/v1/me?canary", &[("X-Request-Id", "mine-7")], b"").await;
    // The level of the log is changed too.
    program.wait_for_line("mine-7");
    for (text, named) in [
        ("retention_days = 9\nsurprise = 1\n", "surprise"),
        ("retention_days = 9\nbody_bytes_max = 5000\n", "`body_bytes_max` cannot change while the server runs"),
        ("retention_days = 0\n", "`retention_days` is 0"),
        ("log = \"a=b=c\"\n", "a=b=c"),
    ] {
        std::fs::write(&program.file, text).unwrap();
        program.signal(Signal::HUP);
        program.wait_for_line(named);
        program.wait_for("RELOADING=1\n");
        program.wait_for("READY=1");
    }
    assert!(!warned().await, "what was allowed before still is");
    std::fs::write(&program.file, "retention_days = 8\nfailing_after = 6\nlog = \"debug\"\nallow = [\"198.51.100.0/24\"]\n").unwrap();
    program.signal(Signal::HUP);
    let entries = program.reloads(2).await;
    assert_eq!((entries.len(), entries[0]["changes"].clone()), (2, json!(["/failing_after"])));
    assert_eq!(program.client.get("/healthz").await.status, 200);
}
