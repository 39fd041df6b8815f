//! The way out: a proxy of the operator, a fixed address, our own listener, and what our own side lacks.

use postrider::request::send::{EgressProxy, check_local_address};

use super::receiver::tls::KeepingReceiver;
use super::receiver::tunnel::{Asked, TunnelProxy};
use super::*;

/// What `user:geheim@` before the proxy's host is sent as.
const CREDENTIALS: &str = "Basic dXNlcjpnZWhlaW0=";

/// Sends through the proxy at `proxy`, written as in the settings, and to this machine.
fn through(proxy: &str, lookup: Arc<ScriptedLookup>) -> HttpTransport {
    through_with(proxy, GuardSettings { allow_private: true, ..Default::default() }, lookup)
}

fn through_with(proxy: &str, guard: GuardSettings, lookup: Arc<ScriptedLookup>) -> HttpTransport {
    transport_with(guard, lookup, |settings| {
        settings.extra_roots = vec![AUTHORITY.to_vec()];
        settings.connect_timeout = Duration::from_millis(500);
        settings.proxy = Some(EgressProxy::parse(proxy).unwrap());
    })
}

fn proxy_at(addr: SocketAddr) -> String {
    format!("http://user:geheim@{addr}")
}

// Through a proxy.

#[tokio::test]
async fn an_http_target_goes_through_the_proxy_which_resolves_its_name() {
    let proxy = Receiver::start(Script::always(ok())).await.unwrap();
    let lookup = ScriptedLookup::answering(&[]);
    let transport = through(&proxy_at(proxy.addr()), lookup.clone());
    for _ in 0..2 {
        let response = answered(transport.send(Outgoing::new(&get("http://tracker.example/p?a=b"), LONG)).await);
        assert_eq!((response.status, response.body.as_slice()), (200, &b"OK"[..]));
    }
    let [first, second] = proxy.requests().try_into().unwrap();
    assert_eq!((first.target.as_str(), first.header("host")), ("http://tracker.example/p?a=b", Some("tracker.example")));
    assert_eq!((first.header("proxy-authorization"), first.header("authorization")), (Some(CREDENTIALS), None));
    assert_eq!((second.connection, lookup.asked()), (1, vec![]), "the connection is used again, and no name is looked up");
}

#[tokio::test]
async fn an_https_target_goes_through_a_tunnel_and_its_certificate_is_checked() {
    let receiver = KeepingReceiver::start(None).await.unwrap();
    let proxy = TunnelProxy::start(receiver.addr(), &[]).await.unwrap();
    // The proxy has a name, and may be anywhere, whatever may be sent to.
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let named = format!("http://user:geheim@proxy.internal:{}", proxy.addr().port());
    let transport = through_with(&named, GuardSettings::default(), lookup.clone());
    for _ in 0..2 {
        answered(transport.send(Outgoing::new(&get("https://villain.test/?secret=geheim"), LONG)).await);
    }
    assert_eq!(proxy.asked(), [Asked { target: "villain.test:443".into(), authorization: Some(CREDENTIALS.into()) }]);
    assert_eq!((lookup.asked(), receiver.versions()), (vec!["proxy.internal".to_owned()], vec![hyper::Version::HTTP_2; 2]));
    assert!(receiver.header_names().iter().all(|names| !names.iter().any(|name| name.starts_with("proxy-"))));
    let failure = failed(transport.send(Outgoing::new(&get("https://other.test/?secret=geheim"), LONG)).await);
    assert_eq!(failure.kind, FailureKind::Tls, "a receiver's certificate is the receiver's trouble: {}", failure.detail);
}

