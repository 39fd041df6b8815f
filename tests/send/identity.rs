//! Client certificates and own authorities: what is read, what is shown to whom, and who is trusted.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::request::send::{CHAIN_MAX, PEM_BYTES_MAX, TlsIdentity, TlsIdentityError, TlsPart};
use postrider::secret::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::receiver::tls::{CLIENT_AUTHORITY, KeepingReceiver, SELF_SIGNED, SELF_SIGNED_EXPIRED};
use super::*;

macro_rules! client_file {
    ($name:literal) => {
        include_str!(concat!("../receiver/certificates/client/", $name))
    };
}

const P256: &str = client_file!("p256.pem");
const P256_KEY: &str = client_file!("p256-pkcs8.key");
const P384: &str = client_file!("p384.pem");
const P384_KEY: &str = client_file!("p384-sec1.key");
const RSA: &str = client_file!("rsa.pem");
const ED25519: &str = client_file!("ed25519.pem");

fn parse(certificate: Option<&str>, key: Option<&str>, ca: Option<&str>) -> Result<TlsIdentity, TlsIdentityError> {
    TlsIdentity::parse(certificate, key.map(Secret::new).as_ref(), ca)
}

fn identity(certificate: &str, key: &str) -> Arc<TlsIdentity> {
    Arc::new(parse(Some(certificate), Some(key), None).unwrap())
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|certificate| certificate.unwrap().to_vec()).collect()
}

// What is read.

#[test]
fn keys_of_every_kind_and_form_are_read() {
    for (certificate, key) in [
        (P256, P256_KEY),
        (P256, client_file!("p256-sec1.key")),
        (P384, P384_KEY),
        (RSA, client_file!("rsa-pkcs1.key")),
        (RSA, client_file!("rsa-pkcs8.key")),
        (ED25519, client_file!("ed25519-pkcs8.key")),
    ] {
        let identity = identity(certificate, key);
        assert_eq!(identity.client_certificate_expires_at().unwrap().to_string(), "2124-01-01T00:00:00.000Z");
        assert_eq!(
            format!("{identity:?}"),
            "TlsIdentity { client_certificate: true, client_certificate_expires_at: Some(Timestamp(4859740800000)), authorities: None, .. }"
        );
    }
    let authorities = parse(None, None, Some(&[pem(AUTHORITY), pem(CLIENT_AUTHORITY)].concat())).unwrap();
    assert_eq!(authorities.client_certificate_expires_at(), None);
    assert!(format!("{authorities:?}").contains("authorities: Some(2)"), "{authorities:?}");
}

#[test]
fn line_ends_and_words_around_the_blocks_do_not_matter() {
    for text in [P256.replace('\n', "\r\n"), format!("subject=CN = x\n\n{P256}\nend\n"), P256.trim_end().to_owned()] {
        parse(Some(&text), Some(P256_KEY), None).unwrap();
    }
}

