//! `postrider listen`: what it answers, and what it prints.

use postrider::clock::{Clock, SystemClock};
use postrider::request::sign::{SigningKey, sign_query};

use crate::program::{Files, Listener, run, run_in};

const SUBSCRIPTION: &str = "examples/scripts/subscription.json";
const EVENT: &str = "examples/events/action.tracked.json";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_script_is_answered_in_turn_and_send_shows_the_verdict() {
    let files = Files::new();
    let script =
        files.write("s.toml", "[[answer]]\npath = \"/pb*\"\nstatus = 503\nretry_after = 5\ntimes = 1\n\n[[answer]]\nbody = \"OK\"\n");
    let listener = Listener::start(&["--script", &script, "--json", "--once", "2"]);
    let to = format!("http://{}/pb?click={{SubId1}}", listener.address);
    let send = || run(&["send", "--subscription", SUBSCRIPTION, "--event", EVENT, "--to", &to, "--allow-private"]);
    let (first, second) = (send(), send());
    assert_eq!(first.code, 1, "{}", first.err);
    assert!(
        first.out.contains("HTTP 503") && first.out.contains("retry-after: 5") && first.out.contains("\nthrottled: status 503"),
        "{}",
        first.out
    );
    assert_eq!(second.code, 0, "{}{}", second.out, second.err);
    assert!(second.out.contains("HTTP 200") && second.out.contains("\ndelivered: the success response matches"), "{}", second.out);

    let lines = listener.printed_lines();
    let kinds: Vec<_> = lines.iter().map(|line| (line["type"].as_str().unwrap(), line["number"].as_u64().unwrap())).collect();
    assert_eq!(kinds, [("request", 1), ("answered", 1), ("request", 2), ("answered", 2)]);
    let request = &lines[0];
    assert_eq!((request["method"].as_str(), request["target"].as_str()), (Some("POST"), Some("/pb?click=w8TnE3kQ5u2Lx0")));
    assert_eq!(request["body"], r#"{"action_id": "1000.4636.158133", "status": "PENDING", "payout": 0.88}"#);
    let header = |name: &str| request["headers"].as_array().unwrap().iter().find(|header| header["name"] == name).unwrap()["value"].clone();
    assert_eq!(header("content-type"), "application/json");
    assert!(header("idempotency-key").as_str().unwrap().starts_with("dlv_"));
    assert_eq!((&request["answer"]["rule"], &request["answer"]["status"]), (&1.into(), &503.into()));
    assert_eq!((&lines[2]["answer"]["rule"], &lines[2]["answer"]["status"], &lines[3]["end"]), (&2.into(), &200.into(), &"sent".into()));
}

#[test]
fn i7_requests_are_printed_for_people_and_cannot_steer_the_terminal() {
    let listener = Listener::start(&["--once", "2"]);
    let answer = listener.post("/pb?SubId1=a%20b", "X-Evil: \u{1b}[2J\r\n", r#"{"a":5.00,"a":[]}"#);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    listener.post("/pb?SubId1=a%20b", "X-Evil: \u{1b}[2J\r\n", r#"{"a":5.00,"a":[]}"#);
    let text = listener.printed();
    for part in [
        "POST /pb?SubId1=a%20b\n    SubId1 = a b\n",
        "    X-Evil: \\u{1b}[2J\n",
        "    {\n      \"a\": 5.00,\n      \"a\": []\n    }\n",
        "  answer: 200 (answer 1 of the script)\n",
        "(arrival 2 of the same)",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn signatures_are_checked_per_request() {
    let files = Files::new();
    let secret = format!("@{}", files.write("secret", &format!("{SECRET}\n")));
    let listener = Listener::start(&["--json", "--once", "5", "--secret", &secret]);
    let key: SigningKey = SECRET.parse().unwrap();
    let now = SystemClock.now();
    let seconds = now.unix_ms() / 1_000;
    let headers = |signed_at: i64, signature: &str| {
        format!("webhook-id: msg_1\r\nwebhook-timestamp: {signed_at}\r\nwebhook-signature: {signature}\r\n")
    };
    let signature = key.sign("msg_1", now, b"{}");
    listener.post("/", &headers(seconds, &format!("v1,AAAA {signature}")), "{}");
    listener.post("/", &headers(seconds, &signature), "{ }");
    listener.post("/", &headers(0, &key.sign("msg_1", "1970-01-01T00:00:00Z".parse().unwrap(), b"{}")), "{}");
    listener.post("/", "", "{}");
    let mut url = "/pb?a=1".to_owned();
    sign_query(&mut url, "msg_1", now, &[&key]).unwrap();
    listener.post(&url, "", "");
    let lines = listener.printed_lines();
    let checks: Vec<_> = lines.iter().filter(|line| line["type"] == "request").map(|line| line["signature"].clone()).collect();
    assert_eq!((&checks[0]["ok"], &checks[0]["version"]), (&true.into(), &"v1".into()));
    assert_eq!((&checks[4]["ok"], &checks[4]["version"]), (&true.into(), &"v1".into()), "a signed query");
    let codes: Vec<_> = checks[1..4].iter().map(|check| check["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["no_match", "too_old", "missing"]);
    assert!(!lines.iter().any(|line| line.to_string().contains(SECRET)));
}

#[test]
fn a_delivery_is_told_by_its_key() {
    let files = Files::new();
    let script = files.write("s.toml", "[[answer]]\ntimes_each = 1\nstatus = 503\n[[answer]]\nstatus = 201\n");
    let listener = Listener::start(&["--script", &script, "--json", "--once", "4"]);
    let status = |key: &str, body: &str| listener.post("/", &format!("Idempotency-Key: {key}\r\n"), body)[9..12].to_owned();
    let statuses = [status("a", "1"), status("b", "1"), status("a", "2"), status("b", "1")];
    assert_eq!(statuses, ["503", "503", "201", "201"]);
}

#[test]
fn what_is_no_request_is_told_and_closed() {
    let listener = Listener::start(&["--json", "--once", "1"]);
    assert_eq!(listener.exchange(b"\x16\x03\x01\x02\x00\x01\x00"), b"");
    assert_eq!(listener.exchange(b"PRI * HTTP/2.0\r\n\r\n"), b"");
    let large = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 17 << 20);
    assert_eq!(listener.exchange(large.as_bytes()), b"");
    listener.post("/", "", "");
    let lines = listener.printed_lines();
    let details: Vec<_> = lines.iter().filter(|line| line["type"] == "unreadable").map(|line| line["detail"].as_str().unwrap()).collect();
    assert_eq!(details.len(), 3, "{lines:?}");
    assert!(details[0].contains("control character") && details[1].contains("not HTTP/1") && details[2].contains("more than 16777216"));
}

#[test]
fn chunked_bodies_and_the_question_whether_to_go_on_are_understood() {
    let listener = Listener::start(&["--json", "--once", "2"]);
    let chunked = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
    assert!(listener.exchange(chunked).ends_with(b"OK"));
    let asking = listener.exchange(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n");
    assert!(asking.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&asking));
    assert_eq!(listener.printed_lines()[0]["body"], "abc");
}

/// Sends once with `--tls` of this kind; tells the outcome and what the receiver said.
fn sent_over_tls(kind: &[&str], trusts: bool) -> (i32, String, Vec<serde_json::Value>) {
    let files = Files::new();
    let authority = files.path("authority.pem").display().to_string();
    let arguments = [&["--json", "--once", "1", "--tls-authority", &authority, "--tls"], kind].concat();
    let listener = Listener::start_at("127.0.0.1:0", &arguments);
    let to = format!("https://{}/pb", listener.address);
    let arguments = ["send", "--subscription", SUBSCRIPTION, "--event", EVENT, "--to", &to, "--allow-private"];
    let trusted = if trusts { authority.as_str() } else { "/dev/null" };
    let sent = run_in(&arguments, &[("SSL_CERT_FILE", trusted), ("SSL_CERT_DIR", "/nonexistent")]);
    if sent.code != 0 {
        // Its certificate was refused; a request that does not care ends it.
        listener.tls_post();
    }
    (sent.code, sent.out, listener.printed_lines())
}

#[test]
fn https_is_spoken_with_a_certificate_made_for_one_run() {
    let (code, out, lines) = sent_over_tls(&[], true);
    assert_eq!((code, lines[0]["method"].as_str()), (0, Some("POST")), "{out}");
    assert!(out.contains("\ndelivered: "), "{out}");
}

#[test]
fn c12_a_certificate_that_is_not_right_is_refused_and_named() {
    let table = [
        (&[][..], false, "not signed by an authority that we trust"),
        (&["expired"], true, "has expired"),
        (&["wrong-name"], true, "is for another name"),
        (&["self-signed"], true, "not signed by an authority that we trust"),
    ];
    for (kind, trusts, says) in table {
        let (code, out, lines) = sent_over_tls(kind, trusts);
        assert!(code == 1 && out.contains("unreachable: ") && out.contains(says), "{kind:?}: {out}");
        let requests: Vec<_> = lines.iter().filter(|line| line["type"] == "request").collect();
        assert_eq!(requests.len(), 1, "{kind:?}: nothing was sent over a connection that is not trusted: {lines:?}");
        assert!(lines[0]["detail"].as_str().unwrap().starts_with("the TLS handshake failed"), "{lines:?}");
    }
}

#[test]
fn own_certificates_are_read_or_named() {
    let wrong = run(&["listen", "--listen", "127.0.0.1:0", "--tls-certificate", "none.pem", "--tls-key", "none.pem"]);
    assert!(wrong.code == 1 && wrong.err.contains("`none.pem` cannot be read as certificates"), "{}", wrong.err);
    assert_eq!(run(&["listen", "--tls-certificate", "none.pem"]).code, 2);
    assert_eq!(run(&["listen", "--tls", "bad"]).code, 2);
}

#[test]
fn it_stays_on_this_machine_or_warns() {
    let mut elsewhere = Listener::start_at("0.0.0.0:0", &["--once", "1"]);
    elsewhere.address = elsewhere.address.replace("0.0.0.0", "127.0.0.1");
    elsewhere.post("/", "", "");
    assert!(elsewhere.complained().contains("can be reached from other machines"));
    let here = Listener::start(&["--once", "1"]);
    here.post("/", "", "");
    assert!(!here.complained().contains("warning"));
}

#[test]
fn a_wrong_address_or_a_taken_port_is_named() {
    let wrong = run(&["listen", "--listen", "here"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("`here` is not an address with a port"));
    let first = Listener::start(&[]);
    let second = run(&["listen", "--listen", &first.address]);
    assert_eq!(second.code, 1);
    assert!(second.err.contains("is in use; choose another port"), "{}", second.err);
}

#[test]
fn bad_scripts_are_named_with_their_line() {
    let files = Files::new();
    for (text, line, what) in [
        ("[[answer]]\nstatus = 503\nbodi = \"x\"\n", "line 3", "unknown field `bodi`"),
        ("[[answer]]\nstatus = 503\n\n[[answer]]\nshare = 2.0\n", "line 4", "share is 2"),
        ("[[answer]\n", "line 1", ""),
    ] {
        let path = files.write("bad.toml", text);
        for arguments in [&["listen", "--script", &path][..], &["simulate", "--subscription", SUBSCRIPTION, "--script", &path]] {
            let run = run(arguments);
            assert_eq!((run.code, run.out.as_str()), (1, ""), "{arguments:?}");
            assert!(run.err.contains(line) && run.err.contains(what) && run.err.contains("bad.toml"), "{}", run.err);
            assert_eq!(run.err.matches(line).count(), 1, "said once: {}", run.err);
        }
    }
    assert!(run(&["listen", "--script", "none.toml"]).err.contains("`none.toml` cannot be read"));
}
