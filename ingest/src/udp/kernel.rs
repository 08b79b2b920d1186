//! What the kernel has dropped of a UDP socket's datagrams, as `/proc` tells it.
//!
//! The kernel counts at the socket: what found no room in its receive buffer, or had a wrong
//! checksum. What network card or host dropped before is in no socket's count.

use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};

use prometheus::IntCounter;

/// The tables of the sockets in our network namespace.
const TABLES: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// Columns of such a table.
const INODE: usize = 9;
const DROPS: usize = 12;

/// The drops of one socket.
pub(super) struct KernelDrops {
    inode: String,
    table: &'static str,
    /// As the kernel counts, which begins anew after the greatest number.
    last_drops: Mutex<u32>,
    counter: IntCounter,
}

impl KernelDrops {
    /// `None` where the kernel does not tell: elsewhere than on Linux, or without `/proc`.
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

    /// Counts what was dropped since the last look.
    pub fn poll(&self) {
        // Held while the table is read: an older number must not come after a newer one.
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

/// The drops of the socket with this inode, in the text of a table.
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
    fn drops_are_found_by_inode() {
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
