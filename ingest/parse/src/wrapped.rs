//! Events that come inside another frame: audit records and event XML as the message of a JSON
//! object or of a syslog line.
//!
//! The event inside is what happened, so its fields, time and log source stand over those of what
//! carries it. Where the two name different hosts, the carrier's becomes `relay_host`.

use std::borrow::Cow;

use crate::draft::{Draft, Source};
use crate::event_xml;
use crate::services::audit;

/// Reads the message of a draft further where it is an event itself, and tells whether it is.
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
        Cow::Borrowed(text) => inner(text).map(|(event, _)| absorb(draft, event)),
        Cow::Owned(text) => inner(text).map(|(event, source)| {
            let mut own = Draft::default();
            for (name, value) in event.fields {
                own.put(name.into_owned(), value.into_owned());
            }
            own.message = Cow::Owned(event.message.into_owned());
            (own.time, own.problems, own.source) = (event.time, event.problems, source);
            absorb(draft, own);
        }),
    };
    if is_read.is_none() {
        draft.message = message;
    }
    is_read.is_some()
}

/// The event that a text is, with its log source in words of our own.
fn inner(text: &str) -> Option<(Draft<'_>, Source<'static>)> {
    let mut event = Draft::default();
    let mut source = Source::default();
    if event_xml::read(text, &mut event) {
        source.product = Some(event_xml::product(&event));
        return Some((event, source));
    }
    if audit::read(text, &mut event) {
        event.message = Cow::Borrowed(text);
        source.product = Some("linux");
        source.service = Some("auditd");
        return Some((event, source));
    }
    None
}

/// Puts the event that was found inside over what carries it.
pub(crate) fn absorb<'a>(draft: &mut Draft<'a>, event: Draft<'a>) {
    if let (Some(relay), Some(host)) = (draft.get("host"), event.get("host"))
        && relay != host
    {
        let relay = relay.clone();
        draft.put("relay_host", relay);
    }
    for (name, value) in event.fields {
        draft.set(name, value);
    }
    for problem in event.problems {
        draft.problem(problem);
    }
    draft.source = event.source;
    draft.time = event.time.or(draft.time);
    draft.message = event.message;
}