#[tokio::test]
async fn d18_the_guard_holds_before_a_proxy() {
    let proxy = Receiver::start(Script::always(ok())).await.unwrap();
    let guard = GuardSettings {
        ports: Some(vec![80, 443]),
        deny_hosts: vec!["*.bank.example".parse().unwrap()],
        listeners: vec!["203.0.113.9:443".parse().unwrap()],
        ..Default::default()
    };
    let transport = through_with(&proxy_at(proxy.addr()), guard, Arc::default());
    for scheme in ["http", "https"] {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "metadata.google.internal",
            "localhost",
            "x.localhost",
            "www.bank.example",
            "203.0.113.9",
            "tracker.example:22",
        ] {
            let failure = failed(transport.send(Outgoing::new(&get(format!("{scheme}://{host}/?geheim")), LONG)).await);
            assert_eq!(failure.kind, FailureKind::Blocked, "{scheme} {host}: {}", failure.detail);
        }
    }
    let own = SentRequest { headers: vec![("Proxy-Authorization".into(), "x".into())], ..get("http://tracker.example/") };
    assert_eq!(failed(transport.send(Outgoing::new(&own, LONG)).await).kind, FailureKind::NotRendered);
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn c21_a_proxy_that_fails_is_a_failure_of_our_own_side() {
    let status = |status: u16, headers: &[(&str, &str)]| Script::always(answer(status, headers, "proxy"));
    let cases = [
        ("refuses our credentials", status(407, &[("Proxy-Authenticate", "Basic")]), &["http", "https"][..]),
        ("502", status(502, &[]), &["https"]),
        ("503", status(503, &[]), &["https"]),
        ("403", status(403, &[]), &["https"]),
        ("garbage", Script::always(vec![Step::text("SSH-2.0-OpenSSH_9.9\r\n"), Step::Close]), &["https"]),
        ("a large head", Script::always(vec![Step::text("HTTP/1.1 200 OK\r\nX: "), Step::Flood(vec![b'x'; 1024])]), &["https"]),
        ("closes", Script::always(vec![Step::Close]), &["https"]),
        ("resets", Script::always(vec![Step::Reset]), &["https"]),
        ("silence", Script::always(vec![Step::Hang]), &["https"]),
        ("says that it failed", status(502, &[("Proxy-Status", "proxy.example; error=connection_refused")]), &["http"]),
        ("says that it failed, as Squid does", status(503, &[("X-Squid-Error", "ERR_CONNECT_FAIL 111")]), &["http"]),
    ];
    for (name, script, schemes) in cases {
        for scheme in schemes {
            let proxy = Receiver::start(script.clone()).await.unwrap();
            let transport = through(&proxy_at(proxy.addr()), Arc::default());
            let failure = failed(transport.send(Outgoing::new(&get(format!("{scheme}://tracker.example/?geheim")), LONG)).await);
            assert_eq!(failure.kind, FailureKind::Local, "{name}, {scheme}: {}", failure.detail);
            assert!(failure.detail.contains("proxy") && !failure.detail.contains("geheim"), "{}", failure.detail);
            assert!(!failure.detail.contains("127.0.0.1"), "the proxy is the operator's business: {}", failure.detail);
            assert_eq!(proxy.requests().len(), 1, "{name}, {scheme}");
        }
    }
}

#[tokio::test]
async fn c21_a_proxy_that_is_not_there_is_a_failure_of_our_own_side() {
    let gone = Receiver::start(Script::always(ok())).await.unwrap();
    let nobody = proxy_at(gone.addr());
    drop(gone);
    tokio::task::yield_now().await;
    let unknown = "http://proxy.internal:3128".to_owned();
    for proxy in [nobody, unknown] {
        let transport = through(&proxy, Arc::default());
        for scheme in ["http", "https"] {
            let failure = failed(transport.send(Outgoing::new(&get(format!("{scheme}://tracker.example/")), LONG)).await);
            assert_eq!(failure.kind, FailureKind::Local, "{proxy} {scheme}: {}", failure.detail);
        }
    }
}

#[tokio::test]
async fn c21_what_a_receiver_answers_through_a_proxy_is_the_receivers() {
    for status in [200, 404, 500, 502, 503] {
        let proxy =
            Receiver::start(Script::always(answer(status, &[("Proxy-Status", "proxy.example; received-status=1")], "x"))).await.unwrap();
        let transport = through(&proxy_at(proxy.addr()), Arc::default());
        assert_eq!(answered(transport.send(Outgoing::new(&get("http://tracker.example/"), LONG)).await).status, status);
    }
    let breaks = Receiver::start(Script::on_connect(vec![Step::Reset])).await.unwrap();
    let proxy = TunnelProxy::start(breaks.addr(), &[]).await.unwrap();
    let transport = through(&proxy_at(proxy.addr()), Arc::default());
    let failure = failed(transport.send(Outgoing::new(&get("https://tracker.example/"), LONG)).await);
    assert_eq!(failure.kind, FailureKind::Connection, "{}", failure.detail);
}

