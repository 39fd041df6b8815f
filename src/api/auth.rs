//! Lets a call in: finds the key, the caller's address, and whether the key may make this call.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use super::caller::{Access, Caller};
use super::problem::Problem;
use super::throttle::{Throttle, Verdict};
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::queue::{Actor, Key, KeyHash, is_mistyped_key};

/// Most addresses of `X-Forwarded-For` that are looked at.
const FORWARDED_MAX: usize = 32;

/// What stands between strangers and the API.
#[derive(Debug)]
pub struct Gate {
    /// The key of the file `operator.key`.
    operator_key: Arc<Key>,
    throttle: Throttle,
    trusted_proxies: Vec<IpNet>,
}

impl Gate {
    /// A gate that lets one address fail `failures_max` times in a minute, and believes what
    /// `trusted_proxies` say of a caller's address.
    #[must_use]
    pub fn new(operator_key: Key, failures_max: u32, trusted_proxies: Vec<IpNet>) -> Self {
        Self { operator_key: Arc::new(operator_key), throttle: Throttle::new(failures_max), trusted_proxies }
    }

    /// The key of the file `operator.key`.
    pub(super) const fn operator_key(&self) -> &Arc<Key> {
        &self.operator_key
    }

    /// Whether what this peer says of others is believed.
    pub(super) fn is_trusted(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// The caller's address: the last one that a trusted proxy did not write about another trusted proxy.
    pub(super) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer;
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).take(FORWARDED_MAX);
        while self.is_trusted(address) {
            match hops.next().and_then(forwarded_address) {
                Some(before) => address = before,
                None => break,
            }
        }
        address
    }
}

/// One address of `X-Forwarded-For`, with or without a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

/// Lets a request through if its key may make this call, and tells the handler who calls.
pub(super) async fn admit(
    State((state, access)): State<(ApiState, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = caller(&state, peer(request.extensions()), request.headers()).await?;
    access.check(request.method(), caller.key().scope)?;
    if !is_emitting(&request) {
        state.queue.catch_up().await;
    }
    caller.key().last_use.note(state.clock.now());
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Whether a request only tells what happened: these come by the thousand, and what they need of the configuration is
/// looked at when they are stored.
fn is_emitting(request: &Request) -> bool {
    request.method() == Method::POST && ["/v1/events", "/v1/clicks"].contains(&request.uri().path())
}

/// Who sent a request with these headers from this address.
///
/// # Errors
/// 401 `unauthorized`, or 429 `too_many_failures`.
pub(super) async fn caller(state: &ApiState, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let address = state.gate.address(peer, headers);
    let now = state.clock.now();
    let Some(text) = bearer(headers) else {
        return Err(unauthorized(
            "send the header `Authorization: Bearer <key>`; the operator's key is in `operator.key` in the data folder",
        ));
    };
    let mut found = identify(state, text, now);
    // Another server may just have made it.
    if found.is_err() && !is_mistyped_key(text) && state.queue.catch_up().await {
        found = identify(state, text, now);
    }
    let key = match found {
        Ok(key) => key,
        Err(detail) => return Err(turned_away(state, address, detail).await),
    };
    Ok(Caller::new(key, address))
}

fn unauthorized(detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// The key with this text, or what to say about the text. Nothing is said of keys but to their holders.
fn identify(state: &ApiState, text: &str, now: Timestamp) -> Result<Arc<Key>, &'static str> {
    let hash = KeyHash::of(text);
    let operator_key = state.gate.operator_key();
    let of_operator = operator_key.hash.is(&hash).then(|| operator_key.clone());
    match of_operator.or_else(|| state.queue.registry().key_by_hash(&hash).cloned()) {
        Some(key) if !key.has_expired(now) => Ok(key),
        Some(_) => Err("this key has expired; use the one that took its place, or ask the operator for another"),
        None if is_mistyped_key(text) => Err("this key was copied wrongly, its last characters do not fit the rest; copy it whole"),
        None => Err("this key is not known, or not any more; the operator's key is in `operator.key` in the data folder"),
    }
}

/// The answer to a request whose key is not valid, counted against its address.
async fn turned_away(state: &ApiState, address: IpAddr, detail: &str) -> ApiError {
    match state.gate.throttle.fail(address, state.clock.instant()) {
        Verdict::Counted { note } => {
            if note {
                tracing::warn!(%address, "a request came without a valid key; more of this address are not logged for a minute");
                if let Err(error) = state.queue.note_failed_authentication(&Actor::stranger(address)).await {
                    tracing::warn!(%error, "a failed authentication is not in the audit log");
                }
            }
            unauthorized(detail)
        }
        Verdict::TooMany { wait } => {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            let detail = format!(
                "too many requests from this address had no valid key; wait {seconds} seconds and check the key (requests with a valid key are answered)"
            );
            ApiError(Box::new(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).retry_after(seconds)))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The address at the other end of the connection.
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::LastUse;

    #[test]
    fn a_forwarded_address_is_believed_of_trusted_proxies_alone() {
        let key = Key::of_operator("0123456789abcdef", Timestamp::default(), LastUse::default());
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).to_vec();
        let gate = Gate::new(key, 1, proxies);
        let table: [(&str, &[&str], &str); 10] = [
            ("203.0.113.1", &["198.51.100.7"], "203.0.113.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["192.0.2.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["192.0.2.1, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
            ("10.0.0.1", &["192.0.2.1", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db9::7]:4711"], "2001:db9::7"),
            ("10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            ("2001:db8::1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ];
        for (peer, lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            assert_eq!(gate.address(peer.parse().unwrap(), &headers).to_string(), expected, "{peer} {lines:?}");
        }
    }
}
