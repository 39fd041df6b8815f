//! A receiver that keeps what arrives and answers 200 `OK`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct Arrived {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    notify: Arc<tokio::sync::Notify>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), arrived: Arc::default(), notify: Arc::default() };
        let taking = receiver.clone();
        let take = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let taking = taking.clone();
            async move {
                taking.arrived.lock().unwrap().push(Arrived {
                    method: method.to_string(),
                    target: uri.to_string(),
                    headers,
                    body: body.to_vec(),
                });
                taking.notify.notify_waiters();
                "OK"
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        receiver
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until `count` requests arrived; panics after a minute.
    pub async fn wait_for(&self, count: usize) -> Vec<Arrived> {
        let waiting = async {
            loop {
                let notified = self.notify.notified();
                if self.arrived().len() >= count {
                    return self.arrived();
                }
                notified.await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await {
            Ok(arrived) => arrived,
            Err(_) => panic!("only {} of {count} requests arrived", self.arrived().len()),
        }
    }
}
