//! Entries of systemd's journal in JSON, as `journalctl -o json` writes them: adds the fields of the
//! equivalent syslog line and reads the program's message.

use std::borrow::Cow;

use syslog_loose::decompose_pri;
use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};
use crate::time::{self, Timestamp, Zone};
use crate::{Context, services};

/// Reads the fields as a journal entry if they are one. Returns the time at which the message was
/// sent if the journal knows it, else the time at which it was written to the journal.
pub(crate) fn recognize(
    draft: &mut Draft<'_>,
    index: &FieldIndex,
    context: &Context<'_>,
) -> Option<Timestamp> {
    let write_time = index.value(draft, KnownField::JournalTime)?;
    let write_time = time::from_value(write_time, Zone::UTC)?;
    // Every entry has a message; there is nothing to read in one that is not text.
    index.at(KnownField::JournalMessage)?;
    let message = index.text(draft, KnownField::JournalMessage);
    let message = message.unwrap_or_default().to_owned();
    let text = |name: &str| match draft.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone().into_owned()),
        _ => None,
    };
    let send_time = text("_SOURCE_REALTIME_TIMESTAMP");
    let send_time =
        send_time.and_then(|text| time::from_value(&Value::Text(text.into()), Zone::UTC));
    let host = text("_HOSTNAME");
    let program = text("SYSLOG_IDENTIFIER").or_else(|| text("_COMM"));
    let pid = text("_PID").or_else(|| text("SYSLOG_PID"));
    let number = |name: &str, max: u8| {
        let number = text(name)?.parse::<u8>().ok();
        number.filter(|number| *number <= max)
    };
    let severity = number("PRIORITY", 7).and_then(|number| decompose_pri(number).1);
    let facility = number("SYSLOG_FACILITY", 23).and_then(|number| decompose_pri(number * 8).0);
    for (name, value) in [("host", host), ("program", program.clone())] {
        if let Some(value) = value {
            draft.add(name, Value::Text(Cow::Owned(value)));
        }
    }
    if let Some(pid) = pid.and_then(|pid| pid.parse::<i64>().ok()) {
        draft.add("pid", Value::Int(pid));
    }
    if let Some(facility) = facility {
        draft.add_text("facility", facility.as_str());
    }
    if let Some(severity) = severity {
        draft.add_text("severity", severity.as_str());
    }
    let mut line = Draft::default();
    services::read_message(program.as_deref(), &message, context, &mut line);
    draft.add_owned(line);
    Some(send_time.unwrap_or(write_time))
}
