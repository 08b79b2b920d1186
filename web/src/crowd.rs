//! What one address may hold of the server: so many connections, and all but one of the places of
//! bodies, so that a single host, with the token or without, leaves room for others.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use prometheus::IntCounter;
use socket2::SockRef;
use tokio::sync::Semaphore;

/// The connections of each address. Clones are one.
#[derive(Clone)]
pub(crate) struct Crowd {
    most: usize,
    /// Of all addresses that have any.
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    refused: IntCounter,
}

/// A connection that is counted for as long as this lives.
struct Held {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    pub(crate) fn new(most: usize, refused: IntCounter) -> Self {
        Self {
            most,
            held: Arc::default(),
            refused,
        }
    }

    /// Counts a connection, or closes it. For the HTTP library, which lets it go when it sees the
    /// end.
    pub(crate) fn meet(&self, stream: &dyn Any, data: &mut Extensions) {
        let tls = stream.downcast_ref::<TlsStream<TcpStream>>();
        let tls = tls.map(|stream| stream.get_ref().0);
        let Some(stream) = tls.or_else(|| stream.downcast_ref::<TcpStream>()) else {
            return;
        };
        // Without an address it has gone already.
        let taken = match stream.peer_addr() {
            Ok(address) => self.take(network(address.ip())),
            Err(_) => None,
        };
        match taken {
            Some(held) => drop(data.insert(held)),
            None => {
                self.refused.inc();
                let _ = SockRef::from(stream).shutdown(Shutdown::Both);
            }
        }
    }

    fn take(&self, address: IpAddr) -> Option<Held> {
        let mut held = self.held();
        let count = held.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Held {
            crowd: self.clone(),
            address,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each change of it is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.crowd.held();
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// Whoever has an IPv6 address has a network of 64 bits full of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

/// The shares of addresses in places of which there are few.
pub(crate) struct Shares {
    each: usize,
    of: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Shares {
    /// All but one of `places` for each address.
    pub(crate) fn of(places: usize) -> Self {
        Self {
            each: places.saturating_sub(1).max(1),
            of: Mutex::default(),
        }
    }

    /// What an address has its share of. Kept while someone has it, or waits for it.
    pub(crate) fn share(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let address = network(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.retain(|_, share| Arc::strong_count(share) > 1);
        let share = of.entry(address);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}
