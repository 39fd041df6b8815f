//! The clients: one for all receivers without a TLS identity of their own, and one for each identity.
//! Targets on a port that we listen on have clients of their own too, which find no address of ourselves.
//!
//! Connections are pooled in a client, and a pool must never lend a connection that was opened with
//! one identity to a request with another. So each identity has a client of its own, with the same
//! guard and limits. A limited number is kept, and the one that was used longest ago gives way; its idle
//! connections close with it, and what is in flight over it ends undisturbed.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::egress::EgressProxy;
use super::http::{TransportError, TransportSettings};
use super::identity::{Fingerprint, TlsIdentity};
use crate::request::guard::{Guard, Lookup, LookupError, ResolveError, resolve};

/// Makes clients, and keeps those of the identities that are in use.
pub(super) struct Clients {
    workshop: Workshop,
    without_identity: Client,
    kept: Mutex<Kept>,
    kept_max: usize,
}

#[derive(Default)]
struct Kept {
    clients: HashMap<Use, KeptClient>,
    /// Counts uses; the client with the lowest number was used longest ago.
    uses: u64,
}

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Use {
    identity: Option<Fingerprint>,
    own_port: Option<u16>,
}

struct KeptClient {
    client: Client,
    last_use: u64,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    pub fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        let workshop = Workshop::new(settings)?;
        let without_identity = workshop.client(None, None)?;
        Ok(Self { workshop, without_identity, kept: Mutex::default(), kept_max: settings.identities_max.max(1) })
    }

    /// The client for requests with this identity, to `own_port` if that is a port that we listen on.
    pub fn of(&self, identity: Option<&Arc<TlsIdentity>>, own_port: Option<u16>) -> Result<Client, TransportError> {
        let wanted = Use { identity: identity.map(|identity| identity.fingerprint), own_port };
        if wanted == (Use { identity: None, own_port: None }) {
            return Ok(self.without_identity.clone());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let last_use = kept.uses;
        if let Some(known) = kept.clients.get_mut(&wanted) {
            known.last_use = last_use;
            return Ok(known.client.clone());
        }
        let client = self.workshop.client(identity.map(|identity| &**identity), own_port)?;
        if kept.clients.len() >= self.kept_max {
            let oldest = kept.clients.iter().min_by_key(|(_, known)| known.last_use).map(|(oldest, _)| *oldest);
            oldest.and_then(|oldest| kept.clients.remove(&oldest));
        }
        kept.clients.insert(wanted, KeptClient { client: client.clone(), last_use });
        Ok(client)
    }
}

/// What all clients are made from.
struct Workshop {
    guard: Guard,
    lookup: Arc<dyn Lookup>,
    proxy: Option<EgressProxy>,
    local_address: Option<IpAddr>,
    user_agent: HeaderValue,
    connect_timeout: Duration,
    idle_per_host: usize,
    idle_timeout: Duration,
    response_headers_max: usize,
    response_header_bytes_max: u32,
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

/// Who may vouch for a receiver that has no authorities of its own.
enum Trust {
    System(Arc<Verifier>),
    Only(Arc<RootCertStore>),
}

impl Workshop {
    fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        let user_agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| TransportError::UserAgent { value: settings.user_agent.escape_debug().to_string() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self {
            guard: settings.guard.clone(),
            lookup: Arc::clone(&settings.lookup),
            proxy: settings.proxy.clone(),
            local_address: settings.local_address,
            user_agent,
            connect_timeout: settings.connect_timeout,
            idle_per_host: settings.idle_per_host,
            idle_timeout: settings.idle_timeout,
            response_headers_max: settings.response_headers_max,
            response_header_bytes_max: u32::try_from(settings.response_header_bytes_max).unwrap_or(u32::MAX),
            trust: trust(&settings.extra_roots, &provider)?,
            provider,
        })
    }

