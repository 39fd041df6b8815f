//! Puts the parts together, starts and stops them in order. Alone knows all.
//!
//! ```text
//! start: folder, key ─▶ store ─▶ master key ─▶ queue ─▶ dispatcher, sweep, replays ─▶ listen ─▶ ready
//! stop:  not ready ─▶ no new connections ─▶ dispatcher lets what is in flight end ─▶ store synced and closed
//! ```

mod clients;
mod listen;
mod parts;
mod reload;

pub use parts::otlp_settings;
pub use reload::{ReloadError, Reloader};

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiState, Gate, Inbound, InboundSettings, MetricsReaders, Pulse, Readiness, TrialLimit};
use crate::clock::{Clock, PreciseClock, Timestamp};
use crate::cluster::{Job, Keeper, KeeperSettings, Load, NodeReport, Role, Roles, SoleNode};
use crate::config::{MetricsAccess, Settings};
use crate::dispatcher::{Dispatcher, Heartbeat};
use crate::id::NodeId;
use crate::metrics::Metrics;
use crate::queue::{
    ConfigureError, Key, MasterKeySource, Queue, StoreError, UnlockError, discard_secrets, draw_key_text, follow_configuration,
    follow_others, run_replays, sweep, unlock,
};
use crate::request::guard::{Guard, HostPatternError, SystemLookup, SystemLookupSettings};
use crate::request::send::{EgressProxyError, HttpTransport, Transport, TransportError, TransportSettings};
use crate::rng::{Rng, SystemRng};
use crate::secret::{MaskedAddress, Secret};
use crate::spans::{ExportError, OtlpError};
use crate::store::{self, OpenError, Store, StoreObserver, StoreOptions};
use crate::systemd::Notifier;
use listen::{ClientLimits, serve};
use parts::{account_kinds, dispatcher_settings, egress_address, egress_proxy, exporter, guard_settings, retention_settings};

