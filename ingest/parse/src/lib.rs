//! Decodes one frame of syslog, JSON or agent data into one event, without I/O and without panics.
//!
//! Broken input is data: [`decode`] always returns an event, and the event lists its problems.

mod agent;
mod carrier;
mod cloud;
mod draft;
mod envelope;
mod event_xml;
mod field_index;
mod host;
mod inner_event;
mod journald;
mod json;
mod json_event;
mod keyvalue;
mod logsource;
mod observables;
mod payload;
mod render;
mod repeat;
mod seen_pairs;
mod services;
mod syslog;
mod time;
mod windows;
mod zeek;

use std::borrow::Cow;

use weir_schema::{Event, Format, LogSource, Problem, ReceiveTime, Span, Value};

pub use logsource::{LogSourceError, parse_logsource};
pub use observables::{OBSERVABLES_MAX, observables, ocsf_class};
pub use render::event_json;
pub use time::Zone;

use draft::Draft;

/// Most fields of one event, and most values in its lists. A frame with more is an attack or a
/// dump. Names that rules read take the places of others.
pub const FIELDS_MAX: usize = 1_000;

/// Deepest nesting of JSON that is read; what is deeper stays text. Real events stay below 20.
pub const DEPTH_MAX: usize = 128;

/// Facts about a frame that are not in its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    pub format: Format,
    pub received: ReceiveTime,
    /// The zone of times without an offset.
    pub zone: Zone,
    /// The log source declared for the source. Each part of it overrides that of the frame.
    pub logsource: Option<&'c LogSource>,
    /// The JSON field that holds the time. If `None`, the usual names are tried.
    pub time_field: Option<&'c str>,
    /// A time later than the receive time by more than this is a problem.
    pub future_tolerance: Span,
}

/// Reads one frame. The event borrows from the frame if the frame is valid UTF-8.
#[must_use]
pub fn decode<'a>(frame: &'a [u8], context: &Context<'_>) -> Event<'a> {
    let context = &Context {
        zone: context.zone.received_at(context.received),
        ..*context
    };
    let mut event = decode_frame(frame, context);
    if weir_schema::is_cut(frame) && !event.problems.contains(&Problem::Truncated) {
        // Rules search head and tail, with the marker between them.
        event.problems.push(Problem::Truncated);
        event.problems.sort_unstable();
    }
    event
}

fn decode_frame<'a>(frame: &'a [u8], context: &Context<'_>) -> Event<'a> {
    if context.format == Format::Agent {
        return agent::decode(frame, context);
    }
    match std::str::from_utf8(frame) {
        Ok(text) => decode_text(text, context),
        Err(_) => {
            let text = String::from_utf8_lossy(frame);
            let mut event = into_owned(decode_text(&text, context));
            event.problems.push(Problem::InvalidUtf8);
            event.problems.sort_unstable();
            event
        }
    }
}

fn decode_text<'a>(text: &'a str, context: &Context<'_>) -> Event<'a> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.trim_end_matches(['\r', '\n', '\0']);
    let mut draft = Draft::for_text(text);
    read_text(text, context.format, context, &mut draft);
    if !is_json(text, context.format) && holds_several_lines(text) {
        draft.add_problem(Problem::Unparsed);
    }
    draft.finish(context)
}

/// Reads a line in the given format, or detects the format if it is [`Format::Auto`]. A Zeek record
/// with its header is recognized first: no other format has such lines.
fn read_text<'a>(text: &'a str, format: Format, context: &Context<'_>, draft: &mut Draft<'a>) {
    if zeek::read(text, context, draft) {
        return;
    }
    if is_json(text, format) {
        json_event::read(text, context, draft);
    } else {
        syslog::read(text, context, draft);
    }
}

/// Reads a text as a JSON object. Objects hold lines, and lines hold objects.
fn read_object<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    json_event::read(text, context, draft);
}

/// Reads a text that starts with the tag of a known program.
fn read_known_tag<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    syslog::read_known_tag(text, context, draft)
}

/// Returns the time that the members of an object state.
fn object_time(draft: &Draft<'_>, context: &Context<'_>) -> Option<time::Timestamp> {
    json_event::stated_time(draft, context)
}

/// Returns whether a second syslog line follows in the frame, as in a datagram with several. The event
/// is the first of them, so its problem tells of the others.
fn holds_several_lines(text: &str) -> bool {
    let Some((_, second)) = text.split_once('\n') else {
        return false;
    };
    !text.starts_with('#') && syslog::starts_line(second)
}

fn is_json(text: &str, format: Format) -> bool {
    match format {
        Format::Json => true,
        Format::Auto => text.trim_ascii_start().starts_with('{'),
        Format::Syslog | Format::Agent => false,
    }
}

fn into_owned(event: Event<'_>) -> Event<'static> {
    let owned = |(name, value): (Cow<'_, str>, Value<'_>)| {
        (Cow::Owned(name.into_owned()), value.into_owned())
    };
    Event {
        time: event.time,
        stated: event.stated,
        logsource: event.logsource,
        fields: event.fields.into_iter().map(owned).collect(),
        message: Cow::Owned(event.message.into_owned()),
        problems: event.problems,
        weight: event.weight,
    }
}
