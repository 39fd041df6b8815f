use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;

use super::key::{PRIVATE_PREFIX, SHARED_PREFIX};
use super::*;
use crate::clock::Timestamp;
use crate::request::build::{BuildError, URL_BYTES_MAX};
use crate::secret::Secret;
use crate::subscription::SignatureVersion;

/// The public vectors: id, Unix seconds, body, the sender's key, the receiver's key, the signature.
const VECTORS: [(&str, i64, &str, &str, &str, &str); 3] = [
    (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ),
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

/// Checks `signature` over the first vector's content, `offset_s` after it was signed.
fn checked(signature: &str, keys: &[&str], offset_s: i64) -> Result<Verified, VerifyError> {
    let (id, seconds, body, ..) = VECTORS[0];
    let keys: Vec<VerifyingKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
    let timestamp = seconds.to_string();
    let signed = Signed { id, timestamp: &timestamp, signature, body: body.as_bytes() };
    verify(&signed, &keys, at(seconds + offset_s), TOLERANCE)
}

#[test]
fn the_public_vectors_are_signed_and_verified() {
    for (id, seconds, body, private, public, signature) in VECTORS {
        assert_eq!(private.parse::<SigningKey>().unwrap().sign(id, at(seconds), body.as_bytes()), signature);
        let timestamp = seconds.to_string();
        let signed = Signed { id, timestamp: &timestamp, signature, body: body.as_bytes() };
        let keys = [public.parse().unwrap()];
        let verified = verify(&signed, &keys, at(seconds), TOLERANCE).unwrap();
        assert_eq!((verified.version, verified.signed_at), (signature.split(',').next().unwrap(), at(seconds)));
        for changed in [
            Signed { id: "msg_other", ..signed },
            Signed { timestamp: "1614265331", ..signed },
            Signed { body: b"{}", ..signed },
            Signed { signature: &signature.replace(",g", ",h").replace(",t", ",u").replace(",hnO", ",hnP"), ..signed },
        ] {
            let now = at(changed.timestamp.parse().unwrap());
            assert_eq!(verify(&changed, &keys, now, TOLERANCE), Err(VerifyError::NoMatch), "{changed:?}");
        }
    }
}

#[test]
fn any_entry_of_the_list_may_match_and_unknown_versions_are_skipped() {
    let (.., key, good) = VECTORS[0];
    let other = VECTORS[1].5;
    for list in [format!("{other} {good}"), format!("v9,xyz v1a,abc {good} v1,"), format!("nonsense  {good}")] {
        assert_eq!(checked(&list, &[key], 0).map(|verified| verified.version), Ok("v1"), "{list}");
    }
    assert!(checked(good, &[VECTORS[1].4, key], 0).is_ok(), "while a key is being replaced either holds");
    assert_eq!(checked(other, &[key], 0), Err(VerifyError::NoMatch));
    assert_eq!(checked(&good[..good.len() - 4], &[key], 0), Err(VerifyError::NoMatch), "a truncated signature");
    let unknown = checked("v1a,abc v9,xyz", &[key], 0).unwrap_err();
    assert_eq!(unknown, VerifyError::NoKnownVersion { wanted: "`v1`".into(), found: "`v1a`, `v9`".into() });
    assert_eq!(checked("", &[key], 0).unwrap_err().code(), "no_known_version");
}

#[test]
fn the_time_may_be_off_by_the_tolerance_in_both_directions() {
    let (.., key, good) = VECTORS[0];
    for (offset_s, code) in [(300, None), (301, Some("too_old")), (-300, None), (-301, Some("too_new"))] {
        let code_of = checked(good, &[key], offset_s).err().map(|error| error.code());
        assert_eq!(code_of, code, "{offset_s}");
    }
    assert_eq!(checked("v1,AAAA", &[key], 9_000), Err(VerifyError::NoMatch), "what does not match is not called old");
}

#[test]
fn a_timestamp_is_digits_and_nothing_else() {
    let keys = [VECTORS[0].4.parse().unwrap()];
    for timestamp in ["", "soon", "+1614265330", " 1614265330", "1614265330.0", "-1", "99999999999999999999"] {
        let signed = Signed { id: "msg_1", timestamp, signature: "v1,AAAA", body: b"" };
        let error = verify(&signed, &keys, at(0), TOLERANCE).unwrap_err();
        assert_eq!(error.code(), "bad_timestamp", "{timestamp:?}");
    }
    let signed = Signed { id: "msg_1", timestamp: "9223372036854775807", signature: "v1,AAAA", body: b"" };
    assert_eq!(verify(&signed, &keys, at(0), TOLERANCE), Err(VerifyError::NoMatch));
}

#[test]
fn keys_are_refused_without_being_shown() {
    let private = VECTORS[2].3;
    assert_eq!(private.parse::<VerifyingKey>().unwrap_err(), KeyError::Private { public: VECTORS[2].4.into() });
    assert_eq!(VECTORS[2].4.parse::<SigningKey>().unwrap_err(), KeyError::Public);
    let swapped = format!("whsk_{}", STANDARD.encode([7; 64]));
    assert_eq!(swapped.parse::<SigningKey>().unwrap_err(), KeyError::Inconsistent);
    for (text, error) in [
        ("", KeyError::Empty),
        ("whsec_", KeyError::Empty),
        ("whsec_not base64!", KeyError::NotBase64),
        ("whpk_AAAA", KeyError::WrongLength { prefix: "whpk_", bytes: 3, expected: 32 }),
        ("whsk_AAAA", KeyError::WrongLength { prefix: "whsk_", bytes: 3, expected: 64 }),
    ] {
        assert_eq!(text.parse::<VerifyingKey>().unwrap_err(), error, "{text}");
    }
    let short: VerifyingKey = "whsec_c2hvcnQ".parse().unwrap();
    assert!(short.is_short() && !VECTORS[0].4.parse::<VerifyingKey>().unwrap().is_short());
    assert!(!format!("{short:?} {:?}", "whsec_c2hvcnQ=".parse::<SigningKey>().unwrap()).contains("c2hv"));
}

/// Checks a signed URL, `offset_s` after the first vector was signed.
fn checked_query(url: &str, key: &str, offset_s: i64) -> Result<Verified, VerifyError> {
    let query = SignedQuery::parse(url).unwrap_or_else(|| panic!("{url} is not signed"));
    verify(&query.signed(), &[key.parse().unwrap()], at(VECTORS[0].1 + offset_s), TOLERANCE)
}

#[test]
fn a_query_is_signed_over_path_and_query_as_sent() {
    let keys = [VECTORS[0].3.parse().unwrap(), VECTORS[2].3.parse().unwrap()];
    let table = [
        ("https://t.example/p?a=1&b=%20x", "/p?a=1&b=%20x&"),
        ("https://t.example:8443/", "/?"),
        ("https://t.example/?", "/?"),
        ("https://t.example/p?a&", "/p?a&"),
        ("http://t.example/p?u=https://other.example/", "/p?u=https://other.example/&"),
    ];
    for (url, before) in table {
        let mut signed = url.to_owned();
        sign_query(&mut signed, "dlv_1", at(VECTORS[0].1), &keys.iter().collect::<Vec<_>>()).unwrap();
        // Computed by hand, as a receiver would.
        let content = format!("{before}webhook_id=dlv_1&webhook_timestamp=1614265330");
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(VECTORS[0].4).unwrap());
        let v1 = URL_SAFE_NO_PAD.encode(hmac::sign(&hmac, format!("dlv_1.1614265330.{content}").as_bytes()));
        assert!(signed.ends_with(&format!("{content}&webhook_signature=v1.{v1}~v1a.{}", signed.rsplit('.').next().unwrap())), "{signed}");
        let path = &signed[signed.find(".example").unwrap()..];
        let path = &path[path.find('/').unwrap()..];
        for text in [signed.as_str(), path] {
            assert_eq!(checked_query(text, VECTORS[0].3, 0).unwrap().version, "v1", "{text}");
            assert_eq!(checked_query(text, VECTORS[2].4, 300).unwrap().version, "v1a", "{text}");
            assert_eq!(checked_query(text, VECTORS[0].3, 301).unwrap_err().code(), "too_old");
            assert_eq!(checked_query(text, VECTORS[1].3, 0), Err(VerifyError::NoMatch));
        }
        for changed in [signed.replace("dlv_1", "dlv_2"), signed.replace(before, "/q?a=1&"), signed.replace("5330", "5331")] {
            assert_eq!(checked_query(&changed, VECTORS[0].3, 0), Err(VerifyError::NoMatch), "{changed}");
        }
    }
}

