//! What systemd is told, if it started us: ready, stopping, alive, and how it goes.
//!
//! The protocol is lines of `NAME=value` in one datagram to the socket that `NOTIFY_SOCKET` names.
//! Source: `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells systemd. What it cannot be told is not told: nothing here depends on it.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    to: SocketAddr,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The notifier that the variables of this process ask for; none if they do not.
    ///
    /// # Errors
    /// What the operating system said, if the socket they name cannot be used.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> io::Result<Option<Self>> {
        let Some(path) = variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Ok(None) };
        let to = match path.strip_prefix('@') {
            Some(name) => abstract_address(name)?,
            None => SocketAddr::from_pathname(&path)?,
        };
        let socket = UnixDatagram::unbound()?;
        // Whoever does not read holds nothing up.
        socket.set_nonblocking(true)?;
        let is_for_us = variable("WATCHDOG_PID").is_none_or(|id| id.parse() == Ok(std::process::id()));
        let period = variable("WATCHDOG_USEC").and_then(|period| period.parse().ok()).filter(|period| *period > 0);
        Ok(Some(Self { socket, to, watchdog: period.filter(|_| is_for_us).map(Duration::from_micros) }))
    }

    /// Within which time it wants a sign of life; none if it wants none.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The server takes work.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The settings are being read again, since `now` on the system's monotonic clock; [`Self::ready`] tells the end.
    pub fn reloading(&self, now: Duration) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The server takes no work any more and ends what it has.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The server is alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How it goes, in a line for people.
    pub fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn tell(&self, state: &str) {
        if let Err(error) = self.socket.send_to_addr(state.as_bytes(), &self.to) {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::Error::other("there are no abstract sockets on this system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(variables: &[(&str, &str)]) -> io::Result<Option<Notifier>> {
        Notifier::from_variables(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_a_socket_nobody_is_told() {
        assert!(notifier(&[("WATCHDOG_USEC", "1")]).unwrap().is_none());
        assert!(notifier(&[("NOTIFY_SOCKET", "")]).unwrap().is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_of_the_file_system_and_an_abstract_one_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("postrider-test-{}", std::process::id());
        let sockets = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_address(&name).unwrap()).unwrap()),
        ];
        for (address, socket) in sockets {
            let notifier = notifier(&[("NOTIFY_SOCKET", &address)]).unwrap().unwrap();
            notifier.ready();
            notifier.status("2 waiting,\n1 failing");
            notifier.reloading(Duration::from_millis(1_500));
            let mut buffer = [0; 100];
            let mut told = || {
                let length = socket.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            assert_eq!([told(), told(), told()], ["READY=1", "STATUS=2 waiting, 1 failing", "RELOADING=1\nMONOTONIC_USEC=1500000"]);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let own = std::process::id().to_string();
        for (id, period, watchdog) in [
            (own.as_str(), "3000000", Some(Duration::from_secs(3))),
            ("1", "3000000", None),
            (own.as_str(), "0", None),
            (own.as_str(), "soon", None),
        ] {
            let variables = [("NOTIFY_SOCKET", "@postrider-none"), ("WATCHDOG_PID", id), ("WATCHDOG_USEC", period)];
            assert_eq!(notifier(&variables).unwrap().unwrap().watchdog(), watchdog, "{id} {period}");
        }
    }
}
