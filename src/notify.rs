//! Tells systemd how the server is: `sd_notify` over the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;

/// A service manager that listens; without one, nothing is said.
#[derive(Clone)]
pub struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    /// The manager kills a server that says nothing for so long.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says. Whoever cannot be reached is told of in the log, once.
    #[must_use]
    pub fn from_environment() -> Self {
        let nobody = Self {
            socket: None,
            watchdog: None,
        };
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return nobody;
        };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            // A manager that does not read holds nobody up.
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
                nobody
            }
        }
    }

    /// The doors are open.
    pub fn ready(&self) {
        self.say("READY=1\nSTATUS=listening");
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=journaling and judging what was accepted");
    }

    /// Says twice within the manager's patience that the graph runs, and how far it is; of a graph
    /// that has stopped nothing is said, so that the server is started anew.
    pub fn watch(&self, status: Arc<Status>) {
        let Some(patience) = self.watchdog else {
            return;
        };
        let notifier = self.clone();
        actix_rt::spawn(async move {
            let mut beats = actix_rt::time::interval(patience / 2);
            loop {
                beats.tick().await;
                if status.failed() {
                    return notifier.say("STATUS=the graph has stopped; see the log");
                }
                let epoch = status.epoch().0;
                notifier.say(&format!("WATCHDOG=1\nSTATUS=judged up to epoch {epoch}"));
            }
        });
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!(%error, "the service manager did not take a message");
        }
    }
}

/// The manager's patience, where it is meant for this process.
fn watchdog() -> Option<Duration> {
    let meant = std::env::var("WATCHDOG_PID").ok();
    if meant.is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let micros = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    // Twice within it, and no more than a thousand times a second.
    Some(Duration::from_micros(micros).max(Duration::from_millis(2)))
}
