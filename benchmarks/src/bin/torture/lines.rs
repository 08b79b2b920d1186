//! Lines of an attack, and lines that are counted in the journal.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// The built-in rule that ten refused passwords of one address raise.
pub const GUESSING: &str = "bb590f8f-cd26-55c2-89eb-25e60f310615";
/// The built-in rule that one line of `usermod` raises.
pub const SERVICE_SHELL: &str = "17864283-22ea-50a1-a6ec-d43290774b0e";

/// This moment, shifted.
#[must_use]
pub fn time(shift: TimeDelta) -> String {
    let at: DateTime<Utc> = Utc::now() + shift;
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Ten refused passwords of an address.
#[must_use]
pub fn guessing(address: &str, time: &str) -> String {
    refused(address, time, 10)
}

/// Refused passwords of an address; ten raise an alert.
#[must_use]
pub fn refused(address: &str, time: &str, lines: usize) -> String {
    let mut text = String::new();
    for port in 1..=lines {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<38>1 {time} gate sshd 1 - - Failed password for root from {address} port {port} ssh2"
        );
    }
    text
}

/// One line that raises an alert by itself, about `host`.
#[must_use]
pub fn service_shell(host: &str, time: &str) -> String {
    format!(
        "<38>1 {time} {host} usermod 7 - - change user 'www-data' shell from '/usr/sbin/nologin' \
         to '/bin/bash'\n"
    )
}

/// Lines that raise nothing, each with a number of its own.
#[must_use]
pub fn counted(from: u64, lines: u64) -> String {
    let time = time(TimeDelta::zero());
    (from..from + lines).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "<14>1 {time} counter app 1 - - counted={number};");
        text
    })
}

/// The number of a counted line.
#[must_use]
pub fn number(frame: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(frame).ok()?;
    let (_, rest) = text.split_once("counted=")?;
    rest.split_once(';')?.0.parse().ok()
}
