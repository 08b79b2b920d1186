//! Limits the connections of each address, so that one host leaves room for others.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use prometheus::IntCounter;
use socket2::SockRef;

use crate::address::limit_key;

/// Counts the connections of each address. Clones share their counts.
#[derive(Clone)]
pub(super) struct ConnectionLimiter {
    per_address_max: usize,
    /// Addresses with at least one connection.
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    refused: IntCounter,
}

/// A connection, counted until this is dropped.
struct CountedConnection {
    limiter: ConnectionLimiter,
    address: IpAddr,
}

impl ConnectionLimiter {
    pub(super) fn new(per_address_max: usize, refused: IntCounter) -> Self {
        Self {
            per_address_max,
            counts: Arc::default(),
            refused,
        }
    }

    /// Counts a new connection, or closes it at the limit.
    ///
    /// The HTTP library calls it. It keeps the count in `data` as long as the connection is open,
    /// and drops a closed connection when it reads the end.
    pub(super) fn accept(&self, stream: &dyn Any, data: &mut Extensions) {
        let tls = stream.downcast_ref::<TlsStream<TcpStream>>();
        let tls = tls.map(|stream| stream.get_ref().0);
        let Some(stream) = tls.or_else(|| stream.downcast_ref::<TcpStream>()) else {
            return;
        };
        // A connection without an address is already closed.
        let counted = match stream.peer_addr() {
            Ok(address) => self.count(limit_key(address.ip())),
            Err(_) => None,
        };
        match counted {
            Some(counted) => drop(data.insert(counted)),
            None => {
                self.refused.inc();
                let _ = SockRef::from(stream).shutdown(Shutdown::Both);
            }
        }
    }

    fn count(&self, address: IpAddr) -> Option<CountedConnection> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(CountedConnection {
            limiter: self.clone(),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A panic leaves the counts consistent: each change is a single step.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
