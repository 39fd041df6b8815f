//! A yardstick: the least that can be called a durable dispatcher. No features at all.
//!
//! A call is answered after its body is in a log file and that file is synced; one sync serves all that
//! waits. Then the body is posted to the receiver, and that is noted in the same log. There is no
//! retry, no limit, no key, no template and no way to read the log again.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use anyhow::Context;
use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc::UnboundedReceiver, mpsc::UnboundedSender, mpsc::unbounded_channel, oneshot};

use super::calls;
use super::load::{Caller, Target};
use super::process::parent_left;

/// Requests in flight.
const SENDERS: usize = 64;
/// Most records that are written together.
const RECORDS_MAX: usize = 1_024;

/// What is written to the log.
enum Record {
    Accepted { body: Bytes, answer: oneshot::Sender<()> },
    Sent { number: u64 },
}

/// Serves on a free port of this machine, sending to `receiver`, until the parent stops it.
pub(super) async fn serve(log: &Path, receiver: SocketAddr) -> anyhow::Result<()> {
    let file = File::options().create_new(true).append(true).open(log).with_context(|| format!("`{}` cannot be created", log.display()))?;
    let (records, waiting) = mpsc::channel();
    let target = Target { address: receiver, path: "/".into(), key: None };
    let mut senders = Vec::with_capacity(SENDERS);
    for _ in 0..SENDERS {
        let (sender, work) = unbounded_channel();
        tokio::spawn(send(Caller::connect(&target).await?, work, records.clone()));
        senders.push(sender);
    }
    std::thread::spawn(move || write(file, &waiting, &senders));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({"address": listener.local_addr()?}));
    tokio::select! {
        () = parent_left() => Ok(()),
        ended = calls::serve(listener, move |body| accept(body, records.clone())) => ended,
    }
}

async fn accept(body: Bytes, records: mpsc::Sender<Record>) -> bool {
    let (answer, answered) = oneshot::channel();
    records.send(Record::Accepted { body, answer }).is_ok() && answered.await.is_ok()
}

/// The writer's thread: write what waits, sync if a caller waits for it, answer, hand out.
fn write(mut file: File, waiting: &mpsc::Receiver<Record>, senders: &[UnboundedSender<(u64, Bytes)>]) {
    let mut number = 0;
    while let Ok(first) = waiting.recv() {
        let (mut text, mut accepted) = (Vec::new(), Vec::new());
        for record in std::iter::once(first).chain(waiting.try_iter().take(RECORDS_MAX)) {
            match record {
                Record::Accepted { body, answer } => {
                    number += 1;
                    put(&mut text, number, &body);
                    accepted.push((number, body, answer));
                }
                Record::Sent { number } => put(&mut text, number, b""),
            }
        }
        let synced = file.write_all(&text).and_then(|()| if accepted.is_empty() { Ok(()) } else { file.sync_data() });
        if synced.is_err() {
            // Unanswered callers get a 500, and the benchmark ends.
            return;
        }
        for (number, body, answer) in accepted {
            // A caller or a sender that is gone fails the benchmark elsewhere.
            let _ = answer.send(());
            let _ = senders[number as usize % senders.len()].send((number, body));
        }
    }
}

fn put(text: &mut Vec<u8>, number: u64, body: &[u8]) {
    text.extend_from_slice(&number.to_le_bytes());
    text.extend_from_slice(&(body.len() as u64).to_le_bytes());
    text.extend_from_slice(body);
}

async fn send(mut caller: Caller, mut work: UnboundedReceiver<(u64, Bytes)>, records: mpsc::Sender<Record>) {
    while let Some((number, body)) = work.recv().await {
        if caller.post(body).await.is_err() || records.send(Record::Sent { number }).is_err() {
            return;
        }
    }
}
