//! The HTTP client behind the [`Transport`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Request, Response};
use url::{Host, Url};

use super::clients::Clients;
use super::egress::{EgressProxy, ProxyWatch};
use super::failure::{failed, failure_of};
use super::transport::{Outgoing, Transport};
use crate::attempt::{Exchange, Failure, FailureKind, ReceivedResponse};
use crate::request::guard::{Guard, Lookup, parse_target};

/// The `User-Agent` of requests that bring none.
pub const USER_AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));

/// What an [`HttpTransport`] is made with.
#[derive(Debug, Clone)]
pub struct TransportSettings {
    /// Decides what is sent to.
    pub guard: Guard,
    /// Finds the addresses of names.
    pub lookup: Arc<dyn Lookup>,
    /// The `User-Agent` of requests that bring none.
    pub user_agent: String,
    /// Time to connect, TLS included. The time of the whole call still holds.
    pub connect_timeout: Duration,
    /// How many idle connections are kept for each scheme, host and port.
    pub idle_per_host: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How many bytes of a body are read.
    pub response_read_max: usize,
    /// How many headers an answer may have.
    pub response_headers_max: usize,
    /// How many bytes the names and values of an answer's headers may have together.
    pub response_header_bytes_max: usize,
    /// DER certificates of authorities that are trusted beside the system's.
    pub extra_roots: Vec<Vec<u8>>,
    /// For how many TLS identities connections are kept.
    pub identities_max: usize,
    /// The proxy that everything is sent through; none to connect to receivers directly.
    pub proxy: Option<EgressProxy>,
    /// The address of this machine that everything is sent from; none for the system's choice.
    pub local_address: Option<IpAddr>,
}

impl TransportSettings {
    /// The defaults, for this guard and look-up.
    #[must_use]
    pub fn new(guard: Guard, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            guard,
            lookup,
            user_agent: USER_AGENT.into(),
            connect_timeout: Duration::from_secs(5),
            idle_per_host: 32,
            idle_timeout: Duration::from_secs(30),
            response_read_max: 64 * 1024,
            response_headers_max: 64,
            response_header_bytes_max: 16 * 1024,
            extra_roots: Vec::new(),
            identities_max: 256,
            proxy: None,
            local_address: None,
        }
    }
}

