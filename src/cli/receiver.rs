//! The receiver of the demo: takes any request, keeps it, answers `OK`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::terminal;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub method: String,
    pub target: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Starts a receiver on a free port of this machine. Dropping the channel does not stop it.
pub(super) async fn start() -> std::io::Result<(SocketAddr, UnboundedReceiver<Arrived>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (sender, arrived) = unbounded_channel();
    let router = Router::new().fallback(take).with_state(Arc::new(Mutex::new(sender)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, arrived))
}

async fn take(
    State(sender): State<Arc<Mutex<UnboundedSender<Arrived>>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> &'static str {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let arrived = Arrived { method: method.to_string(), target: uri.to_string(), content_type, body: body.to_vec() };
    // Nobody listens any more when the demo ends; the answer is the same.
    let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(arrived);
    "OK"
}

/// A body as text that cannot steer a terminal.
pub(super) fn printable(body: &[u8]) -> String {
    terminal::lines(&String::from_utf8_lossy(body))
}
