//! Reads the datagrams that the kernel dropped, to check the reports of the engines.

use std::fs;

use anyhow::{Context, Result};

/// Datagrams dropped at the UDP sockets that are bound to a port.
pub fn dropped_at(port: u16) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/udp").context("could not read the sockets")?;
    let suffix = format!(":{port:04X}");
    let rows = text.lines().skip(1).map(|row| row.split_ascii_whitespace());
    let dropped = rows.filter_map(|mut columns| {
        columns.nth(1)?.ends_with(&suffix).then_some(())?;
        columns.last()?.parse::<u64>().ok()
    });
    Ok(dropped.sum())
}

/// Packets of any kind that the machine has dropped before a socket, since it started.
pub fn dropped_before_sockets() -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let dropped = text.lines().filter_map(|row| {
        let column = row.split_ascii_whitespace().nth(1)?;
        u64::from_str_radix(column, 16).ok()
    });
    dropped.sum()
}
