//! What is particular to Postgres: connections that break, several nodes, partitions, leases.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use postrider::clock::Clock;
use postrider::cluster::Epoch;
use postrider::delivery::{Next, StateName};
use postrider::id::{AttemptId, NodeId};
use postrider::store::{
    AcceptError, Accepted, ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, DecidedQuery, DeliveryQuery,
    DueRow, EventQuery, Lease, Settlement, Store, StoreError, StoreOptions, open,
};

use super::world::{Build, Kind, START, World, at, event, settlement, sub};

const DAY: i64 = 86_400;

/// How a proxy treats what goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The next commit is let through and its answer is not.
    CutAfterCommit,
    /// The next commit is not let through.
    CutBeforeCommit,
    /// Nobody gets through.
    Closed,
    /// What is sent is taken and kept; connections stay.
    Stalled,
}

/// Stands between a store and its database.
struct Proxy {
    address: SocketAddr,
    way: Arc<Mutex<Way>>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (way, sockets) = (Arc::new(Mutex::new(Way::Open)), Arc::new(Mutex::new(Vec::new())));
        let (shared_way, shared_sockets) = (way.clone(), sockets.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if *shared_way.lock().unwrap() == Way::Closed {
                    continue;
                }
                let server = TcpStream::connect(&target).unwrap();
                shared_sockets.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (up, down) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client));
                let (way, sockets) = (shared_way.clone(), shared_sockets.clone());
                let held = way.clone();
                let muted = Arc::new(AtomicBool::new(false));
                let mute = muted.clone();
                std::thread::spawn(move || pass(up, |bytes| looks_out(bytes, &way, &sockets, &mute)));
                std::thread::spawn(move || {
                    pass(down, |_| {
                        while *held.lock().unwrap() == Way::Stalled {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        if muted.load(Ordering::SeqCst) { Pass::Nothing } else { Pass::On }
                    })
                });
            }
        });
        Self { address, way, sockets }
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        if way == Way::Closed {
            cut(&self.sockets);
        }
    }
}

#[derive(PartialEq)]
enum Pass {
    On,
    /// It is taken and goes no further.
    Nothing,
    /// It goes on, and nothing comes back any more.
    OnAndCut,
    Cut,
}

/// Looks out for the commit that is to be cut.
fn looks_out(bytes: &[u8], way: &Mutex<Way>, sockets: &Mutex<Vec<TcpStream>>, mute: &AtomicBool) -> Pass {
    let mut way = way.lock().unwrap();
    // That of a group of changes, not of a routine question.
    let says = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
    if !says(b"INSERT INTO postrider.counts") || !says(b"COMMIT\0") {
        return Pass::On;
    }
    match *way {
        Way::CutAfterCommit => {
            *way = Way::Open;
            mute.store(true, Ordering::SeqCst);
            Pass::OnAndCut
        }
        Way::CutBeforeCommit => {
            *way = Way::Open;
            cut(sockets);
            Pass::Cut
        }
        Way::Open | Way::Closed | Way::Stalled => Pass::On,
    }
}

