//! Connects to consumers: looks up the name, checks the addresses, and connects to one of them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::{Host, Url};

use crate::failure::{DeliveryError, FailureReason};
use crate::transport::guard::AddressScope;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Name lookups of one sink, one at a time.
///
/// A lookup without an answer blocks its thread for as long as the system waits, even if the
/// delivery has timed out. The limit keeps one sink from taking the threads of the others.
#[derive(Clone, Debug)]
pub(crate) struct NameLookups(Arc<Semaphore>);

impl Default for NameLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl NameLookups {
    async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(std::io::Error::other)?;
        let name = name.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        });
        lookup.await.map_err(std::io::Error::other)?
    }
}

/// Connects to the first permitted address of the host that answers.
///
/// Each address gets an equal share of `limit`, so one that is silent does not use up all of it.
pub(crate) async fn connect(
    url: &Url,
    scope: AddressScope,
    lookups: &NameLookups,
    limit: Duration,
) -> Result<TcpStream, DeliveryError> {
    let mut addresses = addresses(url, scope, lookups).await?;
    addresses.truncate(ADDRESSES_MAX);
    let share = limit / (addresses.len() as u32 + 1);
    let mut last = DeliveryError::new(FailureReason::Address, "it has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true); // Only speed depends on it.
                return Ok(stream);
            }
            Ok(Err(error)) => last = DeliveryError::new(FailureReason::Connect, error),
            Err(_) => last = DeliveryError::new(FailureReason::Timeout, "no connection in time"),
        }
    }
    Err(last)
}

/// Looks up the addresses of a URL's host that the sink may connect to.
pub(crate) async fn addresses(
    url: &Url,
    scope: AddressScope,
    lookups: &NameLookups,
) -> Result<Vec<SocketAddr>, DeliveryError> {
    let failed =
        |detail: &dyn std::fmt::Display| DeliveryError::new(FailureReason::Address, detail);
    let port = url.port_or_known_default();
    let port = port.ok_or_else(|| failed(&"the URL names no port"))?;
    let found: Vec<_> = match url.host() {
        Some(Host::Ipv4(v4)) => vec![(v4, port).into()],
        Some(Host::Ipv6(v6)) => vec![(v6, port).into()],
        Some(Host::Domain(name)) => {
            let found = lookups.look_up(name, port).await;
            found.map_err(|error| failed(&error))?
        }
        None => Vec::new(),
    };
    let permitted = scope.permitted(found.into_iter());
    if permitted.is_empty() {
        return Err(failed(
            &"no address that may be connected to; see `allow_private`",
        ));
    }
    Ok(permitted)
}
