//! The places of a listener's connections: each task holds one, and is told when it gives way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_schema::{Admission, PlaceId, PlaceLimits, PlaceReason, PlaceTable, PlaceUse};

use crate::close_reason::{CloseReason, RefusalReason};

/// Limits of the number of connections of a source, and of their handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections, and the shares of addresses and networks when all are taken.
    pub places: PlaceLimits,
    /// Time from the accept of a connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
}

impl ConnectionLimits {
    /// Limits for a number of connections, with the default shares.
    #[must_use]
    pub const fn with_connections_max(connections_max: usize) -> Self {
        Self {
            places: PlaceLimits::with_default_shares(connections_max),
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Most descriptors of the connections: those with a place, and evicted ones that still end.
    #[must_use]
    pub const fn descriptors_max(&self) -> usize {
        let places_max = self.places.places_max;
        places_max + places_max / 8 + 8
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::with_connections_max(1_024)
    }
}

/// The places of one listener. Clones share them. All connections of a listener run on one thread.
#[derive(Clone)]
pub(crate) struct Places {
    shared: Rc<RefCell<SharedPlaces>>,
    start: Instant,
}

struct SharedPlaces {
    table: PlaceTable,
    /// Tells each connection that it gives way.
    evictions: HashMap<PlaceId, watch::Sender<Option<CloseReason>>>,
}

impl Places {
    pub fn new(limits: PlaceLimits) -> Self {
        let shared = SharedPlaces {
            table: PlaceTable::new(limits),
            evictions: HashMap::new(),
        };
        Self {
            shared: Rc::new(RefCell::new(shared)),
            start: Instant::now(),
        }
    }

    /// Gives a new connection a place, from another connection if needed.
    pub fn enter(&self, address: IpAddr) -> Result<Place, RefusalReason> {
        let mut shared = self.shared.borrow_mut();
        let id = match shared.table.enter(address, self.start.elapsed()) {
            Admission::Free(id) => id,
            Admission::InPlaceOf {
                entered,
                evicted,
                reason,
            } => {
                shared.evict(evicted, reason);
                entered
            }
            Admission::Refused(reason) => return Err(reason.into()),
        };
        let (sender, evicted) = watch::channel(None);
        shared.evictions.insert(id, sender);
        Ok(Place {
            places: self.clone(),
            id,
            evicted,
        })
    }
}

impl SharedPlaces {
    fn evict(&mut self, id: PlaceId, reason: PlaceReason) {
        if let Some(sender) = self.evictions.remove(&id) {
            sender.send_replace(Some(CloseReason::of_eviction(reason)));
        }
    }
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    places: Places,
    id: PlaceId,
    evicted: watch::Receiver<Option<CloseReason>>,
}

impl Place {
    /// Records how the connection is used from now on.
    pub fn touch(&self, used_as: PlaceUse) {
        let now = self.places.start.elapsed();
        let mut shared = self.places.shared.borrow_mut();
        shared.table.touch(self.id, used_as, now);
    }

    /// Waits until the connection has to give way. Cancelling the wait is safe.
    pub async fn evicted(&mut self) -> CloseReason {
        loop {
            if let Some(reason) = *self.evicted.borrow_and_update() {
                return reason;
            }
            if self.evicted.changed().await.is_err() {
                // Does not happen: an eviction sends before it drops the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shared = self.places.shared.borrow_mut();
        shared.table.leave(self.id);
        shared.evictions.remove(&self.id);
    }
}