/// Why no transport came out of the settings.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The `User-Agent` holds what a header may not.
    #[error("user agent `{value}` is no header value; use printable ASCII")]
    UserAgent {
        /// The value.
        value: String,
    },
    /// A certificate of an extra authority cannot be used.
    #[error("extra root certificate number {number} cannot be used; pass it in DER form")]
    ExtraRoot {
        /// Which, from 1.
        number: usize,
        /// Why.
        #[source]
        error: rustls::Error,
    },
    /// The TLS settings do not fit together.
    #[error("the TLS settings cannot be used")]
    Tls(#[source] rustls::Error),
    /// The client was not built.
    #[error("the HTTP client was not built")]
    Client(#[source] reqwest::Error),
}

/// Sends over the network, through the guard. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    clients: Arc<Clients>,
    guard: Guard,
    proxy: Option<Arc<ProxyWatch>>,
    local_address: Option<IpAddr>,
    connect_timeout: Duration,
    response_read_max: usize,
    response_header_bytes_max: usize,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport with these settings.
    ///
    /// # Errors
    /// [`TransportError`] if the user agent or an extra root certificate cannot be used.
    pub fn new(settings: TransportSettings) -> Result<Self, TransportError> {
        Ok(Self {
            clients: Arc::new(Clients::new(&settings)?),
            guard: settings.guard,
            proxy: settings.proxy.is_some().then(Arc::default),
            local_address: settings.local_address,
            connect_timeout: settings.connect_timeout,
            response_read_max: settings.response_read_max,
            response_header_bytes_max: settings.response_header_bytes_max,
        })
    }

    async fn exchange(&self, client: &Client, request: Request, host: &str, progress: &mut Progress) -> Result<ReceivedResponse, Failure> {
        let scheme = request.url().scheme().to_owned();
        let mut response = client.execute(request).await.map_err(|error| {
            let of_proxy = self.proxy.as_ref().and_then(|proxy| proxy.failure_of(&error, host, &scheme));
            of_proxy.unwrap_or_else(|| failure_of(&error, host, self.connect_timeout))
        })?;
        let status = response.status().as_u16();
        *progress = Progress::Head { status };
        match &self.proxy {
            Some(proxy) => check_answer(proxy, &response, host, &scheme)?,
            None => self.check_peer(&response, host)?,
        }
        let headers = self.read_headers(&response, host)?;
        let (body, truncated) = self.read_body(&mut response).await.map_err(|error| {
            let failure = failure_of(&error, host, self.connect_timeout);
            Failure { detail: format!("status {status} came, but not the whole body: {}", failure.detail), ..failure }
        })?;
        Ok(ReceivedResponse { status, headers, body, truncated })
    }

    fn client_of(&self, outgoing: &Outgoing<'_>, url: &Url) -> Result<Client, Failure> {
        self.clients.of(outgoing.identity, self.guard.own_port(url)).map_err(|error| {
            tracing::error!(%error, "no client for a TLS identity");
            failed(FailureKind::Internal, "the connection could not be set up here")
        })
    }

    /// What the settings of the way out leave no way for.
    fn check_way_out(&self, outgoing: &Outgoing<'_>, url: &Url) -> Result<(), Failure> {
        let names_proxy_credentials =
            |headers: &[(String, String)]| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
        if self.proxy.is_some() && names_proxy_credentials(&outgoing.request.headers) {
            let detail = "the header `proxy-authorization` would go to the operator's egress proxy; remove it";
            return Err(failed(FailureKind::NotRendered, detail));
        }
        let literal_is_ipv4 = match url.host() {
            Some(Host::Ipv4(_)) => Some(true),
            Some(Host::Ipv6(_)) => Some(false),
            Some(Host::Domain(_)) | None => None,
        };
        match (self.local_address, literal_is_ipv4) {
            (Some(local), Some(is_ipv4)) if self.proxy.is_none() && local.is_ipv4() != is_ipv4 => {
                let family = if is_ipv4 { "IPv6" } else { "IPv4" };
                let host = url.host_str().unwrap_or_default();
                Err(failed(FailureKind::Connection, format!("`{host}` cannot be reached: the operator sends from an {family} address")))
            }
            _ => Ok(()),
        }
    }

    /// The address that was connected to was checked before; this notices if the client ever changes that.
    fn check_peer(&self, response: &Response, host: &str) -> Result<(), Failure> {
        match response.remote_addr() {
            Some(peer) if self.guard.check_target(peer.ip(), Some(peer.port())).is_err() => {
                Err(failed(FailureKind::Blocked, format!("the connection to `{host}` led to an address that is not sent to")))
            }
            _ => Ok(()),
        }
    }

    fn read_headers(&self, response: &Response, host: &str) -> Result<Vec<(String, String)>, Failure> {
        let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > self.response_header_bytes_max {
            let limit = self.response_header_bytes_max;
            return Err(failed(
                FailureKind::Protocol,
                format!("the answer of `{host}` has {bytes} bytes of headers; at most {limit} are read"),
            ));
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
    }

    /// Reads up to the limit; the connection of a longer body is dropped with the response.
    async fn read_body(&self, response: &mut Response) -> Result<(Vec<u8>, bool), reqwest::Error> {
        let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(announced.min(self.response_read_max));
        while let Some(chunk) = response.chunk().await? {
            let room = self.response_read_max - body.len();
            if chunk.len() > room {
                body.extend_from_slice(&chunk[..room]);
                return Ok((body, true));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, false))
    }
}

/// Tells an answer of the proxy itself from the receiver's.
fn check_answer(proxy: &ProxyWatch, response: &Response, host: &str, scheme: &str) -> Result<(), Failure> {
    if scheme == "http"
        && let Some(failure) = proxy.answer_of(response.status(), response.headers(), host)
    {
        return Err(failure);
    }
    proxy.worked();
    Ok(())
}

/// How far an exchange came, for the sentence about a time limit.
#[derive(Debug, Clone, Copy)]
enum Progress {
    Nothing,
    Head { status: u16 },
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let Outgoing { request, timeout, .. } = outgoing;
        let prepared = parse_target(&request.url)
            .and_then(|url| self.guard.check_url(&url).map(|()| url))
            .map_err(Failure::from)
            .and_then(|url| self.check_way_out(&outgoing, &url).map(|()| url))
            .and_then(|url| prepare(&outgoing, url))
            .and_then(|prepared| {
                let client = self.client_of(&outgoing, prepared.url())?;
                Ok((prepared, client))
            });
        let (prepared, client) = match prepared {
            Ok(ready) => ready,
            Err(failure) => return Exchange::Failed(failure),
        };
        let host = prepared.url().host_str().unwrap_or_default().to_owned();
        let mut progress = Progress::Nothing;
        // The client's own limits each cover a part; this one covers all, also a body that drips.
        let outcome = tokio::time::timeout(timeout, self.exchange(&client, prepared, &host, &mut progress)).await;
        match outcome {
            Ok(Ok(response)) => Exchange::Answered(response),
            Ok(Err(failure)) => Exchange::Failed(failure),
            Err(_) => Exchange::Failed(out_of_time(&host, timeout, progress)),
        }
    }
}