#[test]
fn a_query_counts_as_signed_only_if_the_signature_stands_last() {
    for url in [
        "https://t.example/",
        "/p?webhook_id=1&webhook_timestamp=2",
        "/p?webhook_id=1&webhook_timestamp=2&webhook_signature=v1.AAAA&more=1",
        "/p?webhook_timestamp=2&webhook_id=1&webhook_signature=v1.AAAA",
        "/p?webhook_id=1&x=1&webhook_timestamp=2&webhook_signature=v1.AAAA",
    ] {
        assert_eq!(SignedQuery::parse(url), None, "{url}");
    }
    // What stands before cannot pose as the signature.
    let key: SigningKey = VECTORS[0].3.parse().unwrap();
    let mut url = "https://t.example/p?webhook_id=x&webhook_timestamp=1&webhook_signature=v1.AAAA".to_owned();
    sign_query(&mut url, "dlv_1", at(VECTORS[0].1), &[&key]).unwrap();
    assert_eq!(SignedQuery::parse(&url).unwrap().signed().id, "dlv_1");
    assert!(checked_query(&url, VECTORS[0].3, 0).is_ok());
    let mut long = format!("https://t.example/?a={}", "x".repeat(URL_BYTES_MAX - 60));
    assert!(matches!(sign_query(&mut long, "dlv_1", at(0), &[&key]), Err(BuildError::UrlTooLong { .. })));
}

