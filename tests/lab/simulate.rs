//! `postrider simulate`: schedules, waits that are asked for, ends, backlogs, and the example scripts.

use serde_json::{Value, json};

use crate::program::{Files, Run, example_scripts, run};
use postrider::subscription::Preset;

/// A subscription whose waits are exact, with these fields besides.
fn subscription(more: Value) -> String {
    let mut subscription = json!({
        "account": "acme", "name": "x", "event_types": ["action.*"],
        "request": {"url": "https://t.example/pb?i={ActionId}&n={NotificationId}&s={Status}"},
        "retry": {"jitter": 0},
    });
    for (name, value) in more.as_object().unwrap() {
        subscription[name] = value.clone();
    }
    subscription.to_string()
}

fn simulate_files(subscription: &str, script: &str, more: &[&str]) -> Run {
    let files = Files::new();
    let (subscription, script) = (files.write("sub.json", subscription), files.write("script.toml", script));
    run(&[&["simulate", "--subscription", &subscription, "--script", &script], more].concat())
}

fn simulated(more: Value, script: &str, arguments: &[&str]) -> Value {
    let run = simulate_files(&subscription(more), script, &[&["--json"], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    run.json()
}

fn column<'a>(simulated: &'a Value, name: &str) -> Vec<&'a Value> {
    simulated["attempts"].as_array().unwrap().iter().map(|attempt| &attempt[name]).collect()
}

fn numbers(simulated: &Value, name: &str) -> Vec<u64> {
    column(simulated, name).into_iter().map(|value| value.as_u64().unwrap()).collect()
}

const DOWN: &str = "[[answer]]\nstatus = 503\n";

#[test]
fn the_documented_schedule_is_followed_to_its_end() {
    let result = simulated(json!({}), DOWN, &[]);
    // docs/api.md: 16 attempts; entry n is the wait after attempt n.
    let waits_s = [10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200, 86_400];
    let mut at_ms = vec![0];
    waits_s.iter().for_each(|wait| at_ms.push(at_ms.last().unwrap() + wait * 1_000));
    assert_eq!(numbers(&result, "at_ms"), at_ms);
    assert_eq!(numbers(&result, "wait_ms")[1..], waits_s.map(|wait| wait * 1_000));
    assert_eq!(numbers(&result, "number"), (1..=16).collect::<Vec<_>>());
    assert!(column(&result, "outcome").into_iter().all(|outcome| outcome == "unexpected_response"));
    assert_eq!(
        (&result["state"], &result["dead_reason"], &result["decided_ms"]),
        (&json!("dead"), &json!("exhausted"), &json!(209_320_000))
    );
    assert_eq!(result["summary"]["outcomes"], json!({"unexpected_response": 16}));
}

#[test]
fn the_table_for_people_says_the_same() {
    let script = "[[answer]]\nstatus = 503\ntimes = 1\n[[answer]]\nfault = \"hang_mid_body\"\ntimes = 1\n";
    let run = simulate_files(&subscription(json!({"minimum_delay_s": 90})), script, &[]);
    let lines: Vec<Vec<&str>> =
        run.out.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(lines[0], ["attempt", "at", "wait before", "took", "answer", "outcome", "why"]);
    assert_eq!(lines[1], ["1", "1 m 30 s", "1 m 30 s", "0 s", "503 (answer 1)", "unexpected_response", "status 503"]);
    assert_eq!(lines[2], ["2", "1 m 40 s", "10 s", "10 s", "none (answer 2)", "timed_out", "no whole answer within 10000 ms"]);
    assert_eq!(lines[3], ["3", "2 m 20 s", "30 s", "0 s", "200", "delivered", "status 200"]);
    assert_eq!(lines[5], ["delivered after 3 attempts, 2 m 20 s after the event was accepted"]);
}

#[test]
fn jitter_is_decided_by_the_seed_and_only_lengthens() {
    let with_seed = |seed: &str| numbers(&simulated(json!({"retry": {"jitter": 0.1}}), DOWN, &["--seed", seed]), "wait_ms");
    let (first, second) = (with_seed("1"), with_seed("2"));
    assert_eq!(first, with_seed("1"));
    assert_ne!(first, second);
    let exact = numbers(&simulated(json!({}), DOWN, &[]), "wait_ms");
    for (drawn, exact) in first.iter().chain(&second).zip(exact.iter().chain(&exact)) {
        assert!(drawn >= exact && *drawn <= exact + exact / 10 + 1, "{drawn} {exact}");
    }
}

#[test]
fn what_the_receiver_asks_for_is_waited_for() {
    let script = "[[answer]]\nstatus = 503\nretry_after = 1800\ntimes = 1\n[[answer]]\nstatus = 503\nretry_after_date = 600\ntimes = 1\n\
                  [[answer]]\nstatus = 429\nretry_after = 999999\ntimes = 1\n[[answer]]\nstatus = 503\nheaders = { Retry-After = \"soon\" }\ntimes = 1";
    let result = simulated(json!({}), script, &[]);
    assert_eq!(numbers(&result, "wait_ms"), [0, 1_800_000, 600_000, 86_400_000, 120_000]);
    assert_eq!(column(&result, "outcome"), ["throttled", "throttled", "throttled", "unexpected_response", "delivered"]);
    let others = simulated(json!({}), "[[answer]]\nstatus = 503\nretry_after = 60\ntimes = 1", &["--events", "40"]);
    // The 32 in flight had begun; the other 8 and the retry wait for the receiver.
    assert_eq!((&others["summary"]["first_attempts_ms"], &others["summary"]["requests"]), (&json!(60_000), &json!(41)));
}