    fn client(&self, identity: Option<&TlsIdentity>, own_port: Option<u16>) -> Result<Client, TransportError> {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(self.user_agent.clone())
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(self.idle_per_host)
            .pool_idle_timeout(self.idle_timeout)
            .http1_max_headers(self.response_headers_max)
            .http2_max_header_list_size(self.response_header_bytes_max)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15))
            .local_address(self.local_address)
            .tls_backend_preconfigured(self.tls_config(identity)?);
        let builder = match &self.proxy {
            Some(proxy) => {
                let resolver = ProxyResolver { lookup: Arc::clone(&self.lookup), local_address: self.local_address };
                builder.proxy(proxy.for_client().map_err(TransportError::Client)?).dns_resolver(Arc::new(resolver))
            }
            None => builder.dns_resolver(Arc::new(GuardedResolver {
                guard: self.guard.clone(),
                lookup: Arc::clone(&self.lookup),
                own_port,
                local_address: self.local_address,
            })),
        };
        builder.build().map_err(TransportError::Client)
    }

    fn tls_config(&self, identity: Option<&TlsIdentity>) -> Result<ClientConfig, TransportError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(TransportError::Tls)?;
        let builder = match (identity.and_then(|identity| identity.authorities.as_ref()), &self.trust) {
            (Some(authorities), _) => builder.dangerous().with_custom_certificate_verifier(Arc::clone(authorities) as _),
            (None, Trust::Only(roots)) => builder.with_root_certificates(Arc::clone(roots)),
            (None, Trust::System(verifier)) => builder.dangerous().with_custom_certificate_verifier(Arc::clone(verifier) as _),
        };
        let mut config = match identity.and_then(|identity| identity.client.as_ref()) {
            Some(client) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(client)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn trust(extra_roots: &[Vec<u8>], provider: &Arc<CryptoProvider>) -> Result<Trust, TransportError> {
    let extra: Vec<_> = extra_roots.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut extra_store = RootCertStore::empty();
    for (index, root) in extra.iter().enumerate() {
        extra_store.add(root.clone()).map_err(|error| TransportError::ExtraRoot { number: index + 1, error })?;
    }
    match Verifier::new_with_extra_roots(extra, Arc::clone(provider)) {
        Ok(verifier) => Ok(Trust::System(Arc::new(verifier))),
        // An image without certificates: `http` still works, and `https` fails with a sentence that says why.
        Err(error) => {
            tracing::warn!(%error, "no root certificates of the system; `https` receivers will fail until they are installed");
            Ok(Trust::Only(Arc::new(extra_store)))
        }
    }
}

/// The second gate: the client connects to what this returns and looks nothing up itself.
struct GuardedResolver {
    guard: Guard,
    lookup: Arc<dyn Lookup>,
    own_port: Option<u16>,
    local_address: Option<IpAddr>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, lookup) = (self.guard.clone(), Arc::clone(&self.lookup));
        let (own_port, local_address) = (self.own_port, self.local_address);
        Box::pin(async move {
            let addresses = resolve(&guard, &*lookup, name.as_str(), own_port).await?;
            Ok(reachable_from(local_address, addresses, name.as_str())?)
        })
    }
}

/// Looks up the proxy, which is all that the client connects to when there is one. The operator chose it, so it
/// may be anywhere.
struct ProxyResolver {
    lookup: Arc<dyn Lookup>,
    local_address: Option<IpAddr>,
}

impl Resolve for ProxyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, local_address) = (Arc::clone(&self.lookup), self.local_address);
        Box::pin(async move {
            let host = name.as_str();
            let addresses = lookup.lookup(host).await.map_err(|error| ResolveError::Lookup { host: host.into(), error })?;
            Ok(reachable_from(local_address, addresses, host)?)
        })
    }
}

/// The addresses that a connection from `local_address` can lead to; the client would leave the others out
/// only where there is a choice.
fn reachable_from(local_address: Option<IpAddr>, mut addresses: Vec<IpAddr>, host: &str) -> Result<Addrs, ResolveError> {
    if let Some(local) = local_address {
        addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
        if addresses.is_empty() {
            let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
            let reason = format!("it has no {family} address, and the operator sends from one");
            return Err(ResolveError::Lookup { host: host.into(), error: LookupError::NotFound { reason } });
        }
    }
    // Port 0 stands for the URL's.
    Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
}
