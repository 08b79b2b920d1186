//! Events inside another frame: an audit record or event XML as the message of a JSON object or a
//! syslog line.
//!
//! The inner event is what happened, so its fields, time and log source replace those of the
//! carrier. If both name a host and they differ, the carrier's host becomes `relay_host`.

use std::borrow::Cow;

use crate::draft::{Draft, LogSourceRef};
use crate::event_xml;
use crate::services::audit;

/// Reads the message of a draft if it is an event itself. Returns whether it is.
pub(crate) fn read(draft: &mut Draft<'_>) -> bool {
    if !draft
        .message
        .trim_start_matches(['-', ' '])
        .starts_with("<Event")
        && !audit::is_record(&draft.message)
    {
        return false;
    }
    let message = std::mem::take(&mut draft.message);
    let is_read = match &message {
        Cow::Borrowed(text) => read_inner(text).map(|(event, _)| draft.replace_with_inner(event)),
        Cow::Owned(text) => read_inner(text).map(|(event, logsource)| {
            let mut owned = Draft::default();
            for (name, value) in event.fields {
                owned.add(name.into_owned(), value.into_owned());
            }
            owned.message = Cow::Owned(event.message.into_owned());
            (owned.time, owned.problems, owned.logsource) = (event.time, event.problems, logsource);
            draft.replace_with_inner(owned);
        }),
    };
    if is_read.is_none() {
        draft.message = message;
    }
    is_read.is_some()
}

/// Reads a text as an event. The log source is returned apart because it does not borrow from the
/// text.
fn read_inner(text: &str) -> Option<(Draft<'_>, LogSourceRef<'static>)> {
    let mut event = Draft::default();
    let mut logsource = LogSourceRef::default();
    if event_xml::read(text, &mut event) {
        logsource.product = Some(event_xml::product(&event));
        return Some((event, logsource));
    }
    if audit::read(text, &mut event) {
        event.message = Cow::Borrowed(text);
        logsource.product = Some("linux");
        logsource.service = Some("auditd");
        return Some((event, logsource));
    }
    None
}