#[tokio::test]
async fn c21_a_receiver_that_a_working_proxy_cannot_reach_is_the_receivers_trouble() {
    let receiver = KeepingReceiver::start(None).await.unwrap();
    let proxy = TunnelProxy::start(receiver.addr(), &["dead.example"]).await.unwrap();
    let transport = through(&proxy_at(proxy.addr()), Arc::default());
    let dead = get("https://dead.example/");
    assert_eq!(failed(transport.send(Outgoing::new(&dead, LONG)).await).kind, FailureKind::Local, "nothing is known yet");
    answered(transport.send(Outgoing::new(&get("https://villain.test/"), LONG)).await);
    let failure = failed(transport.send(Outgoing::new(&dead, LONG)).await);
    assert_eq!(failure.kind, FailureKind::Connection);
    assert_eq!(failure.detail, "`dead.example` cannot be reached through the operator's egress proxy, which works for others");
}

/// Runs itself again with the variables set: to set them in this process would touch the other tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d17_a_proxy_of_the_settings_is_used_whatever_the_environment_says() {
    if std::env::var_os(IN_CHILD).is_some() {
        let proxy = Receiver::start(Script::always(ok())).await.unwrap();
        let transport = through(&proxy_at(proxy.addr()), Arc::default());
        answered(transport.send(Outgoing::new(&get("http://tracker.example/"), LONG)).await);
        assert_eq!(proxy.requests().len(), 1);
        return;
    }
    let other = Receiver::start(Script::always(answer(502, &[], "proxy"))).await.unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "way_out::d17_a_proxy_of_the_settings_is_used_whatever_the_environment_says"]).env(IN_CHILD, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, format!("http://{}", other.addr()));
    }
    child.env("NO_PROXY", "*").env("no_proxy", "*");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(other.connections(), 0);
}

// From an address.

#[tokio::test]
async fn requests_come_from_the_address_of_the_settings() {
    let receiver = Receiver::start(Script::always(ok())).await.unwrap();
    let mixed = ["::1".parse().unwrap(), LOOPBACK];
    let only_ipv6 = ["::1".parse().unwrap()];
    let guard = GuardSettings { allow_private: true, ..Default::default() };
    let from = |lookup| transport_with(guard.clone(), lookup, |settings| settings.local_address = Some(OTHER));
    let port = receiver.addr().port();
    for host in ["127.0.0.1", "tracker.example"] {
        let transport = from(ScriptedLookup::answering(&[&mixed]));
        answered(transport.send(Outgoing::new(&get(format!("http://{host}:{port}/")), LONG)).await);
        assert_eq!(receiver.requests().pop().unwrap().from.ip(), OTHER, "{host}");
    }
    // What has no address of that family is not sent to from another one.
    for (host, kind) in [("[::1]", FailureKind::Connection), ("six.example", FailureKind::NameNotResolved)] {
        let transport = from(ScriptedLookup::answering(&[&only_ipv6]));
        let failure = failed(transport.send(Outgoing::new(&get(format!("http://{host}:{port}/")), LONG)).await);
        assert_eq!(failure.kind, kind, "{}", failure.detail);
        assert!(failure.detail.contains("the operator sends from"), "{}", failure.detail);
    }
    assert_eq!(receiver.connections(), 2);
}

#[test]
fn an_address_to_send_from_must_be_of_this_machine() {
    check_local_address(LOOPBACK).unwrap();
    check_local_address(OTHER).unwrap();
    check_local_address("203.0.113.7".parse().unwrap()).unwrap_err();
}

// To ourselves.

#[tokio::test]
async fn d7_our_own_listener_is_not_reached_under_any_name() {
    let (own, other) = (Receiver::start(Script::always(ok())).await.unwrap(), Receiver::start(Script::always(ok())).await.unwrap());
    let guard = GuardSettings { allow_private: true, listeners: vec![own.addr()], ..Default::default() };
    let port = own.addr().port();
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK]]);
    let transport = transport_with(guard.clone(), lookup.clone(), |_| {});
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "us.example"] {
        let failure = failed(transport.send(Outgoing::new(&get(format!("http://{host}:{port}/")), LONG)).await);
        assert_eq!(failure.kind, FailureKind::Blocked, "{host}: {}", failure.detail);
    }
    assert_eq!(own.connections(), 0);
    answered(transport.send(Outgoing::new(&get(format!("http://us.example:{}/", other.addr().port())), LONG)).await);
    let allowing = GuardSettings { allow: vec!["127.0.0.1/32".parse().unwrap()], ..guard };
    let transport = transport_with(allowing, lookup, |_| {});
    for host in ["127.0.0.1", "us.example"] {
        answered(transport.send(Outgoing::new(&get(format!("http://{host}:{port}/")), LONG)).await);
    }
}

