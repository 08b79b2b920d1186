//! Entries of systemd's journal in JSON, as `journalctl -o json` writes them: the fields that a line
//! of syslog would have, and what the program's message says.

use std::borrow::Cow;

use syslog_loose::decompose_pri;
use weir_schema::Value;

use crate::Context;
use crate::draft::Draft;
use crate::envelope::adopt;
use crate::json_event::of_value;
use crate::marks::{Mark, Marks};
use crate::services;
use crate::time::{Stamp, Zone};

/// Reads an entry further, if the fields are one, and gives its time: when the message was sent
/// where the journal knows, else when it was written down.
pub(crate) fn recognise(
    draft: &mut Draft<'_>,
    marks: &Marks,
    context: &Context<'_>,
) -> Option<Stamp> {
    let written = of_value(marks.value(draft, Mark::JournalTime)?, Zone::UTC)?;
    // Every entry has one; a message that is no text says nothing further.
    marks.at(Mark::JournalMessage)?;
    let message = marks.text(draft, Mark::JournalMessage).unwrap_or_default();
    let message = message.to_owned();
    let text = |name: &str| match draft.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone().into_owned()),
        _ => None,
    };
    let sent = text("_SOURCE_REALTIME_TIMESTAMP");
    let sent = sent.and_then(|text| of_value(&Value::Text(text.into()), Zone::UTC));
    let host = text("_HOSTNAME");
    let program = text("SYSLOG_IDENTIFIER").or_else(|| text("_COMM"));
    let pid = text("_PID").or_else(|| text("SYSLOG_PID"));
    let number = |name: &str, most: u8| {
        let number = text(name)?.parse::<u8>().ok();
        number.filter(|number| *number <= most)
    };
    let severity = number("PRIORITY", 7).and_then(|number| decompose_pri(number).1);
    let facility = number("SYSLOG_FACILITY", 23).and_then(|number| decompose_pri(number * 8).0);
    for (name, value) in [("host", host), ("program", program.clone())] {
        if let Some(value) = value {
            draft.put(name, Value::Text(Cow::Owned(value)));
        }
    }
    if let Some(pid) = pid.and_then(|pid| pid.parse::<i64>().ok()) {
        draft.put("pid", Value::Int(pid));
    }
    if let Some(facility) = facility {
        draft.text("facility", facility.as_str());
    }
    if let Some(severity) = severity {
        draft.text("severity", severity.as_str());
    }
    let mut own = Draft::default();
    services::normalize(program.as_deref(), &message, context, &mut own);
    adopt(draft, own);
    Some(sent.unwrap_or(written))
}
