//! Limits HTTP connections: when all are taken, an idle one gives way, or the new one is refused.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use prometheus::IntCounterVec;
use socket2::{SockRef, Socket};
use weir_schema::{Admission, PlaceId, PlaceLimits, PlaceReason, PlaceTable, PlaceUse};

use crate::metrics::{EVICTION_NAMES, REFUSAL_NAMES};

/// Silence after a request with the token after which a connection may give way. HTTP clients repeat a
/// request whose idle connection was closed.
const YIELD_AFTER: Duration = Duration::from_secs(1);

/// Shortest time between two log lines about refused connections.
const WARN_PERIOD: Duration = Duration::from_secs(10);

/// The connections of one HTTP listener. Clones share them.
#[derive(Clone)]
pub(super) struct ConnectionLimiter {
    shared: Arc<Mutex<OpenConnections>>,
    start: Instant,
    refused: IntCounterVec,
    closed: IntCounterVec,
}

struct OpenConnections {
    table: PlaceTable,
    /// A handle of each connection, which ends it when it has to give way.
    sockets: HashMap<PlaceId, Socket>,
    last_warning: Option<Instant>,
}

/// A connection, counted until this is dropped.
pub(super) struct CountedConnection {
    limiter: ConnectionLimiter,
    id: PlaceId,
}

impl ConnectionLimiter {
    pub(super) fn new(limits: PlaceLimits, refused: IntCounterVec, closed: IntCounterVec) -> Self {
        let limits = PlaceLimits {
            yield_after: YIELD_AFTER,
            ..limits
        };
        let shared = OpenConnections {
            table: PlaceTable::new(limits),
            sockets: HashMap::new(),
            last_warning: None,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            start: Instant::now(),
            refused,
            closed,
        }
    }

    /// Counts a new connection. It is closed if no other one gives way to it.
    ///
    /// The HTTP library calls it. It keeps the count in `data` as long as the connection is open,
    /// and drops a closed connection when it reads the end.
    pub(super) fn accept(&self, stream: &dyn Any, data: &mut Extensions) {
        let tls = stream.downcast_ref::<TlsStream<TcpStream>>();
        let tls = tls.map(|stream| stream.get_ref().0);
        let Some(stream) = tls.or_else(|| stream.downcast_ref::<TcpStream>()) else {
            return;
        };
        let socket = SockRef::from(stream);
        // A connection without an address is already closed; one without a second handle could not
        // give way.
        let counted = match (stream.peer_addr(), socket.try_clone()) {
            (Ok(address), Ok(handle)) => self.count(address.ip(), handle),
            (Err(_), _) | (_, Err(_)) => None,
        };
        match counted {
            Some(counted) => drop(data.insert(counted)),
            None => drop(socket.shutdown(Shutdown::Both)),
        }
    }

    fn count(&self, address: IpAddr, handle: Socket) -> Option<CountedConnection> {
        let now = self.start.elapsed();
        let mut open = self.open();
        let id = match open.table.enter(address, now) {
            Admission::Free(id) => id,
            Admission::InPlaceOf {
                entered,
                evicted,
                reason,
            } => {
                if let Some(socket) = open.sockets.remove(&evicted) {
                    // An error means that the peer has closed it already.
                    let _ = socket.shutdown(Shutdown::Both);
                }
                let reason = eviction_name(reason);
                self.closed.with_label_values(&[reason]).inc();
                entered
            }
            Admission::Refused(reason) => {
                self.refuse(&mut open, address, reason);
                return None;
            }
        };
        open.sockets.insert(id, handle);
        Some(CountedConnection {
            limiter: self.clone(),
            id,
        })
    }

    fn refuse(&self, open: &mut OpenConnections, address: IpAddr, reason: PlaceReason) {
        let reason = refusal_name(reason);
        self.refused.with_label_values(&[reason]).inc();
        let now = Instant::now();
        if open
            .last_warning
            .is_some_and(|last| now < last + WARN_PERIOD)
        {
            return;
        }
        open.last_warning = Some(now);
        tracing::warn!(
            %address, reason,
            "refused an HTTP connection: all are taken and in use; raise `connections.http_max`, or \
             look at who holds them; further refusals within ten seconds are only counted"
        );
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        // A panic leaves the table consistent: each change is a single step.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal_name(reason: PlaceReason) -> &'static str {
    match reason {
        PlaceReason::Full | PlaceReason::Idle => REFUSAL_NAMES[0],
        PlaceReason::PeerShare => REFUSAL_NAMES[1],
        PlaceReason::NetworkShare => REFUSAL_NAMES[2],
    }
}

fn eviction_name(reason: PlaceReason) -> &'static str {
    match reason {
        PlaceReason::Full | PlaceReason::Idle => EVICTION_NAMES[0],
        PlaceReason::PeerShare | PlaceReason::NetworkShare => EVICTION_NAMES[1],
    }
}

impl CountedConnection {
    /// Records that a request is being answered; it ends when the result is dropped.
    pub(super) fn begin_request(&self, has_token: bool) -> RequestInProgress {
        self.limiter.touch(self.id, PlaceUse::Held);
        RequestInProgress {
            limiter: self.limiter.clone(),
            id: self.id,
            after: match has_token {
                true => PlaceUse::Open,
                // Anyone can ask for `/healthz`: it proves nothing.
                false => PlaceUse::Unproven,
            },
        }
    }
}

impl ConnectionLimiter {
    fn touch(&self, id: PlaceId, used_as: PlaceUse) {
        let now = self.start.elapsed();
        self.open().table.touch(id, used_as, now);
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut open = self.limiter.open();
        open.table.leave(self.id);
        open.sockets.remove(&self.id);
    }
}

/// A request of a counted connection, until its answer is sent.
pub(super) struct RequestInProgress {
    limiter: ConnectionLimiter,
    id: PlaceId,
    after: PlaceUse,
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.limiter.touch(self.id, self.after);
    }
}