/// A name that is first another machine and then ourselves; the connections of the first look-up do not help.
#[tokio::test]
async fn d7_a_name_that_turns_to_ourselves_is_not_followed_there() {
    let closing = Script::always([answer(200, &[("Connection", "close")], "other"), vec![Step::Close]].concat());
    let (other, own) = public_and_private(closing).await;
    let guard = GuardSettings { allow_private: true, listeners: vec![own.addr()], ..Default::default() };
    let transport = transport_with(guard, ScriptedLookup::answering(&[&[OTHER], &[LOOPBACK]]), |_| {});
    let request = get(format!("http://rebind.example:{}/", own.addr().port()));
    assert_eq!(answered(transport.send(Outgoing::new(&request, LONG)).await).body, b"other");
    assert_eq!(failed(transport.send(Outgoing::new(&request, LONG)).await).kind, FailureKind::Blocked);
    assert_eq!((other.requests().len(), own.connections()), (1, 0));
}

// What an error tells.

#[tokio::test]
async fn d19_a_refusal_tells_nothing_about_what_is_behind_it() {
    let open = Receiver::start(Script::always(ok())).await.unwrap();
    let closed = Receiver::start(Script::always(ok())).await.unwrap();
    let closed_port = closed.addr().port();
    drop(closed);
    tokio::task::yield_now().await;
    let lookup = ScriptedLookup::answering(&[&[LOOPBACK], &["10.1.2.3".parse().unwrap()], &["169.254.169.254".parse().unwrap()]]);
    let transport = transport_with(GuardSettings::default(), lookup, |_| {});
    let mut told = Vec::new();
    for port in [open.addr().port(), closed_port, 1] {
        let by_name = failed(transport.send(Outgoing::new(&get(format!("http://inner.example:{port}/")), LONG)).await);
        let by_address = failed(transport.send(Outgoing::new(&get(format!("http://127.0.0.1:{port}/")), LONG)).await);
        told.push((by_name, by_address));
    }
    told.dedup();
    assert_eq!((told.len(), open.connections()), (1, 0), "open, closed and unreachable, whatever the name leads to: {told:?}");
}

#[tokio::test]
async fn c14_a_resolver_without_an_answer_is_no_name_without_address() {
    #[derive(Debug)]
    struct Unanswered;
    #[async_trait]
    impl Lookup for Unanswered {
        async fn lookup(&self, _: &str) -> Result<Vec<IpAddr>, LookupError> {
            Err(LookupError::Unanswered { reason: "temporary failure in name resolution".into() })
        }
    }
    let settings = TransportSettings::new(Guard::new(GuardSettings::default()), Arc::new(Unanswered));
    let failure = failed(HttpTransport::new(settings).unwrap().send(Outgoing::new(&get("https://a.example/"), LONG)).await);
    assert_eq!(failure.kind, FailureKind::NameUnanswered);
    assert_eq!(failure.detail, "the host `a.example` was not resolved: temporary failure in name resolution");
}

// What our own side lacks.

/// Runs itself again, since the limit holds for a whole process.
#[tokio::test]
async fn a17_out_of_descriptors_is_a_failure_of_our_own_side() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if std::env::var_os(IN_CHILD).is_some() {
        let receiver =
            Receiver::start(Script::always([answer(200, &[("Connection", "close")], "OK"), vec![Step::Close]].concat())).await.unwrap();
        let transport =
            transport_with(GuardSettings { allow_private: true, ..Default::default() }, ScriptedLookup::answering(&[&[LOOPBACK]]), |_| {});
        let request = |host: &str| get(format!("http://{host}:{}/", receiver.addr().port()));
        answered(transport.send(Outgoing::new(&request("127.0.0.1"), LONG)).await);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
        let mut held = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            held.push(file);
        }
        for host in ["127.0.0.1", "tracker.example"] {
            let failure = failed(transport.send(Outgoing::new(&request(host), LONG)).await);
            assert_eq!(failure.kind, FailureKind::Local, "{}", failure.detail);
        }
        drop(held);
        answered(transport.send(Outgoing::new(&request("127.0.0.1"), LONG)).await);
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "way_out::a17_out_of_descriptors_is_a_failure_of_our_own_side"]).env(IN_CHILD, "1");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