fn cut(sockets: &Mutex<Vec<TcpStream>>) {
    for socket in sockets.lock().unwrap().drain(..) {
        // It may be closed already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn pass((mut from, mut to): (TcpStream, TcpStream), look: impl Fn(&[u8]) -> Pass) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        match look(&buffer[..length]) {
            Pass::Cut => break,
            Pass::Nothing => {}
            Pass::On => {
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Pass::OnAndCut => {
                // Only what comes back is lost: the server does it, and then finds that nobody asks for more.
                to.write_all(&buffer[..length]).unwrap();
                let _ = to.shutdown(Shutdown::Write);
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// A world, and a second store on its database through a proxy.
fn behind_a_proxy() -> (World, Proxy, Box<dyn Store>) {
    let world = World::new(Kind::Postgres);
    let url = &world.database.as_ref().unwrap().url;
    let (before, rest) = url.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(address.to_owned());
    let store = open(&format!("{before}@{}/{database}", proxy.address), options(&world, "other")).unwrap();
    (world, proxy, store)
}

fn options(world: &World, node: &str) -> StoreOptions {
    let tag = u64::from(node.as_bytes()[0]) << 8;
    StoreOptions { node: Some(node.to_owned()), tag, ..world.options.clone() }
}

/// A second node on the database of a world.
fn second_node(world: &World) -> Box<dyn Store> {
    open(&world.database.as_ref().unwrap().url, options(world, "second")).unwrap()
}

/// Sends it again, as callers do, until it is taken.
async fn accept_patiently(store: &dyn Store, event: postrider::store::NewEvent) -> Accepted {
    for _ in 0..600 {
        match store.accept(vec![event.clone()]).await {
            Ok(mut accepted) => return accepted.remove(0),
            Err(AcceptError::Store(StoreError::Unavailable { .. })) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the database did not come back");
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1_500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came to this: {what}");
}

async fn events(world: &World) -> usize {
    world.store().events(&EventQuery { limit: 1_000, ..EventQuery::default() }).await.unwrap().items.len()
}

fn sql(world: &World, statements: &str) -> Vec<String> {
    world.database.as_ref().unwrap().run(statements)
}

#[tokio::test]
async fn k3_a_commit_whose_answer_is_lost_is_made_once() {
    for (way, stored) in [(Way::CutAfterCommit, true), (Way::CutBeforeCommit, false)] {
        let (world, proxy, store) = behind_a_proxy();
        store.accept(vec![event()]).await.unwrap();
        proxy.set(way);
        let unknown = store.accept(vec![event().to(1).key("k")]).await;
        assert!(matches!(unknown, Err(AcceptError::Store(StoreError::Unavailable { .. }))), "{unknown:?}");
        let again = accept_patiently(&*store, event().to(1).key("k")).await;
        assert_eq!(again.duplicate, stored, "{way:?}");
        assert_eq!((events(&world).await, world.counts(1).await.waiting), (2, 1), "{way:?}");
        world.check_counts().await;
    }
}

#[tokio::test]
async fn k3_a_settlement_whose_answer_is_lost_is_recorded_once() {
    for way in [Way::CutAfterCommit, Way::CutBeforeCommit] {
        let (world, proxy, store) = behind_a_proxy();
        let id = world.owe(1).await;
        let row = world.row(1, id).await;
        proxy.set(way);
        let settled = store.settle(settlement(1, &row, Next::Delivered, at(1))).await.unwrap().unwrap();
        assert_eq!((settled.state.name(), settled.attempts), (StateName::Delivered, 1), "{way:?}");
        assert_eq!(world.store().attempts(id).await.unwrap().len(), 1);
        world.check_counts().await;
    }
}

#[tokio::test]
async fn k4_a_database_that_is_away_comes_back_without_a_restart() {
    let (world, proxy, store) = behind_a_proxy();
    let id = world.owe(1).await;
    let row = world.row(1, id).await;
    assert!(store.is_reachable());
    proxy.set(Way::Closed);
    until("it is noticed that the database is away", async || !store.is_reachable()).await;
    assert!(matches!(store.accept(vec![event()]).await, Err(AcceptError::Store(StoreError::Unavailable { .. }))));
    assert!(matches!(store.delivery(id).await, Err(StoreError::Unavailable { .. })));
    // What came of a request is not forgotten meanwhile.
    let settle = store.settle(settlement(1, &row, Next::Delivered, at(1)));
    let back = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.state(id).await, StateName::Pending);
        proxy.set(Way::Open);
    };
    assert_eq!(join(settle, back).await.0.unwrap().unwrap().state.name(), StateName::Delivered);
    until("it is reachable again", async || store.is_reachable()).await;
    store.accept(vec![event()]).await.unwrap();
    assert_eq!(store.delivery(id).await.unwrap().unwrap().attempts, 1);
}

#[tokio::test]
async fn k3_connections_that_are_ended_under_load_lose_and_double_nothing() {
    let world = World::new(Kind::Postgres);
    let calls = (0..150).map(async |number: u32| accept_patiently(world.store(), event().to(1).key(&number.to_string())).await);
    let ends = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            sql(
                &world,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
        }
    };
    let (accepted, ()) = join(join_all(calls), ends).await;
    let ids: std::collections::HashSet<_> = accepted.iter().map(|accepted| accepted.id).collect();
    until("questions are answered again", async || world.store().counts().await.is_ok()).await;
    assert_eq!((ids.len(), events(&world).await, world.counts(1).await.waiting), (150, 150, 150));
    world.check_counts().await;
}

/// Has the database fail when an event of account `failing` is stored, the first `times` times.
fn fail_events(world: &World, code: &str, times: u32) {
    sql(
        world,
        &format!(
            "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF NEW.account = 'failing' AND nextval('tries') <= {times} THEN RAISE EXCEPTION 'as the test wants' USING ERRCODE = '{code}'; \
               END IF; RETURN NEW; END $$; \
             CREATE TRIGGER fail BEFORE INSERT ON postrider.events FOR EACH ROW EXECUTE FUNCTION fail()"
        ),
    );
}

#[tokio::test]
async fn k5_deadlocks_and_time_outs_are_repeated() {
    for code in ["40001", "40P01", "57014", "55P03"] {
        let world = World::new(Kind::Postgres);
        world.owe(1).await;
        fail_events(&world, code, 4);
        let accepted = world.accept(event().account("failing").to(1).key("k")).await;
        assert!(!accepted.duplicate);
        assert_eq!((events(&world).await, sql(&world, "SELECT last_value FROM tries")[0].as_str()), (2, "5"), "{code}");
        world.check_counts().await;
    }
}

#[tokio::test]
async fn a4_a_full_disk_of_the_database_takes_nothing_new_and_lets_settle() {
    let world = World::new(Kind::Postgres);
    let id = world.owe(1).await;
    fail_events(&world, "53100", 1_000);
    let refused = world.store().accept(vec![event().account("failing")]).await;
    assert!(matches!(refused, Err(AcceptError::Store(StoreError::StorageFull))), "{refused:?}");
    world.settle(1, id, Next::Delivered, at(1)).await.unwrap();
    sql(&world, "DROP TRIGGER fail ON postrider.events");
    world.accept(event().account("failing")).await;
}

#[tokio::test]
async fn a_change_that_the_database_refuses_fails_alone() {
    let world = World::new(Kind::Postgres);
    fail_events(&world, "22000", 1_000);
    let calls = (0..40).map(|number| {
        let account = if number % 8 == 3 { "failing" } else { "acme" };
        world.store().accept(vec![event().account(account).to(1)])
    });
    let answers = join_all(calls).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number % 8 == 3, "{number}: {answer:?}");
    }
    assert_eq!((events(&world).await, world.counts(1).await.waiting), (35, 35));
    world.check_counts().await;
}

#[tokio::test]
async fn a_slow_database_is_waited_for() {
    let world = World::new(Kind::Postgres);
    world.owe(1).await;
    let url = world.database.as_ref().unwrap().url.clone();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE postrider.events IN EXCLUSIVE MODE").await.unwrap();
    let accept = world.store().accept(vec![event().to(1)]);
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(sql(&world, "SELECT count(*) FROM postrider.deliveries"), ["1"]);
        client.batch_execute("COMMIT").await.unwrap();
    };
    join(accept, unlock).await.0.unwrap();
}