#[test]
fn profiles_and_limits_end_it() {
    let standard = simulated(json!({}), "[[answer]]\nstatus = 500", &[]);
    let impact = simulated(json!({"retry": {"profile": "impact"}}), "[[answer]]\nstatus = 500", &[]);
    assert_eq!((column(&standard, "number").len(), column(&impact, "number").len()), (16, 1));
    assert_eq!(impact["dead_reason"], "refused");
    let two = simulated(json!({"retry": {"attempts": 2, "jitter": 0, "schedule_s": [0.25]}}), DOWN, &[]);
    assert_eq!((numbers(&two, "at_ms"), &two["dead_reason"]), (vec![0, 250], &json!("exhausted")));
    let gone = simulated(json!({}), "[[answer]]\nstatus = 410", &[]);
    assert_eq!((column(&gone, "outcome"), &gone["dead_reason"]), (vec![&json!("refused")], &json!("refused")));
    let exponential = json!({"retry": {"jitter": 0, "attempts": 5, "exponential": {"initial_s": 1, "factor": 3, "max_s": 10}}});
    assert_eq!(numbers(&simulated(exponential, DOWN, &[]), "wait_ms"), [0, 1_000, 3_000, 9_000, 10_000]);
}

#[test]
fn a_backlog_takes_the_time_that_the_ceiling_gives() {
    let ceiling = json!({"max_requests_per_second": 20});
    let summary = simulated(ceiling.clone(), "", &["--events", "1000"])["summary"].clone();
    assert_eq!(
        (&summary["delivered"], &summary["first_attempts_ms"], &summary["all_decided_ms"]),
        (&json!(1_000), &json!(49_950), &json!(49_950))
    );
    let twice = simulated(ceiling, "[[answer]]\ntimes_each = 1\nstatus = 503", &["--events", "1000"])["summary"].clone();
    assert_eq!(
        (&twice["requests"], &twice["all_decided_ms"]),
        (&json!(2_000), &json!(99_950)),
        "retries take their turn under the ceiling"
    );
    let retries = json!({"max_requests_per_second": 20, "rate_scope": "retries"});
    let retries = simulated(retries, "[[answer]]\ntimes_each = 1\nstatus = 503", &["--events", "1000"])["summary"].clone();
    assert_eq!((&retries["first_attempts_ms"], &retries["all_decided_ms"]), (&json!(0), &json!(10_000 + 49_950)));
    let told = simulate_files(&subscription(json!({"max_requests_per_second": 0.5})), "", &["--events", "100"]);
    assert!(told.out.contains("Under the ceiling of 0.5 a second, 100 requests take at least 3 m 18 s."), "{}", told.out);
    let slow = simulated(json!({}), "[[answer]]\ndelay_ms = 1000", &["--events", "64"])["summary"].clone();
    assert_eq!(slow["all_decided_ms"], 2_000, "32 in flight at one time");
}

#[test]
fn what_does_not_render_is_never_sent() {
    let files = Files::new();
    let event = json!({"type": "action.tracked", "data": {"ActionId": "7".repeat(9_000)}});
    let event = files.write("event.json", &event.to_string());
    let result = simulated(json!({}), DOWN, &["--event", &event]);
    assert_eq!((column(&result, "outcome"), column(&result, "rule")), (vec![&json!("not_rendered")], vec![&Value::Null]));
    assert_eq!((&result["dead_reason"], &result["summary"]["requests"]), (&json!("not_sendable"), &json!(0)));
}

#[test]
fn presets_do_what_their_scripts_say() {
    let table: [(&str, &str, &[&str], &str); 4] = [
        ("keitaro", "keitaro.toml", &["unexpected_response", "unexpected_response", "delivered"], "delivered"),
        ("hoqu-post", "hoqu.toml", &["unexpected_response", "unexpected_response", "delivered"], "delivered"),
        ("hoqu-get", "hoqu.toml", &["unexpected_response", "unexpected_response", "delivered"], "delivered"),
        ("tune", "tune-refusals.toml", &["refused"], "dead"),
    ];
    for (preset, script, outcomes, state) in table {
        let preset = Preset::find(preset).unwrap();
        let text = subscription(json!({
            "event_types": preset.event_types, "request": serde_json::to_value(&preset.request).unwrap(),
            "success_response": preset.success_response, "error_response": preset.error_response,
        }));
        let files = Files::new();
        let path = files.write("sub.json", &text);
        let run = run(&["simulate", "--subscription", &path, "--script", &format!("examples/scripts/{script}"), "--json"]);
        assert_eq!(run.code, 0, "{}: {}", preset.name, run.err);
        let result = run.json();
        assert_eq!(
            (column(&result, "outcome"), &result["state"]),
            (outcomes.iter().map(|o| Value::from(*o)).collect::<Vec<_>>().iter().collect(), &json!(state)),
            "{}",
            preset.name
        );
    }
}

#[test]
fn every_example_script_can_be_used() {
    let scripts = example_scripts(".toml");
    assert_eq!(scripts.len(), 7, "{scripts:?}");
    for script in scripts {
        let path = format!("examples/scripts/{script}");
        let run = run(&["simulate", "--subscription", "examples/scripts/subscription.json", "--script", &path, "--json"]);
        assert_eq!(run.code, 0, "{script}: {}", run.err);
        assert_ne!(run.json()["state"], "pending", "{script}");
    }
}
