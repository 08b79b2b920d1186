//! Notifies systemd of the server's state: `sd_notify` over the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;

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

    /// Notifies that the server is stopping.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=journaling and applying accepted events");
    }

    /// Notifies twice per watchdog interval that the graph runs. After the graph has failed it
    /// sends no more, so that the manager restarts the server.
    pub fn watch(&self, status: Arc<Status>) {
        let Some(limit) = self.watchdog else {
            return;
        };
        let notifier = self.clone();
        actix_rt::spawn(async move {
            let mut beats = actix_rt::time::interval(limit / 2);
            loop {
                beats.tick().await;
                if status.failed() {
                    return notifier.send("STATUS=the graph has stopped; see the log");
                }
                let epoch = status.epoch().0;
                notifier.send(&format!("WATCHDOG=1\nSTATUS=applied epoch {epoch}"));
            }
        });
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!(%error, "the service manager did not accept a message");
        }
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