#[tokio::test]
async fn k4_a_database_that_does_not_answer_is_told_to_those_who_arrive() {
    let (_world, proxy, store) = behind_a_proxy();
    store.accept(vec![event()]).await.unwrap();
    proxy.set(Way::Stalled);
    let under_way = store.accept(vec![event().to(1).key("k")]);
    let others = async {
        until("it is not reachable", async || !store.is_reachable()).await;
        // Long before what is under way is given up.
        let refused = tokio::time::timeout(Duration::from_secs(20), store.accept(vec![event()])).await.unwrap();
        assert!(matches!(refused, Err(AcceptError::Store(StoreError::Unavailable { .. }))), "{refused:?}");
        proxy.set(Way::Open);
        until("it is reachable again", async || store.is_reachable()).await;
    };
    let (accepted, ()) = join(under_way, others).await;
    // What was under way has its answer, late; what waited behind a routine question was told not to.
    let again = store.accept(vec![event().to(1).key("k")]).await.unwrap();
    match accepted {
        Ok(first) => assert!(!first[0].duplicate && again[0].duplicate && again[0].id == first[0].id),
        Err(error) => assert!(matches!(error, AcceptError::Store(StoreError::Unavailable { .. })) && !again[0].duplicate, "{error}"),
    }
}

#[tokio::test]
async fn a_node_behind_a_pooler_hears_of_others_past_it() {
    let world = World::new(Kind::Pooled);
    let database = world.database.as_ref().unwrap();
    let second = open(&format!("{}?listen={}", database.pooled_url(), database.place()), options(&world, "second")).unwrap();
    let notices = second.notices();
    // The first has to see the second before it tells it anything.
    until("the second node hears of a new row", async || {
        world.owe(1).await;
        notices.take().contains_key(&sub(1))
    })
    .await;
    // The look at the due times comes every ten seconds; so often it does not.
    for round in 0..3 {
        drop(notices.take());
        let mut heard = false;
        for _ in 0..200 {
            world.owe(1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            heard = notices.take().contains_key(&sub(1));
            if heard {
                break;
            }
        }
        assert!(heard, "{round}");
    }
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_node_that_cannot_listen_looks() {
    let world = World::new(Kind::Pooled);
    let second = open(&world.database.as_ref().unwrap().pooled_url(), options(&world, "second")).unwrap();
    let (notices, before) = (second.notices(), second.configuration_with_revision().await.unwrap().0);
    world.owe(1).await;
    let record = ConfigurationRecord { kind: ConfigurationKind::Account, id: "acme".into(), value: "{}".into() };
    world.store().configure(vec![ConfigurationChange::Put { record, if_absent: false }]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), second.configuration_after(before)).await.unwrap();
    until("the second node finds the new row", async || notices.take().contains_key(&sub(1))).await;
    second.close().await.unwrap();
}

#[tokio::test]
async fn two_nodes_that_store_one_key_store_one_event() {
    let world = World::new(Kind::Postgres);
    let second = second_node(&world);
    for round in 0..40 {
        let one = || event().to(1).to_in_order(2, 1).key(&round.to_string());
        let (here, there) = join(world.store().accept(vec![one()]), second.accept(vec![one()])).await;
        let (here, there) = (here.unwrap().remove(0), there.unwrap().remove(0));
        assert_eq!(here.id, there.id);
        assert!(here.duplicate != there.duplicate);
    }
    assert_eq!((events(&world).await, world.counts(1).await.waiting), (40, 40));
    assert_eq!(world.store().check().await.unwrap().described, Vec::<String>::new());
    second.close().await.unwrap();
}

#[tokio::test]
async fn an_order_is_kept_across_nodes() {
    let world = World::new(Kind::Postgres);
    let second = second_node(&world);
    // The clocks of both say the same; the first has given more ids, so that its count is ahead.
    for _ in 0..5 {
        world.accept(event()).await;
    }
    let mut accepted = std::collections::VecDeque::new();
    for number in 0..20 {
        let store = if number % 2 == 0 { world.store() } else { &*second };
        accepted.push_back(store.accept(vec![event().to_in_order(1, 1)]).await.unwrap()[0].deliveries[0]);
        assert_eq!(world.due(1, at(1_000)).await, [accepted[0]], "only the first may go");
    }
    assert!(accepted.iter().is_sorted());
    for number in 0..20 {
        let id = accepted.pop_front().unwrap();
        assert_eq!(world.due(1, at(1_000)).await, [id], "in the order of acceptance");
        let row = world.row(1, id).await;
        let store = if number % 3 == 0 { world.store() } else { &*second };
        store.settle(settlement(1, &row, Next::Delivered, at(1))).await.unwrap();
    }
    // Both at one time, too.
    for _ in 0..20 {
        let (here, there) =
            join(world.store().accept(vec![event().to_in_order(1, 1)]), second.accept(vec![event().to_in_order(1, 1)])).await;
        here.unwrap();
        there.unwrap();
        assert_eq!(world.due(1, at(1_000)).await.len(), 1, "only the first may go");
    }
    assert_eq!(world.store().check().await.unwrap().described, Vec::<String>::new());
}

#[tokio::test]
async fn a_node_hears_of_what_another_has_stored() {
    let world = World::new(Kind::Postgres);
    let second = second_node(&world);
    let notices = second.notices();
    // The first has to see the second before it tells it anything.
    until("the second node hears of a new row", async || {
        world.owe(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        notices.take().contains_key(&sub(1))
    })
    .await;
}

#[tokio::test]
async fn an_accept_by_an_old_configuration_is_refused() {
    let world = World::new(Kind::Postgres);
    let second = second_node(&world);
    let (old, _) = second.configuration_with_revision().await.unwrap();
    second.accept_under(old, vec![event().to(1)], Vec::new()).await.unwrap();
    let change = |kind, id: &str| {
        let record = ConfigurationRecord { kind, id: id.into(), value: "{}".into() };
        vec![ConfigurationChange::Put { record, if_absent: false }]
    };
    // What no accept is decided by changes nothing for them.
    world.store().configure(change(ConfigurationKind::Setting, "x")).await.unwrap();
    second.accept_under(old, vec![event().to(1)], Vec::new()).await.unwrap();
    world.store().configure(change(ConfigurationKind::Account, "acme")).await.unwrap();
    let refused = second.accept_under(old, vec![event().to(1)], Vec::new()).await;
    assert!(matches!(refused, Err(AcceptError::ConfigurationChanged)), "{refused:?}");
    let heard = tokio::time::timeout(Duration::from_secs(20), second.configuration_after(old)).await.unwrap();
    let (new, records) = second.configuration_with_revision().await.unwrap();
    assert!(heard == new && new > old && records.len() == 2);
    second.accept_under(new, vec![event().to(1)], Vec::new()).await.unwrap();
    // Who knows the present one knows the one that follows from his own change.
    let own = second.configure_under(new, change(ConfigurationKind::Account, "other")).await.unwrap();
    second.accept_under(own, vec![event().to(1)], Vec::new()).await.unwrap();
    assert_eq!(world.counts(1).await.waiting, 4);
    // A change that was prepared by an old one would take another one back.
    let overtaken = second.configure_under(new, change(ConfigurationKind::Account, "third")).await;
    assert!(matches!(overtaken, Err(ConfigureError::Store(StoreError::Overtaken))), "{overtaken:?}");
    second.configure_under(new, change(ConfigurationKind::Setting, "y")).await.unwrap();
    assert_eq!(second.configuration_revision().await.unwrap(), own);
    assert!(second.configuration().await.unwrap().iter().all(|record| record.id != "third"));
}

fn note(world: &World, lane: u128, row: &DueRow, epoch: Epoch) -> Lease {
    let attempt = AttemptId::from_raw(row.delivery.raw() ^ u128::from(epoch.number()) << 90);
    let (delivery, due_at) = (row.delivery, row.due_at);
    Lease { delivery, subscription: sub(lane), epoch, due_at, attempt, number: row.attempts + 1, at: world.clock.now() }
}

#[tokio::test]
async fn a_lane_has_one_owner_until_its_lease_ends_or_it_is_given_back() {
    let world = World::new(Kind::Postgres);
    let leases = world.store().lane_leases(Duration::from_millis(300)).unwrap();
    let (first, second) = (NodeId::from_raw(1), NodeId::from_raw(2));
    let lanes = [sub(1), sub(2), sub(3)];
    let claims = leases.claim(first, &lanes, 2).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.lane).collect::<Vec<_>>(), lanes[..2]);
    assert_eq!(leases.claim(second, &lanes[..2], 9).await.unwrap(), []);
    leases.release(first, &claims[..1]).await.unwrap();
    assert_eq!(leases.renew(first, &claims).await.unwrap(), claims[1..]);
    let again = leases.claim(second, &lanes[..1], 9).await.unwrap();
    assert!(again[0].epoch > claims[1].epoch);
    // It ends by itself; who comes back before anybody else has taken it has it again.
    let taken = async {
        loop {
            let taken = leases.claim(first, &lanes[..1], 9).await.unwrap();
            if !taken.is_empty() {
                return taken;
            }
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(20), taken).await.unwrap();
    assert!(taken[0].epoch > again[0].epoch);
    assert_eq!(leases.renew(second, &again).await.unwrap(), []);
    assert_eq!(leases.renew(first, &claims[1..]).await.unwrap(), claims[1..]);
}

#[tokio::test]
async fn nodes_claim_at_once_and_no_lane_goes_to_two() {
    let world = World::new(Kind::Postgres);
    let leases = world.store().lane_leases(Duration::from_secs(60)).unwrap();
    let lanes: Vec<_> = (1..=40).map(sub).collect();
    let claims = (1..=8).map(|node| leases.claim(NodeId::from_raw(node), &lanes, 7));
    let mut claimed: Vec<_> = join_all(claims).await.into_iter().flat_map(Result::unwrap).map(|claim| claim.lane).collect();
    let count = claimed.len();
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), count);
}

