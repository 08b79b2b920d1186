//! Message formats: the bytes that consumers receive.

use chrono::{DateTime, SecondsFormat};
use weir_schema::Cause;

pub mod ocsf;

pub(crate) mod body_limit;

pub(crate) mod cef;

pub(crate) mod alertmanager;

pub(crate) mod webhook;

/// Formats nanoseconds since 1970 as `2026-08-01T12:00:00.000000Z`; syslog takes no finer times.
pub(crate) fn rfc3339(time_ns: i64) -> String {
    DateTime::from_timestamp_nanos(time_ns).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Says for people why an alert changed.
pub(crate) fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Event(item) => format!("an event: {}", item.event),
        Cause::LateEvent(item) => format!("an event that came in late: {}", item.event),
        Cause::Watermark(_) => "all was heard up to then".to_owned(),
        Cause::Rule(version) => format!("its rule became version {version}"),
        Cause::RuleRemoved => "its rule was removed".to_owned(),
        Cause::Clock(_) => "time went on, and something did not come".to_owned(),
        Cause::Condition(_) => "the condition of Weir began, changed or ended".to_owned(),
        Cause::ClockRepair => "the server's clock had been wrong, and was repaired".to_owned(),
        Cause::Upgrade => "a new version of Weir reads earlier events otherwise".to_owned(),
    }
}

/// The start of a text, at most `bytes_max` bytes, cut between characters.
pub(crate) fn truncated(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
