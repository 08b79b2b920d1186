//! Notifies systemd of the server's state: `sd_notify` over the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use weir_schema::Epoch;
use weir_web::ports::Health;

use crate::server::health::ServerHealth;

/// Sends notifications to the service manager, if there is one.
#[derive(Clone)]
pub struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    /// The manager kills a server that sends nothing for so long.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The notifier for the environment. A manager that cannot be reached is logged once.
    #[must_use]
    pub fn from_environment() -> Self {
        let none = Self {
            socket: None,
            watchdog: None,
        };
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return none;
        };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            // A manager that does not read must not block the server.
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => Self {
                socket: Some(Arc::new(socket)),
                watchdog: watchdog(),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot reach the service manager");
                none
            }
        }
    }

    /// Notifies that the listeners are open.
    pub fn ready(&self) {
        self.send("READY=1\nSTATUS=listening");
    }

    /// Asks for two more minutes before the manager gives up the start.
    pub fn extend_start(&self, doing: &str) {
        self.send(&format!("EXTEND_TIMEOUT_USEC=120000000\nSTATUS={doing}"));
    }

    /// Notifies that the server is stopping.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=journaling and applying accepted events");
    }

    /// Notifies twice per watchdog interval while the server is live, and only then.
    ///
    /// A server that is not live sends no sign of life, so the manager restarts it if it does not
    /// end by itself. The thread is its own: nothing that hangs holds it up, nor does it hide that.
    pub fn watch(&self, health: ServerHealth) {
        let Some(limit) = self.watchdog else {
            return;
        };
        let notifier = self.clone();
        let watch = move || {
            while !health.status.is_stopping() {
                notifier.send(&sign_of_life(health.live(), health.status.epoch()));
                std::thread::sleep(limit / 2);
            }
        };
        let thread = std::thread::Builder::new().name("weir-notify".to_owned());
        if let Err(error) = thread.spawn(watch) {
            tracing::warn!(%error, "the service manager gets no signs of life");
        }
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!(%error, "the service manager did not accept a message");
        }
    }
}

/// The message about a server that is live or not.
fn sign_of_life(live: Result<(), String>, applied: Epoch) -> String {
    match live {
        Ok(()) => format!("WATCHDOG=1\nSTATUS=applied epoch {}", applied.0),
        Err(reason) => format!("STATUS=not live: {}", reason.replace('\n', " ")),
    }
}

/// The watchdog interval of the manager, if it is meant for this process.
fn watchdog() -> Option<Duration> {
    let meant = std::env::var("WATCHDOG_PID").ok();
    if meant.is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let micros = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    // Half of it is at least a millisecond.
    Some(Duration::from_micros(micros).max(Duration::from_millis(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W15: a server that is not live gives the service manager no sign of life.
    #[test]
    fn only_a_live_server_gives_signs_of_life() {
        let live = sign_of_life(Ok(()), Epoch(7));
        assert_eq!(live, "WATCHDOG=1\nSTATUS=applied epoch 7");
        let reason = "the graph stalls\nWATCHDOG=1".to_owned();
        let message = sign_of_life(Err(reason), Epoch(7));
        assert!(
            !message.lines().any(|line| line == "WATCHDOG=1"),
            "{message}"
        );
    }
}
