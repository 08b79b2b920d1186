//! Reads from `/proc` how many datagrams the kernel dropped at a UDP socket.
//!
//! The kernel counts, per socket, datagrams that did not fit the receive buffer or had a wrong checksum.
//! Datagrams that the network card or the host dropped earlier are not included.

use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};

use prometheus::IntCounter;

/// The tables of the UDP sockets in the network namespace of this process.
const TABLES: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// Columns of these tables.
const INODE: usize = 9;
const DROPS: usize = 12;

/// The drop counter of one socket.
pub(super) struct KernelDrops {
    inode: String,
    table: &'static str,
    /// The last value read; the kernel's counter wraps around.
    last_drops: Mutex<u32>,
    counter: IntCounter,
}

impl KernelDrops {
    /// Finds the counter of `socket`; `None` on systems other than Linux, or without `/proc`.
    pub fn for_socket(socket: &UdpSocket, counter: IntCounter) -> Option<Self> {
        let inode = inode(socket)?;
        let find = |table: &&str| drops(&std::fs::read_to_string(table).ok()?, &inode);
        let table = TABLES.into_iter().find(|table| find(table).is_some())?;
        Some(Self {
            inode,
            table,
            last_drops: Mutex::new(0),
            counter,
        })
    }

    /// Adds the drops since the last call to the metric.
    pub fn poll(&self) {
        // The lock is held during the read: an older value must not follow a newer one.
        let mut last_drops = self
            .last_drops
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Ok(text) = std::fs::read_to_string(self.table) else {
            return;
        };
        let Some(now) = drops(&text, &self.inode) else {
            return; // The socket is closed.
        };
        self.counter
            .inc_by(u64::from(now.wrapping_sub(*last_drops)));
        *last_drops = now;
    }
}

#[cfg(unix)]
fn inode(socket: &UdpSocket) -> Option<String> {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    Some(inode.to_owned())
}

#[cfg(not(unix))]
fn inode(_: &UdpSocket) -> Option<String> {
    None
}

/// The drop counter of the socket with this inode, from the text of a table.
fn drops(table: &str, inode: &str) -> Option<u32> {
    let mut rows = table.lines().skip(1);
    rows.find_map(|row| {
        let mut columns = row.split_ascii_whitespace().skip(INODE);
        (columns.next()? == inode).then_some(())?;
        columns.nth(DROPS - INODE - 1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_drops_by_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                     uid  timeout inode ref pointer drops\n\
                     109: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     \
                     0        0 2211 2 0000000000000000 4294967290\n\
                     110: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     \
                     0        0 22 2 0000000000000000 0\n cut";
        for (inode, expected) in [
            ("2211", Some(4_294_967_290)),
            ("22", Some(0)),
            ("221", None),
            ("", None),
        ] {
            assert_eq!(drops(table, inode), expected, "{inode}");
        }
    }
}
