//! Entries of systemd's journal in JSON, as `journalctl -o json` writes them: adds the host, facility
//! and severity of the equivalent syslog line. The program's message is read as any carried line.

use std::borrow::Cow;

use syslog_loose::decompose_pri;
use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};
use crate::time::{self, Timestamp, Zone};

/// Reads the fields as a journal entry if they are one. Returns the time at which the message was
/// sent if the journal knows it, else the time at which it was written to the journal.
pub(crate) fn recognize(draft: &mut Draft<'_>, index: &FieldIndex) -> Option<Timestamp> {
    let write_time = index.value(draft, KnownField::JournalTime)?;
    let write_time = time::from_value(write_time, Zone::UTC)?;
    index.at(KnownField::JournalMessage)?;
    let text = |name: &str| match draft.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone().into_owned()),
        _ => None,
    };
    let send_time = text("_SOURCE_REALTIME_TIMESTAMP");
    let send_time =
        send_time.and_then(|text| time::from_value(&Value::Text(text.into()), Zone::UTC));
    let host = text("_HOSTNAME");
    let number = |name: &str, max: u8| {
        let number = text(name)?.parse::<u8>().ok();
        number.filter(|number| *number <= max)
    };
    let severity = number("PRIORITY", 7).and_then(|number| decompose_pri(number).1);
    let facility = number("SYSLOG_FACILITY", 23).and_then(|number| decompose_pri(number * 8).0);
    if let Some(host) = host {
        draft.add("host", Value::Text(Cow::Owned(host)));
    }
    if let Some(facility) = facility {
        draft.add_text("facility", facility.as_str());
    }
    if let Some(severity) = severity {
        draft.add_text("severity", severity.as_str());
    }
    Some(send_time.unwrap_or(write_time))
}