#[tokio::test]
async fn k1_what_was_in_flight_is_known_to_the_next_owner_and_stale_writes_change_nothing() {
    let world = World::new(Kind::Postgres);
    let leases = world.store().lane_leases(Duration::from_secs(60)).unwrap();
    let (flying, slow, done) = (world.owe(1).await, world.owe(1).await, world.owe(1).await);
    let (node, lane) = (NodeId::from_raw(1), [sub(1)]);
    let old = leases.claim(node, &lane, 1).await.unwrap();
    let rows = [world.row(1, flying).await, world.row(1, slow).await, world.row(1, done).await];
    for row in &rows {
        assert!(world.store().lease(&note(&world, 1, row, old[0].epoch)).await.unwrap());
    }
    let moved = DueRow { due_at: at(77), ..rows[0].clone() };
    assert!(!world.store().lease(&note(&world, 1, &moved, old[0].epoch)).await.unwrap(), "it is not due as it was read");
    let settle = |row: &DueRow, next: Next, epoch| Settlement { epoch: Some(epoch), ..settlement(1, row, next, at(4)) };
    world.store().settle(settle(&rows[2], Next::Delivered, old[0].epoch)).await.unwrap().unwrap();
    leases.release(node, &old).await.unwrap();
    let new = leases.claim(NodeId::from_raw(2), &lane, 1).await.unwrap();
    assert!(!world.store().lease(&note(&world, 1, &rows[0], old[0].epoch)).await.unwrap(), "another owns the lane");
    let left = world.store().leased(sub(1), new[0].epoch).await.unwrap();
    assert_eq!(left, [note(&world, 1, &rows[0], old[0].epoch), note(&world, 1, &rows[1], old[0].epoch)]);
    assert!(world.store().settle(settle(&rows[0], Next::RetryAt(at(50)), old[0].epoch)).await.unwrap().is_none());
    assert_eq!((world.store().attempts(flying).await.unwrap().len(), world.row(1, flying).await.due_at), (0, rows[0].due_at));
    assert_eq!(world.store().leased(sub(1), new[0].epoch).await.unwrap().len(), 2);
    // That it was delivered is a fact.
    world.store().settle(settle(&rows[1], Next::Delivered, old[0].epoch)).await.unwrap().unwrap();
    assert_eq!(world.state(slow).await, StateName::Delivered);
    world.store().settle(settle(&rows[0], Next::RetryAt(at(9)), new[0].epoch)).await.unwrap().unwrap();
    assert!(world.store().leased(sub(1), new[0].epoch).await.unwrap().is_empty());
    world.store().let_go(&left[0]).await.unwrap();
    world.check_counts().await;
}

