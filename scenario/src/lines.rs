//! Formats log lines as real daemons write them.

use chrono::{DateTime, Utc};
use weir_schema::EventTime;

/// User agents of ordinary web clients.
pub(crate) const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    "kube-probe/1.33",
];

fn utc(time: EventTime) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(time.0)
}

/// Formats a time as in RFC 3164, `Nov  2 07:05:09`: UTC in whole seconds, without year and zone.
#[must_use]
pub fn bsd_time(time: EventTime) -> String {
    utc(time).format("%b %e %H:%M:%S").to_string()
}

/// Formats a time as in RFC 3339, with nine digits of the second.
#[must_use]
pub fn nano_time(time: EventTime) -> String {
    utc(time).format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

/// Formats a line of RFC 3164. `tag` is the program, with an optional `[pid]`.
#[must_use]
pub fn rfc3164(priority: u8, time: EventTime, host: &str, tag: &str, text: &str) -> Vec<u8> {
    format!("<{priority}>{} {host} {tag}: {text}", bsd_time(time)).into_bytes()
}

/// Formats a line of RFC 5424, in microseconds. `data` is the structured data, or `-`.
#[must_use]
pub fn rfc5424(
    priority: u8,
    time: EventTime,
    host: &str,
    program: &str,
    process: u32,
    data: &str,
    text: &str,
) -> Vec<u8> {
    let time = utc(time).format("%Y-%m-%dT%H:%M:%S%.6fZ");
    format!("<{priority}>1 {time} {host} {program} {process} - {data} {text}").into_bytes()
}

/// One request in the combined format that Apache and nginx share.
#[derive(Clone, Copy, Debug)]
pub struct WebRequest<'a> {
    pub client: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub status: u16,
    pub bytes: u32,
    pub agent: &'a str,
}

/// Formats an access log line in the combined format.
#[must_use]
pub fn access(time: EventTime, request: &WebRequest<'_>) -> String {
    let WebRequest {
        client,
        method,
        target,
        status,
        bytes,
        agent,
    } = request;
    let time = utc(time).format("%d/%b/%Y:%H:%M:%S +0000");
    format!(
        "{client} - - [{time}] \"{method} {target} HTTP/1.1\" {status} {bytes} \"-\" \"{agent}\""
    )
}

/// One packet that the firewall logs.
#[derive(Clone, Copy, Debug)]
pub struct FirewallPacket<'a> {
    pub incoming: bool,
    pub source: &'a str,
    pub destination: &'a str,
    pub source_port: u16,
    pub destination_port: u16,
    pub id: u16,
}

/// Formats the kernel log line of a packet. `verdict` is the prefix that the firewall rule sets.
#[must_use]
pub fn firewall(uptime: u64, verdict: &str, packet: &FirewallPacket<'_>) -> String {
    let (interfaces, ttl) = if packet.incoming {
        (
            "IN=eth0 OUT= MAC=52:54:00:1d:0a:02:52:54:00:7e:11:c4:08:00",
            51,
        )
    } else {
        ("IN= OUT=eth0", 64)
    };
    format!(
        "[{}.{:06}] [{verdict}] {interfaces} SRC={} DST={} LEN=60 TOS=0x00 PREC=0x00 TTL={ttl} ID={} DF \
         PROTO=TCP SPT={} DPT={} WINDOW=64240 RES=0x00 SYN URGP=0",
        uptime / 1_000_000,
        uptime % 1_000_000,
        packet.source,
        packet.destination,
        packet.id,
        packet.source_port,
        packet.destination_port,
    )
}