/// Time for the last spans to be sent at a stop.
const SPANS_DRAIN_MAX: Duration = Duration::from_secs(5);
/// How often the dispatcher's loop shows that it turns, at least.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often systemd is told how it goes.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);
/// Time to give lanes back at a stop.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder `{}` cannot be used; create it, or name another with `--data`", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The operator's key cannot be read or written.
    #[error("the operator's key `{}` cannot be read or written; it must be a file of yours that holds one line", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The clock's thread did not start.
    #[error("the clock did not start; the operating system gives no more threads")]
    Clock(#[source] io::Error),
    /// A node has no use.
    #[error("`roles` leaves something out, and no other node can use the store `{0}`; leave the setting away, or use a database")]
    Roles(MaskedAddress),
    /// The store did not open.
    #[error("the store did not open")]
    Store(#[from] OpenError),
    /// The secrets in the store cannot be opened.
    #[error("the stored secrets cannot be used")]
    Secrets(#[from] UnlockError),
    /// The secrets in the store cannot be removed.
    #[error("the stored secrets were not removed")]
    Discard(#[source] ConfigureError),
    /// The configuration in the store cannot be read.
    #[error("the stored configuration cannot be read")]
    Configuration(#[source] StoreError),
    /// The client for outgoing requests cannot be set up.
    #[error("outgoing requests cannot be set up")]
    Transport(#[from] TransportError),
    /// A pattern of a denied host is none.
    #[error("the setting `deny_hosts` is wrong")]
    DenyHosts(#[from] HostPatternError),
    /// Spans cannot be sent.
    #[error("the settings `otlp_…` are wrong")]
    Otlp(#[from] OtlpError),
    /// Spans cannot be sent.
    #[error("spans cannot be sent; leave `otlp_endpoint` out to start without them")]
    Exporter(#[from] ExportError),
    /// The egress proxy cannot be used.
    #[error("the setting `egress_proxy` is wrong")]
    EgressProxy(#[from] EgressProxyError),
    /// The address to send from is not ours.
    #[error("cannot send from {address}; set `egress_address` to an address of this machine, as `ip address` shows them")]
    EgressAddress {
        /// The address.
        address: IpAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; choose another with `--listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// How a server ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed for good.
    #[error("the store failed and the server stopped, so that nothing is acknowledged that is not kept")]
    Store(#[source] StoreError),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    operator_key: Secret,
    operator_key_file: PathBuf,
    queue: Arc<Queue>,
    ready: Readiness,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
    keeper: JoinHandle<()>,
    listener: JoinHandle<()>,
    sweep: JoinHandle<()>,
    replays: JoinHandle<()>,
    followers: Vec<JoinHandle<()>>,
    status: Option<JoinHandle<()>>,
    /// Sends spans until it is told to send the last ones.
    exporter: Option<(JoinHandle<()>, CancellationToken)>,
    notifier: Option<Arc<Notifier>>,
    reloader: Arc<Reloader>,
}

impl Server {
    /// Starts a server; it is ready when this returns.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        Self::start_notifying(settings, None).await
    }

    /// The same, and tells systemd how it goes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_notifying(settings: &Settings, notifier: Option<Notifier>) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(PreciseClock::start().map_err(StartError::Clock)?);
        let rng = SystemRng;
        create_folder(&settings.data)?;
        let metrics: Arc<Metrics> = Arc::default();
        let options = StoreOptions {
            observer: Some(Arc::new(StoreMetrics(metrics.clone()))),
            tag: rng.bits(),
            clock: clock.clone(),
            waiting_per_subscription_max: settings.waiting_per_subscription_max,
            free_space_floor: settings.disk_free_bytes_min,
            node: Some(node_name(&settings.data, &rng)?),
            ..StoreOptions::default()
        };
        let location = settings.store_location();
        // Opening reads the disk, which must not stand in the way of other tasks.
        let opened = tokio::task::spawn_blocking(move || store::open(location.expose(), options)).await;
        let store: Arc<dyn Store> = Arc::from(opened.expect("opening a store turns panics into errors")?);
        let key_file = settings.data.join("operator.key");
        let operator_key = operator_key(&key_file, &rng)?;
        if settings.discard_secrets {
            let count = discard_secrets(&*store).await.map_err(StartError::Discard)?;
            tracing::warn!(
                subscriptions = count,
                "stored secrets were removed; these subscriptions do not send until theirs are set again"
            );
        }
        let ttl = Duration::from_secs(settings.lease_s);
        let leases = store.lane_leases(ttl).unwrap_or_else(|| Arc::new(SoleNode::new(clock.clone())));
        if leases.ttl().is_none() && Roles::of(&settings.roles) != Roles::ALL {
            return Err(StartError::Roles(settings.store_location()));
        }
        let source = MasterKeySource { variable: settings.master_key.clone(), file: settings.master_key_file() };
        let is_shared = store.is_shared();
        let vault = unlock(&*store, &source, Arc::new(rng)).await?;
        let queue = Queue::open(store, clock.clone(), rng.bits(), settings.key_lifetime(), vault).await;
        let queue = queue.map_err(StartError::Configuration)?;
        let queue = queue.with_account_kinds(account_kinds(&settings.account_kinds)).with_metrics(metrics.clone());
        let (exporter, spans) = exporter(settings)?;
        let queue = Arc::new(queue.with_spans(spans));
        let listener = bind(settings.listen).await?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        let guard = Guard::new(guard_settings(settings, address)?);
        let transport_settings = TransportSettings {
            idle_per_host: settings.in_flight_per_subscription_max,
            proxy: egress_proxy(settings)?,
            local_address: egress_address(settings)?,
            ..TransportSettings::new(guard.clone(), Arc::new(SystemLookup::new(SystemLookupSettings::default(), clock.clone())))
        };
        let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(transport_settings)?);
        let ready = Readiness::default();
        let stop = CancellationToken::new();
        let pulse = Pulse::default();
        let notifier = notifier.map(Arc::new);
        let roles = Roles::of(&settings.roles);
        let node = NodeId::from_raw(queue.next_id(clock.now()));
        let (keeper, membership) = Keeper::new(KeeperSettings {
            leases: leases.clone(),
            clock: clock.clone(),
            node: NodeReport {
                id: node,
                address: shown_address(address),
                roles,
                version: env!("CARGO_PKG_VERSION").into(),
                lanes: 0,
                in_flight: 0,
                leaving: false,
            },
            load: load(&queue),
        });
        let dispatcher = Dispatcher::new(queue.clone(), transport.clone(), clock.clone(), dispatcher_settings(settings))
            .with_heartbeat(heartbeat(&pulse, notifier.as_ref(), &clock))
            .with_membership(membership);
        let (retention, retention_seen) = watch::channel(retention_settings(settings));
        let reloader = Reloader {
            present: Mutex::new(settings.clone()),
            address,
            queue: queue.clone(),
            guard: guard.clone(),
            dispatcher: dispatcher.adjust(),
            retention,
            notifier: notifier.clone(),
        };
        let (replays_turn, sweep_turn) = (keeper.turn(Job::Replays), keeper.turn(Job::Sweep));
        let state = ApiState {
            queue: queue.clone(),
            leases,
            node,
            transport,
            guard,
            clock,
            rng: Arc::new(rng),
            gate: Arc::new(Gate::new(
                Key::of_operator(operator_key.expose(), written_at(&key_file), queue.operator_last_use()),
                settings.authentication_failures_per_minute,
                settings.trusted_proxies.clone(),
            )),
            inbound: Arc::new(Inbound::new(InboundSettings {
                reports_per_second: settings.inbound_per_second,
                clicks_per_second: settings.clicks_per_address_per_second,
                country_header: settings.country_header.as_deref().and_then(|name| name.parse().ok()),
                public_url: settings.public_url.clone(),
            })),
            body_bytes_max: settings.body_bytes_max,
            metrics: match settings.metrics {
                MetricsAccess::Loopback => MetricsReaders::Loopback,
                MetricsAccess::Public => MetricsReaders::Everybody,
            },
            egress_addresses: settings.egress_addresses.clone().into(),
            body_time_max: Duration::from_secs(settings.request_body_s),
            subscriptions_per_account_max: settings.subscriptions_per_account_max,
            trial_limit: Arc::new(TrialLimit::new(settings.test_sends_per_minute)),
            ready: ready.clone(),
            pulse,
        };
        let router = if roles.has(Role::Api) { api::router(state) } else { api::probes(state) };
        let dispatcher = if roles.has(Role::Dispatch) {
            tokio::spawn(dispatcher.run(stop.clone()))
        } else {
            drop(dispatcher);
            tokio::spawn(stay_alive(notifier.clone(), stop.clone()))
        };
        let followers = if is_shared {
            vec![tokio::spawn(follow_configuration(queue.clone())), tokio::spawn(follow_others(queue.clone()))]
        } else {
            Vec::new()
        };
        let server = Self {
            address,
            operator_key,
            operator_key_file: key_file,
            dispatcher,
            keeper: tokio::spawn(keeper.run(stop.clone())),
            listener: tokio::spawn(serve(listener, router, ClientLimits::of(settings), stop.clone())),
            sweep: tokio::spawn(sweep(queue.clone(), retention_seen, sweep_turn)),
            replays: tokio::spawn(run_replays(queue.clone(), replays_turn)),
            followers,
            exporter: exporter.map(|exporter| {
                let last = CancellationToken::new();
                (tokio::spawn(exporter.run(last.clone())), last)
            }),
            status: notifier.clone().map(|notifier| tokio::spawn(tell_status(queue.clone(), notifier))),
            notifier,
            reloader: Arc::new(reloader),
            queue,
            ready,
            stop,
        };
        server.ready.set(true);
        server.notifier.iter().for_each(|notifier| notifier.ready());
        tracing::info!(%address, store = %settings.store_location(), "ready");
        Ok(server)
    }

    /// Where the API is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operator's key.
    #[must_use]
    pub fn operator_key(&self) -> &str {
        self.operator_key.expose()
    }

    /// The file that holds the operator's key.
    #[must_use]
    pub fn operator_key_file(&self) -> &Path {
        &self.operator_key_file
    }

    /// Changes settings while it runs.
    #[must_use]
    pub const fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Runs until `stopped` resolves, then stops in order; or until the store fails.
    ///
    /// # Errors
    /// [`RunError::Store`] if the store failed.
    pub async fn run_until(self, stopped: impl Future<Output = ()>) -> Result<(), RunError> {
        let failure = tokio::select! {
            () = stopped => None,
            error = self.queue.failed() => Some(error),
        };
        if let Some(error) = failure {
            self.ready.set(false);
            tracing::error!(%error, "the store failed");
            return Err(RunError::Store(error));
        }
        self.stop().await
    }

    /// Stops in order: no new work, what is in flight ends, everything is synced.
    ///
    /// # Errors
    /// [`RunError::Store`] if the last sync failed.
    pub async fn stop(self) -> Result<(), RunError> {
        self.ready.set(false);
        self.notifier.iter().for_each(|notifier| notifier.stopping());
        self.stop.cancel();
        // A task that panicked has said so in the log; the others still stop in order.
        let _ = self.listener.await;
        let _ = self.dispatcher.await;
        // It gives back what is left; the leases of what it cannot give back end by themselves.
        let _ = tokio::time::timeout(LEAVE_MAX, self.keeper).await;
        for task in [self.sweep, self.replays].into_iter().chain(self.followers).chain(self.status) {
            task.abort();
            let _ = task.await;
        }
        if let Some((mut task, last)) = self.exporter {
            last.cancel();
            // A collector that is slow does not hold up the stop.
            if tokio::time::timeout(SPANS_DRAIN_MAX, &mut task).await.is_err() {
                task.abort();
                tracing::warn!("stopped with spans that the collector did not take");
            }
        }
        if let Err(error) = self.queue.save_last_uses().await {
            tracing::warn!(%error, "when API keys were used last was not saved");
        }
        let closed = self.queue.close().await.map_err(RunError::Store);
        tracing::info!("stopped");
        closed
    }
}

/// The name of this server among those that share a database: drawn once, and kept in the data folder, so
/// that it knows after a restart what it left under way.
fn node_name(data: &Path, rng: &SystemRng) -> Result<String, StartError> {
    let path = data.join("node");
    let failed = |source| StartError::Key { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(_) | Err(_) => {
            let name = format!("node-{:016x}", rng.bits());
            std::fs::write(&path, format!("{name}\n")).map_err(failed)?;
            Ok(name)
        }
    }
}

/// What the node has to do, for those who ask.
fn load(queue: &Arc<Queue>) -> Arc<dyn Fn() -> Load + Send + Sync> {
    let queue = queue.clone();
    Arc::new(move || Load { lanes: queue.metrics().lanes(), in_flight: queue.in_flight().count() })
}

/// The address by which people tell nodes apart: with the machine's name, if the node listens on all of its addresses.
fn shown_address(address: SocketAddr) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        name if address.ip().is_unspecified() && !name.is_empty() => format!("{name}:{}", address.port()),
        _ => address.to_string(),
    }
}

/// Shows systemd that a node without a dispatcher is alive.
async fn stay_alive(notifier: Option<Arc<Notifier>>, stop: CancellationToken) {
    let every = notifier.as_ref().and_then(|notifier| notifier.watchdog()).map(|watchdog| HEARTBEAT.min(watchdog / 2));
    let alive = async {
        match (&notifier, every) {
            (Some(notifier), Some(every)) => loop {
                notifier.alive();
                tokio::time::sleep(every).await;
            },
            _ => std::future::pending().await,
        }
    };
    tokio::select! { () = alive => {}, () = stop.cancelled() => {} }
}

/// Has the dispatcher's loop itself tell that it turns: a timer beside it would go on if it hung.
fn heartbeat(pulse: &Pulse, notifier: Option<&Arc<Notifier>>, clock: &Arc<dyn Clock>) -> Heartbeat {
    let (pulse, notifier, clock) = (pulse.clone(), notifier.cloned(), clock.clone());
    // Twice within the time that systemd allows.
    let every = notifier.as_ref().and_then(|notifier| notifier.watchdog()).map_or(HEARTBEAT, |watchdog| HEARTBEAT.min(watchdog / 2));
    let beat = move || {
        pulse.beat(clock.instant());
        notifier.iter().filter(|notifier| notifier.watchdog().is_some()).for_each(|notifier| notifier.alive());
    };
    Heartbeat::new(every, Arc::new(beat))
}

/// Tells systemd in a line how it goes.
async fn tell_status(queue: Arc<Queue>, notifier: Arc<Notifier>) {
    loop {
        let (in_flight, failing) = (queue.in_flight().count(), queue.failing());
        match queue.counts().await {
            Ok(counts) => {
                let waiting: u64 = counts.iter().map(|counts| counts.counts.waiting).sum();
                notifier.status(&format!("{waiting} waiting, {in_flight} in flight, {failing} failing"));
            }
            Err(StoreError::Unavailable { .. }) => {
                notifier.status(&format!("the database is away, {in_flight} in flight, {failing} failing"));
            }
            Err(_) => return,
        }
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

/// Counts what the store does.
#[derive(Debug)]
struct StoreMetrics(Arc<Metrics>);

impl StoreObserver for StoreMetrics {
    fn written(&self, took: Duration) {
        self.0.committed(took);
    }

    fn synced(&self, took: Duration) {
        self.0.synced(took);
    }
}

fn create_folder(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::Folder { path: path.to_owned(), source })
}

/// The operator's key; at the first start it is drawn and written, readable by its owner alone.
fn operator_key(path: &Path, rng: &dyn Rng) -> Result<Secret, StartError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |source| StartError::Key { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 16 => {
            warn_if_readable(path);
            return Ok(Secret::new(text.trim()));
        }
        Ok(_) => return Err(fail(io::Error::other("it holds no key of at least 16 characters; remove it to have one written"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let key = draw_key_text(rng);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    writeln!(file, "{}", key.expose()).and_then(|()| file.sync_all()).map_err(fail)?;
    Ok(key)
}

/// Warns if others than its owner can read a file that they should not.
fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), format_args!("{mode:o}"));
        tracing::warn!(%path, %mode, "others can read the operator's key; take that from them with `chmod 600`, and replace the key");
    }
}

/// When a file was written last; unknown: the beginning of time.
fn written_at(path: &Path) -> Timestamp {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since_1970 = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    Timestamp::default().after(since_1970.unwrap_or_default())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}