#[tokio::test]
async fn old_statistics_do_not_make_a_lane_read_all_that_waits() {
    let mut world = World::new(Kind::Postgres);
    let fill = |lane: &str, rows: u32| {
        let delivery = "lpad(to_hex(n), 32, '0')::uuid";
        format!("INSERT INTO postrider.due SELECT {lane}, n, {delivery}, 0, 1 FROM generate_series(1, {rows}) AS n")
    };
    // Lanes with twenty rows, of which the planner is told; then one that fills up.
    let (many, one) = (fill("lpad(to_hex(n % 2000 + 10), 32, '0')::uuid", 40_000), fill("lpad('1', 32, '0')::uuid", 20_000));
    sql(&world, &format!("ALTER TABLE postrider.due SET (autovacuum_enabled = off); {many}; ANALYZE postrider.due; {one}"));
    let page = world.store().due(sub(1), START, &HashSet::new(), 100).await.unwrap();
    assert_eq!((page.rows.len(), page.more), (100, true));
    world.close().await;
    let read = entries_read(&world, "due_pkey").await;
    assert!(read < 1_000, "{read} entries of the index were read for 100 rows");
}

#[tokio::test]
async fn old_statistics_do_not_make_a_list_read_all_deliveries_of_a_subscription() {
    let mut world = World::new(Kind::Postgres);
    // One delivery, for the partition of its day.
    let made = world.accept(event().to(1)).await.deliveries[0];
    let moment = &format!("{:032x}", made.raw())[..12];
    let fill = |subscription: &str, from: u32, to: u32| {
        format!(
            "INSERT INTO postrider.deliveries SELECT ('{moment}' || lpad(to_hex(n), 20, '0'))::uuid, {subscription}, 1, n, NULL, 1, 0, 1, n, \
             'acme', 'action.tracked', NULL, false FROM generate_series({from}, {to}) AS n"
        )
    };
    let day = &sql(&world, "SELECT relname FROM pg_class WHERE relname ~ '^deliveries_d' AND relkind = 'r'")[0];
    let (many, one) = (fill("lpad(to_hex(n % 2000 + 10), 32, '0')::uuid", 1, 40_000), fill("lpad('1', 32, '0')::uuid", 40_001, 60_000));
    sql(&world, &format!("ALTER TABLE postrider.{day} SET (autovacuum_enabled = off); {many}; ANALYZE postrider.{day}; {one}"));
    let query = DeliveryQuery { subscription: Some(sub(1)), limit: 100, ..DeliveryQuery::default() };
    assert_eq!(world.store().deliveries(&query).await.unwrap().items.len(), 100);
    let decided = DecidedQuery {
        subscription: sub(1),
        states: vec![StateName::Delivered],
        decided_by: at(DAY),
        since: None,
        until: None,
        after: None,
        limit: 100,
    };
    assert_eq!(world.store().decided(&decided).await.unwrap().items.len(), 100);
    world.close().await;
    let read = entries_read(&world, &format!("{day}_subscription_id_idx")).await;
    assert!(read < 2_000, "{read} entries of the index were read for twice 100 rows");
}

