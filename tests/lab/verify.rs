//! `postrider verify`: the public vectors of Standard Webhooks, and what must not pass.

use crate::program::{Files, Run, run_with};

/// Id, timestamp, body, the receiver's key, signature.
const VECTORS: [[&str; 5]; 3] = [
    [
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        r#"{"test": 2432232314}"#,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ],
    [
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ],
    [
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        r#"{"test": 2432232314}"#,
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ],
];
/// The private key of the third vector.
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

/// Verifies with the body as standard input, at time `now`.
fn verify([id, timestamp, body, secret, signature]: [&str; 5], now: &str, more: &[&str]) -> Run {
    let arguments = ["verify", "--id", id, "--timestamp", timestamp, "--secret", secret, "--signature", signature, "--now", now];
    run_with(&[&arguments[..], more].concat(), body)
}

#[test]
fn the_public_vectors_hold() {
    for vector in VECTORS {
        let run = verify(vector, vector[1], &[]);
        let version = vector[4].split(',').next().unwrap();
        assert_eq!((run.code, run.out), (0, format!("good: a {version} signature matches, made 0 s ago\n")), "{}", run.err);
    }
    let at_that_time = verify(VECTORS[0], "2021-02-25T15:02:10Z", &["--json"]);
    let json = at_that_time.json();
    assert_eq!((&json["ok"], &json["version"], &json["signed_at"]), (&true.into(), &"v1".into(), &"2021-02-25T15:02:10.000Z".into()));
}

#[test]
fn a_signed_query_is_taken_as_a_url_or_its_path_and_query() {
    // The example of docs/signatures.md.
    let page = include_str!("../../docs/signatures.md");
    let target = page.lines().find(|line| line.starts_with("/postback?cid=1001")).unwrap();
    let check = |url: &str, more: &[&str]| {
        run_with(&[&["verify", "--secret", VECTORS[0][3], "--now", "1614265330", "--url", url][..], more].concat(), "")
    };
    for url in [target.to_owned(), format!("https://tracker.example:8443{target}#top")] {
        let run = check(&url, &[]);
        assert_eq!((run.code, run.out.as_str()), (0, "good: a v1 signature matches, made 0 s ago\n"), "{}", run.err);
    }
    assert_eq!(check(&target.replace("payout=5.00", "payout=50.00"), &["--json"]).json()["code"], "no_match");
    let unsigned = check("/postback?cid=1001", &[]);
    assert!(unsigned.code == 1 && unsigned.err.contains("the query is not signed"), "{}", unsigned.err);
    assert_eq!(check(target, &["--id", "x"]).code, 2, "either the URL or the parts");
    assert_eq!(run_with(&["verify", "--secret", VECTORS[0][3]], "").code, 2);
}

#[test]
fn what_was_changed_or_is_out_of_time_does_not_hold() {
    for vector in VECTORS {
        let [id, timestamp, body, secret, signature] = vector;
        let seconds: i64 = timestamp.parse().unwrap();
        let at = |offset: i64| (seconds + offset).to_string();
        let list = format!("v9,AAAA {signature}");
        let cases: [([&str; 5], String, &str); 8] = [
            (["msg_x", timestamp, body, secret, signature], at(0), "no_match"),
            ([id, timestamp, "{}", secret, signature], at(0), "no_match"),
            ([id, "soon", body, secret, signature], at(0), "bad_timestamp"),
            ([id, timestamp, body, secret, "v9,AAAA"], at(0), "no_known_version"),
            ([id, timestamp, body, secret, &signature[..signature.len() - 8]], at(0), "no_match"),
            (vector, at(301), "too_old"),
            (vector, at(-301), "too_new"),
            ([id, timestamp, body, secret, &list], at(300), ""),
        ];
        for (case, now, code) in cases {
            let run = verify(case, &now, &["--json"]);
            let json = run.json();
            assert_eq!((run.code, json["code"].as_str().unwrap_or_default()), (i32::from(!code.is_empty()), code), "{case:?} {now}");
            assert_eq!(run.err.contains("the signature does not hold: "), !code.is_empty(), "{}", run.err);
        }
        assert_eq!(verify(vector, &at(301), &["--tolerance", "301"]).code, 0);
    }
}

#[test]
fn keys_come_from_files_and_several_may_be_given() {
    let files = Files::new();
    let key = format!("@{}", files.write("key", &format!("{}\n", VECTORS[0][3])));
    let [id, timestamp, body, _, signature] = VECTORS[0];
    let run = verify([id, timestamp, body, VECTORS[1][3], signature], timestamp, &["--secret", &key]);
    assert_eq!(run.code, 0, "{}", run.err);
    let from_file = verify([id, timestamp, "", &key, signature], timestamp, &["--body", &files.write("body", body)]);
    assert_eq!(from_file.code, 0, "{}", from_file.err);
}

#[test]
fn a_line_end_too_much_is_pointed_out() {
    let [id, timestamp, body, secret, signature] = VECTORS[0];
    let run = verify([id, timestamp, &format!("{body}\n"), secret, signature], timestamp, &[]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("without the line end at the end of the body it would match"), "{}", run.err);
    let other = verify([id, timestamp, "{}\n", secret, signature], timestamp, &[]);
    assert!(!other.err.contains("line end"), "{}", other.err);
}

#[test]
fn a_key_that_is_none_is_wrong_usage_and_never_shown() {
    let [id, timestamp, body, _, signature] = VECTORS[2];
    let private = verify([id, timestamp, body, PRIVATE, signature], timestamp, &[]);
    assert_eq!(private.code, 2);
    assert!(private.err.contains(VECTORS[2][3]) && !private.err.contains(&PRIVATE[5..40]), "{}", private.err);
    for secret in ["", "whsec_", "whsec_???", "whpk_AAAA", "@none"] {
        let run = verify([id, timestamp, body, secret, signature], timestamp, &[]);
        assert!(matches!(run.code, 1 | 2) && run.out.is_empty() && !run.err.contains("???"), "{secret}: {}", run.err);
    }
}
