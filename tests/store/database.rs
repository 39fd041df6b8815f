//! A server of Postgres as it may be found: with TLS and without, as a standby, with too few rights, with
//! tables of a later release.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postrider::clock::SystemClock;
use postrider::store::{StoreOptions, open};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::world::{Build, event};
use crate::database::{Database, OwnServer};

fn options() -> StoreOptions {
    StoreOptions { tag: 1, clock: Arc::new(SystemClock), node: Some("test".into()), ..StoreOptions::default() }
}

/// Why a store is not opened, with all causes. Never with the password.
fn refusal(url: &str) -> String {
    let refused = open(url, options()).map(drop).unwrap_err();
    let text = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source()).map(ToString::to_string);
    let text = text.collect::<Vec<_>>().join(": ");
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(password.len() < 8 || !text.contains(password), "{text}");
    text
}

/// An authority with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(file: PathBuf) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(&file, pem("CERTIFICATE", params.self_signed(&key).unwrap().der())).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Gives a server a certificate for `localhost`, in use for connections from now on.
    fn certify(&self, server: &OwnServer, until_year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until_year, 1, 1);
        server.write_file("server.key", &pem("PRIVATE KEY", &key.serialize_der()));
        server.write_file("server.crt", &pem("CERTIFICATE", params.signed_by(&key, &self.issuer).unwrap().der()));
        server.run("ALTER SYSTEM SET ssl = on");
        let loaded = "SELECT extract(epoch FROM pg_conf_load_time())::text";
        let before = server.run(loaded);
        server.run("SELECT pg_reload_conf()");
        for _ in 0..200 {
            if server.run(loaded) != before && server.run("SHOW ssl") == ["on"] {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not take its certificate");
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn over_tls(server: &OwnServer, host: &str, more: &str) -> String {
    format!("{}?sslmode=verify-full{more}", server.url.replace("127.0.0.1", host))
}

fn of(authority: &Path) -> String {
    format!("&sslrootcert={}", authority.display())
}

#[tokio::test]
async fn a_certificate_is_checked_and_a_refusal_says_what_to_do() {
    let server = OwnServer::start();
    let (known, unknown) = (Authority::new(server.folder().join("known.pem")), Authority::new(server.folder().join("unknown.pem")));
    let plain = refusal(&over_tls(&server, "localhost", &of(&known.file)));
    assert!(plain.contains("does not support TLS; set `ssl = on` there, or say `sslmode=disable`"), "{plain}");
    known.certify(&server, 2100);
    let url = over_tls(&server, "localhost", &of(&known.file));
    let store = open(&url, options()).unwrap();
    store.accept(vec![event().to(1)]).await.unwrap();
    let encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'postrider'";
    assert_eq!(server.run(encrypted), ["t"]);
    let other_name = refusal(&over_tls(&server, "127.0.0.1", &of(&known.file)));
    assert!(other_name.contains("certificate is not for `127.0.0.1`; write a name into the address"), "{other_name}");
    for nobody in [of(&unknown.file), String::new()] {
        let untrusted = refusal(&over_tls(&server, "localhost", &nobody));
        assert!(untrusted.contains("no authority that is trusted here") && untrusted.contains("sslrootcert=FILE"), "{untrusted}");
    }
    // `require` is no less: who does not check the certificate encrypts for whoever is on the way.
    let required = refusal(&over_tls(&server, "localhost", &of(&unknown.file)).replace("verify-full", "require"));
    assert!(required.contains("no authority that is trusted here"), "{required}");
    let nothing = refusal(&over_tls(&server, "localhost", "&sslrootcert=/nowhere.pem"));
    assert!(nothing.contains("`/nowhere.pem` cannot be read"), "{nothing}");
    // One that runs out is refused with the next connection, and one that is renewed is taken by itself.
    known.certify(&server, 2020);
    let expired = refusal(&url);
    assert!(expired.contains("certificate has expired; renew it"), "{expired}");
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'postrider'");
    until("it is away", || !store.is_reachable()).await;
    known.certify(&server, 2100);
    until("it is back", || store.is_reachable()).await;
    store.accept(vec![event().to(1)]).await.unwrap();
    store.close().await.unwrap();
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to this: {what}");
}

#[tokio::test]
async fn a_standby_is_refused_and_taken_when_it_was_promoted() {
    let server = OwnServer::start();
    let store = open(&server.url, options()).unwrap();
    store.accept(vec![event().to(1)]).await.unwrap();
    server.write_file("standby.signal", "");
    server.stop();
    server.start_again();
    let standby = refusal(&server.url);
    assert!(standby.contains("the server only reads: it is a standby") && standby.contains("name the primary"), "{standby}");
    // To a store that is open it is a database that is away.
    assert!(store.accept(vec![event().to(1)]).await.is_err());
    assert_eq!(server.run("SELECT pg_promote()"), ["t"]);
    let mut taken = store.accept(vec![event().to(1)]).await;
    for _ in 0..600 {
        if taken.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        taken = store.accept(vec![event().to(1)]).await;
    }
    taken.unwrap();
    store.close().await.unwrap();
    open(&server.url, options()).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn too_few_rights_are_told_with_what_grants_them() {
    let server = OwnServer::start();
    server.run("CREATE ROLE limited LOGIN PASSWORD 'limited-password'");
    server.run("CREATE DATABASE bare");
    let own = server.url.rsplit_once('/').unwrap().0.to_owned() + "/bare";
    let password = own.split([':', '@']).nth(2).unwrap();
    let url = own.replace(&format!("postrider:{password}"), "limited:limited-password");
    let refused = refusal(&url);
    assert!(refused.contains("GRANT CREATE ON DATABASE bare TO limited"), "{refused}");
    server.run("GRANT CREATE ON DATABASE bare TO limited");
    open(&url, options()).unwrap().close().await.unwrap();
    // Tables of somebody else.
    server.run("CREATE DATABASE theirs");
    let theirs = |url: &str| url.replace("/bare", "/theirs");
    open(&theirs(&own), options()).unwrap().close().await.unwrap();
    let refused = refusal(&theirs(&url));
    assert!(refused.contains("belongs to postrider") && refused.contains("REASSIGN OWNED BY postrider TO limited"), "{refused}");
    // Who may not even come in.
    let refused = refusal(&url.replace("limited-password", "other-password"));
    assert!(refused.contains("PGPASSWORD") && !refused.contains("other-password"), "{refused}");
    let refused = refusal(&url.replace("/bare", "/none"));
    assert!(refused.contains("CREATE DATABASE"), "{refused}");
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let refused = refusal(&own.replace("/bare", "/latin"));
    assert!(refused.contains("its encoding is LATIN1; create a database with `ENCODING 'UTF8' TEMPLATE template0`"), "{refused}");
}

#[test]
fn tables_of_a_later_release_are_not_touched() {
    let database = Database::create();
    drop(open(&database.url, options()).unwrap());
    database.run("UPDATE postrider.meta SET value = '99' WHERE name = 'form'");
    let refused = refusal(&database.url);
    assert!(refused.contains("its tables have form 99") && refused.contains("use the release that made them"), "{refused}");
}