/// How many entries of an index were read, once the sessions have ended: that is when they tell.
async fn entries_read(world: &World, index: &str) -> u64 {
    let read = || {
        let rows = sql(world, &format!("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"));
        rows[0].parse::<u64>().unwrap()
    };
    until("the reader's session has ended", async || read() > 0).await;
    read()
}

#[tokio::test]
async fn retention_drops_whole_days_but_those_with_something_undecided() {
    let mut world = World::new(Kind::Postgres);
    let mut ids = Vec::new();
    for day in 0..3 {
        for _ in 0..5 {
            ids.push(world.accept(event().received(at(day * DAY)).to(1)).await.deliveries[0]);
        }
    }
    let partitions = |world: &World| {
        sql(world, "SELECT relname FROM pg_class WHERE relname ~ '^(events|deliveries|attempts)_d' AND relkind = 'r'").len()
    };
    assert_eq!(partitions(&world), 3 * 3, "three tables for each day");
    for &id in ids.iter().filter(|id| **id != ids[7]) {
        world.settle(1, id, Next::Delivered, at(3 * DAY)).await.unwrap();
    }
    // The second day has one that waits.
    let pruned = world.store().prune(at(2 * DAY), at(3 * DAY), 1_000).await.unwrap();
    assert_eq!((pruned.events, pruned.more), (9, false));
    assert_eq!((events(&world).await, world.counts(1).await.waiting, world.counts(1).await.delivered), (6, 1, 5));
    assert_eq!(world.state(ids[7]).await, StateName::Pending);
    world.settle(1, ids[7], Next::Delivered, at(3 * DAY)).await.unwrap();
    let before = partitions(&world);
    assert_eq!(world.store().prune(at(2 * DAY), at(3 * DAY), 1_000).await.unwrap().events, 1);
    assert_eq!(partitions(&world), before - 3);
    world.check_counts().await;
    assert_eq!(world.store().check().await.unwrap().described, Vec::<String>::new());
    // Ids go on, and a day that was dropped is made again when something comes for it.
    world.reopen().await;
    let late = world.accept(event().received(START).to(1)).await;
    assert!(late.deliveries[0] > ids[14]);
}

#[tokio::test]
async fn a_database_of_a_later_release_or_without_a_store_is_refused() {
    let mut world = World::new(Kind::Postgres);
    world.close().await;
    sql(&world, "UPDATE postrider.meta SET value = '99' WHERE name = 'form'");
    let database = world.database.as_ref().unwrap();
    let refused = open(&database.url, world.options.clone()).unwrap_err().to_string();
    assert!(refused.contains("form 99") && !refused.contains(database.url.split([':', '@']).nth(2).unwrap()), "{refused}");
    sql(&world, "DROP SCHEMA postrider CASCADE");
    let refused = open(&database.url, StoreOptions { must_exist: true, ..world.options.clone() }).unwrap_err().to_string();
    assert!(refused.contains("no store in it"), "{refused}");
    assert_eq!(sql(&world, "SELECT count(*) FROM pg_namespace WHERE nspname = 'postrider'"), ["0"]);
    world.reopen().await;
}