#[test]
fn a_wrong_part_is_named_and_not_shown() {
    use TlsIdentityError::*;
    use TlsPart::*;
    let reversed: String = certificates(P256).iter().rev().map(|der| pem(der)).collect();
    let on_one_line = P256.replace('\n', " ");
    let long = "x".repeat(PEM_BYTES_MAX + 1);
    let many = pem(AUTHORITY).repeat(CHAIN_MAX + 1);
    let no_certificate = pem(b"geheim");
    let damaged_key = P256_KEY.replacen("MIGH", "AAAA", 1);
    let half_key = &P256_KEY[..80];
    let with_key = [P256, P256_KEY].concat();
    let two_keys = P256_KEY.repeat(2);
    type Row<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, TlsIdentityError, Option<TlsPart>);
    let table: &[Row<'_>] = &[
        (None, None, None, Empty, None),
        (Some(P256), None, None, KeyMissing, Some(ClientKey)),
        (None, Some(P256_KEY), None, CertificateMissing, Some(ClientCertificate)),
        (Some(&long), Some(P256_KEY), None, TooLong { part: ClientCertificate, bytes: long.len() }, Some(ClientCertificate)),
        (Some(P256), Some(&long), None, TooLong { part: ClientKey, bytes: long.len() }, Some(ClientKey)),
        (None, None, Some(&long), TooLong { part: Ca, bytes: long.len() }, Some(Ca)),
        (Some(""), Some(P256_KEY), None, NoCertificate { part: ClientCertificate }, Some(ClientCertificate)),
        (Some(P256_KEY), Some(P256_KEY), None, KeyMisplaced { part: ClientCertificate }, Some(ClientCertificate)),
        (Some(&with_key), Some(P256_KEY), None, KeyMisplaced { part: ClientCertificate }, Some(ClientCertificate)),
        (None, None, Some(&with_key), KeyMisplaced { part: Ca }, Some(Ca)),
        (Some(&on_one_line), Some(P256_KEY), None, BadPem { part: ClientCertificate }, Some(ClientCertificate)),
        (Some(&P256[..200]), Some(P256_KEY), None, BadPem { part: ClientCertificate }, Some(ClientCertificate)),
        (Some(P256), Some(half_key), None, BadPem { part: ClientKey }, Some(ClientKey)),
        (Some(&many), Some(P256_KEY), None, TooManyCertificates { part: ClientCertificate, count: 11, max: 10 }, Some(ClientCertificate)),
        (Some(&no_certificate), Some(P256_KEY), None, BadCertificate { part: ClientCertificate, number: 1 }, Some(ClientCertificate)),
        (None, None, Some(&no_certificate), BadCertificate { part: Ca, number: 1 }, Some(Ca)),
        (Some(P256), Some(P256), None, NoKey, Some(ClientKey)),
        (Some(P256), Some("geheim"), None, NoKey, Some(ClientKey)),
        (Some(P256), Some(&two_keys), None, SeveralKeys { count: 2 }, Some(ClientKey)),
        (Some(P256), Some(client_file!("p256-encrypted.key")), None, EncryptedKey, Some(ClientKey)),
        (Some(RSA), Some(client_file!("rsa-encrypted.key")), None, EncryptedKey, Some(ClientKey)),
        (Some(P256), Some(&damaged_key), None, BadKey, Some(ClientKey)),
        (Some(P256), Some(P384_KEY), None, KeyMismatch, Some(ClientKey)),
        (Some(RSA), Some(P256_KEY), None, KeyMismatch, Some(ClientKey)),
        (Some(&reversed), Some(P256_KEY), None, WrongOrder { number: 2 }, Some(ClientCertificate)),
        // A part that is right does not hide one that is wrong.
        (Some(P256), Some(P256_KEY), Some("geheim"), NoCertificate { part: Ca }, Some(Ca)),
    ];
    for (certificate, key, ca, expected, part) in table {
        let error = parse(*certificate, *key, *ca).unwrap_err();
        assert_eq!((error, error.part()), (*expected, *part), "{error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("geheim") && !text.contains("MIG"), "{text}");
        assert!(part.is_none_or(|part| error.to_string().contains(part.as_str())), "{text}");
    }
}

// What is shown and who is trusted.

/// Sends one request to `receiver` at `villain.test` with `identity`.
async fn exchange_as(transport: &HttpTransport, receiver: &KeepingReceiver, identity: Option<&Arc<TlsIdentity>>) -> Exchange {
    let request = get(format!("https://villain.test:{}/?secret=geheim", receiver.addr().port()));
    transport.send(Outgoing { identity, ..Outgoing::new(&request, LONG) }).await
}

fn trusting_villain() -> HttpTransport {
    trusting(ScriptedLookup::answering(&[&[LOOPBACK]]))
}

#[tokio::test]
async fn the_whole_chain_is_shown_to_a_receiver_that_asks() {
    let receiver = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let transport = trusting_villain();
    for (certificate, key) in [(P256, P256_KEY), (P384, P384_KEY), (RSA, client_file!("rsa-pkcs1.key"))] {
        let identity = identity(certificate, key);
        answered(exchange_as(&transport, &receiver, Some(&identity)).await);
        assert_eq!(receiver.handshakes().pop().unwrap(), certificates(certificate));
    }
    let failure = failed(exchange_as(&transport, &receiver, None).await);
    assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.detail);
    assert!(failure.detail.contains("client certificate") && !failure.detail.contains("geheim"), "{}", failure.detail);
}

#[tokio::test]
async fn a_connection_of_one_identity_is_never_used_for_another() {
    let receiver = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let transport = trusting_villain();
    let (first, second) = (identity(P256, P256_KEY), identity(P384, P384_KEY));
    // The same certificates read a second time are the same identity.
    let again = identity(P256, P256_KEY);
    for (identity, connections) in [(&first, 1), (&first, 1), (&second, 2), (&again, 2), (&second, 2)] {
        answered(exchange_as(&transport, &receiver, Some(identity)).await);
        assert_eq!(receiver.handshakes().len(), connections);
    }
    assert_eq!(receiver.shown(), [P256, P256, P384, P256, P384].map(|pem| certificates(pem).swap_remove(0)).map(Some));
}

#[tokio::test]
async fn a_receiver_that_does_not_ask_is_shown_nothing() {
    let receiver = KeepingReceiver::start(None).await.unwrap();
    let transport = trusting_villain();
    answered(exchange_as(&transport, &receiver, Some(&identity(P256, P256_KEY))).await);
    answered(exchange_as(&transport, &receiver, None).await);
    assert_eq!(receiver.shown(), [None, None]);
    assert_eq!(receiver.handshakes().len(), 2);
}