#[test]
fn keys_are_drawn_and_taken_in_their_usual_form() {
    let rng = crate::rng::SeededRng::new(1);
    for version in [SignatureVersion::V1, SignatureVersion::V1a] {
        let (secret, public) = draw_key(version, &rng);
        assert_ne!(draw_key(version, &rng).0, secret);
        assert_eq!(accept_key(version, &secret).unwrap(), (secret.clone(), public.clone()));
        let signature =
            secret.expose().parse::<SigningKey>().unwrap().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at(VECTORS[0].1), VECTORS[0].2.as_bytes());
        assert_eq!(checked(&signature, &[public.as_deref().unwrap_or(secret.expose())], 0).unwrap().version, version.as_str());
    }
    let accept = |version, text: &str| accept_key(version, &Secret::new(text));
    let (v1, v1a) = (SignatureVersion::V1, SignatureVersion::V1a);
    assert_eq!(accept(v1, " MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap().0.expose(), VECTORS[0].3, "the prefix may be left out");
    assert_eq!(accept(v1a, VECTORS[2].3).unwrap().1.as_deref(), Some(VECTORS[2].4));
    assert_eq!(accept(v1, VECTORS[2].3), Err(KeyError::WrongVersion { version: "v1", prefix: SHARED_PREFIX }));
    assert_eq!(accept(v1a, VECTORS[0].3), Err(KeyError::WrongVersion { version: "v1a", prefix: PRIVATE_PREFIX }));
    assert_eq!(accept(v1a, VECTORS[2].4), Err(KeyError::Public));
    for bytes in [23, 65] {
        assert_eq!(accept(v1, &STANDARD.encode(vec![7; bytes])), Err(KeyError::Length { bytes }));
    }
}
