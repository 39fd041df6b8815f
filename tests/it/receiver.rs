//! A receiver that keeps what arrives and answers 200 `OK`, unless it is told otherwise.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
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
    /// What the next requests are answered with.
    next: Arc<Mutex<VecDeque<u16>>>,
    hangs: tokio::sync::watch::Sender<bool>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            notify: Arc::default(),
            next: Arc::default(),
            hangs: tokio::sync::watch::Sender::new(false),
        };
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
                taking.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
                let status = taking.next.lock().unwrap().pop_front().unwrap_or(200);
                (StatusCode::from_u16(status).unwrap(), "OK")
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        receiver
    }

    /// Answers the next requests with these statuses.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.next.lock().unwrap().extend(statuses);
    }

    /// Answers nothing until [`Self::answer`].
    pub fn hang(&self) {
        self.hangs.send_replace(true);
    }

    /// Answers what arrives, and what waits.
    pub fn answer(&self) {
        self.hangs.send_replace(false);
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