#[tokio::test]
async fn only_an_own_authority_is_trusted() {
    let receiver = KeepingReceiver::start(None).await.unwrap();
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let plain = transport_with(GuardSettings { allow_private: true, ..Default::default() }, lookup, |_| {});
    let (right, wrong) = (pem(AUTHORITY), pem(CLIENT_AUTHORITY));
    let pinned = |ca: &str| Arc::new(parse(None, None, Some(ca)).unwrap());
    // An authority of one's own makes a receiver trusted that the system does not trust,
    assert_eq!(failed(exchange_as(&plain, &receiver, None).await).kind, FailureKind::Tls);
    answered(exchange_as(&plain, &receiver, Some(&pinned(&right))).await);
    answered(exchange_as(&plain, &receiver, Some(&pinned(&[wrong.clone(), right].concat()))).await);
    // and takes the place of those that are trusted otherwise.
    let failure = failed(exchange_as(&trusting_villain(), &receiver, Some(&pinned(&wrong))).await);
    assert_eq!(failure.kind, FailureKind::Tls);
    assert!(failure.detail.contains("not signed by an authority that we trust"), "{}", failure.detail);
}

#[tokio::test]
async fn c12_a_certificate_that_a_receiver_signed_itself_is_trusted_by_name_only() {
    let pinned = |certificate: &[u8]| Arc::new(parse(None, None, Some(&pem(certificate))).unwrap());
    let (valid, expired) = (pinned(SELF_SIGNED), pinned(SELF_SIGNED_EXPIRED));
    let table = [
        (SELF_SIGNED, "villain.test", Some(&valid), None),
        (SELF_SIGNED, "127.0.0.1", Some(&valid), None),
        (SELF_SIGNED, "other.test", Some(&valid), Some("for another name")),
        (SELF_SIGNED_EXPIRED, "villain.test", Some(&expired), Some("has expired")),
        (SELF_SIGNED, "villain.test", None, Some("`tls.ca`")),
        // Another certificate of the same holder is not the one that was named.
        (SELF_SIGNED_EXPIRED, "villain.test", Some(&valid), Some("the certificate of `villain.test`")),
        // One that is named and was signed by somebody else.
        (VALID, "villain.test", Some(&pinned(VALID)), None),
    ];
    for (certificate, host, identity, problem) in table {
        let receiver = TlsReceiver::start(certificate, &["http/1.1"]).unwrap();
        let transport = trusting_villain();
        let request = villain(&receiver, host);
        match (transport.send(Outgoing { identity, ..Outgoing::new(&request, LONG) }).await, problem) {
            (Exchange::Answered(response), None) => assert_eq!(response.body, b"OK"),
            (Exchange::Failed(failure), Some(problem)) => {
                assert_eq!(failure.kind, FailureKind::Tls);
                assert!(failure.detail.contains(problem), "{}", failure.detail);
            }
            (exchange, problem) => panic!("{host}, {problem:?}: {exchange:?}"),
        }
    }
}

#[tokio::test]
async fn connections_are_kept_for_a_limited_number_of_identities() {
    let receiver = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let guard = GuardSettings { allow_private: true, ..Default::default() };
    let transport = transport_with(guard, lookup, |settings| {
        settings.extra_roots = vec![AUTHORITY.to_vec()];
        settings.identities_max = 2;
    });
    let (a, b, c) = (identity(P256, P256_KEY), identity(P384, P384_KEY), identity(RSA, client_file!("rsa-pkcs8.key")));
    // The third takes the place of the second, which was used longer ago than the first.
    for (identity, connections) in [(&a, 1), (&b, 2), (&a, 2), (&c, 3), (&a, 3), (&b, 4)] {
        answered(exchange_as(&transport, &receiver, Some(identity)).await);
        assert_eq!(receiver.handshakes().len(), connections);
    }
    // Those of the dropped clients are closed.
    receiver.open_connections_fall_to(2).await;
}

#[tokio::test]
async fn d10_the_guard_holds_for_every_identity() {
    let receiver = KeepingReceiver::start(Some(CLIENT_AUTHORITY)).await.unwrap();
    let identity = identity(P256, P256_KEY);
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let transport = transport_with(GuardSettings::default(), lookup, |settings| settings.extra_roots = vec![AUTHORITY.to_vec()]);
    for host in ["villain.test", "127.0.0.1"] {
        let request = get(format!("https://{host}:{}/", receiver.addr().port()));
        let exchange = transport.send(Outgoing { identity: Some(&identity), ..Outgoing::new(&request, LONG) }).await;
        assert_eq!(failed(exchange).kind, FailureKind::Blocked, "{host}");
    }
    assert_eq!(receiver.handshakes().len(), 0);
}
