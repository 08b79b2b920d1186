//! Connections to consumers: to an address that was looked up and checked, and to no other.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::{Host, Url};

use crate::fault::{Fault, Reason};
use crate::guard::Reach;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The lookups of one sink, one at a time. One that gets no answer holds its thread for as long as
/// the system waits, whoever still wants it: so much a sink may cost the others, and no more.
#[derive(Clone, Debug)]
pub(crate) struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Lookups {
    async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(std::io::Error::other)?;
        let name = name.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        });
        looking.await.map_err(std::io::Error::other)?
    }
}

/// Connects to the first address of the host that answers, of those that may be connected to. Each
/// may take its share of `limit`, so that one that is silent does not stand for all.
pub(crate) async fn connect(
    url: &Url,
    reach: Reach,
    lookups: &Lookups,
    limit: Duration,
) -> Result<TcpStream, Fault> {
    let mut addresses = addresses(url, reach, lookups).await?;
    addresses.truncate(ADDRESSES_MAX);
    let share = limit / (addresses.len() as u32 + 1);
    let mut last = Fault::new(Reason::Address, "it has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true); // A matter of speed alone.
                return Ok(stream);
            }
            Ok(Err(error)) => last = Fault::new(Reason::Connect, error),
            Err(_) => last = Fault::new(Reason::Timeout, "no connection in time"),
        }
    }
    Err(last)
}

/// The addresses of a URL's host that may be connected to.
pub(crate) async fn addresses(
    url: &Url,
    reach: Reach,
    lookups: &Lookups,
) -> Result<Vec<SocketAddr>, Fault> {
    let fault = |told: &dyn std::fmt::Display| Fault::new(Reason::Address, told);
    let port = url.port_or_known_default();
    let port = port.ok_or_else(|| fault(&"the URL names no port"))?;
    let found: Vec<_> = match url.host() {
        Some(Host::Ipv4(v4)) => vec![(v4, port).into()],
        Some(Host::Ipv6(v6)) => vec![(v6, port).into()],
        Some(Host::Domain(name)) => {
            let found = lookups.look_up(name, port).await;
            found.map_err(|error| fault(&error))?
        }
        None => Vec::new(),
    };
    let allowed = reach.allowed(found.into_iter());
    if allowed.is_empty() {
        return Err(fault(
            &"no address that may be connected to; see `allow_private`",
        ));
    }
    Ok(allowed)
}