fn out_of_time(host: &str, timeout: Duration, progress: Progress) -> Failure {
    let ms = timeout.as_millis();
    let detail = match progress {
        Progress::Nothing => format!("`{host}` gave no answer within {ms} ms"),
        Progress::Head { status } => format!("`{host}` answered status {status}, but its body was not complete within {ms} ms"),
    };
    failed(FailureKind::TimedOut, detail)
}

fn prepare(outgoing: &Outgoing<'_>, url: Url) -> Result<Request, Failure> {
    let request = outgoing.request;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| failed(FailureKind::NotRendered, format!("`{}` is no HTTP method", request.method.escape_debug())))?;
    let headers = header_map(outgoing, &url)?;
    let mut prepared = Request::new(method, url);
    *prepared.headers_mut() = headers;
    if !request.body.is_empty() {
        *prepared.body_mut() = Some(request.body.clone().into());
    } else if matches!(*prepared.method(), Method::POST | Method::PUT | Method::PATCH) {
        // RFC 9110, 8.6: said also when there is nothing, or some receivers answer 411.
        prepared.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(prepared)
}

fn header_map(outgoing: &Outgoing<'_>, url: &Url) -> Result<HeaderMap, Failure> {
    let request = outgoing.request;
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 2);
    for (name, recorded) in &request.headers {
        let secret = outgoing.secret_headers.iter().find(|(secret, _)| secret.eq_ignore_ascii_case(name)).map(|(_, value)| value.expose());
        let value = secret.unwrap_or(recorded);
        let refuse = |why: &str| Err(failed(FailureKind::NotRendered, format!("the header `{}` {why}", name.escape_debug())));
        let (Ok(parsed_name), Ok(mut parsed_value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        else {
            return refuse("is no valid header: a name has letters, digits and `-`, a value has no line ends or control characters");
        };
        match parsed_name.as_str() {
            // These two are written by the client; the same value does no harm.
            "host" if is_authority(value, url) => {}
            "content-length" if value.trim() == request.body.len().to_string() => {}
            "host" | "content-length" => return refuse("contradicts the request; remove it, it is written by the sender"),
            // Others of the connection could make a receiver see another request than ours.
            "transfer-encoding" | "connection" | "keep-alive" | "proxy-connection" | "upgrade" | "te" | "trailer" | "expect" => {
                return refuse("belongs to the connection; remove it");
            }
            _ => {
                parsed_value.set_sensitive(secret.is_some());
                headers.append(parsed_name, parsed_value);
            }
        }
    }
    Ok(headers)
}

fn is_authority(value: &str, url: &Url) -> bool {
    value.trim().eq_ignore_ascii_case(&url[url::Position::BeforeHost..url::Position::AfterPort])
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::attempt::SentRequest;
    use crate::request::guard::{GuardSettings, SystemLookup, SystemLookupSettings};

    /// The gates before a connection are open here, as a fault in the client or in them would leave them.
    #[tokio::test]
    async fn d9_an_answer_from_an_address_that_is_not_sent_to_is_not_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside");
            }
        });
        let open = Guard::new(GuardSettings { allow_private: true, ..GuardSettings::default() });
        let lookup = Arc::new(SystemLookup::new(SystemLookupSettings::default(), Arc::new(crate::clock::SystemClock)));
        let mut transport = HttpTransport::new(TransportSettings::new(open, lookup)).unwrap();
        let request = SentRequest { method: "GET".into(), url: format!("http://{address}/"), headers: vec![], body: vec![] };
        let client = transport.clients.of(None, None).unwrap();
        let exchange = |transport: HttpTransport, client: Client| {
            let prepared = prepare(&Outgoing::new(&request, Duration::from_secs(5)), Url::parse(&request.url).unwrap()).unwrap();
            async move { transport.exchange(&client, prepared, "127.0.0.1", &mut Progress::Nothing).await }
        };
        assert_eq!(exchange(transport.clone(), client.clone()).await.unwrap().body, b"inside");
        transport.guard = Guard::new(GuardSettings::default());
        let failure = exchange(transport, client).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked);
        assert_eq!(failure.detail, "the connection to `127.0.0.1` led to an address that is not sent to");
    }
}
