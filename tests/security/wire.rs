//! Bytes as they are, on a connection of their own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything that works takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection gave until it was closed.
pub struct Received {
    pub text: String,
}

impl Received {
    /// The status of the first answer; none if there was none.
    pub fn status(&self) -> Option<u16> {
        self.text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// How many answers there are.
    pub fn answers(&self) -> usize {
        self.text.matches("HTTP/1.1 ").count()
    }
}

/// Reads until the other side closes. Panics if it does not.
pub async fn until_closed(stream: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the connection stayed open after {}", String::from_utf8_lossy(&bytes));
    Received { text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// Sends these bytes and says that no more will come.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Received {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have answered and closed before all of it was written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    until_closed(&mut stream).await
}
