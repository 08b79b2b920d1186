//! Lines that a shipper wraps in a JSON object: the message, the tag, the host and the process id
//! under the shipper's names are a syslog header in other clothes.
//!
//! An object that names a program carries that program's message. In an object that names none, the
//! text may be a whole line, but only if the object says nothing else about what happened: the message
//! of an application's own record may quote what a client sent.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};
use crate::observables::is_identity;
use crate::time::clock;
use crate::{Context, payload, syslog};

mod bytes;
mod names;

use names::{LinePart, LineParts};

use bytes::text_of_bytes;

/// Reads the line that an object carries, if it does. The fields and the time of the line replace
/// those of the object.
pub(crate) fn read(draft: &mut Draft<'_>, index: &FieldIndex, context: &Context<'_>) {
    let parts = LineParts::of(&draft.fields);
    let message = parts.at(LinePart::Message);
    if draft.message.is_empty()
        && let Some(text) = message.and_then(|at| text(draft, at))
    {
        draft.message = text;
    }
    let line = match program(draft, &parts) {
        Some(program) => match message.and_then(|at| text(draft, at)) {
            Some(message) => Some(read_message(&program, &parts, message, draft, context)),
            None => {
                draft.add("program", Value::Text(program.name));
                None
            }
        },
        None => read_line(draft, &parts, index, context),
    };
    add_host(draft, &parts);
    if let Some(line) = line {
        draft.replace_with_inner(line);
    }
    if draft.time.is_none() {
        let stated = parts.at(LinePart::Time).and_then(|at| text(draft, at));
        let stated = stated.and_then(|text| clock::stated_time(&text, context));
        draft.time = stated.map(|stated| stated.time);
    }
}

/// Adds the header of an object whose message is an event itself.
pub(crate) fn add_header(draft: &mut Draft<'_>) {
    let parts = LineParts::of(&draft.fields);
    if let Some(program) = program(draft, &parts) {
        draft.add("program", Value::Text(program.name));
    }
    let host = parts.at(LinePart::Host).and_then(|at| text(draft, at));
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        draft.add("host", Value::Text(host));
    }
}

/// Returns the text of a field; that of a list of bytes or of the first of several texts.
fn text<'a>(draft: &Draft<'a>, at: usize) -> Option<Cow<'a, str>> {
    match draft.fields.get(at).map(|(_, value)| value)? {
        Value::Text(text) => Some(text.clone()),
        Value::List(values) => text_of_bytes(values).map(Cow::Owned),
        _ => None,
    }
}

/// The program that an object names, and the process id of its tag.
struct Program<'a> {
    name: Cow<'a, str>,
    pid: Option<String>,
}

/// Ranks of the names that also hold other things: `process.name`, and tags of routing.
const UNSURE_RANK: u8 = 10;
const PROCESS_RANK: u8 = 11;

fn program<'a>(draft: &Draft<'a>, parts: &LineParts) -> Option<Program<'a>> {
    let written = text(draft, parts.at(LinePart::Program)?)?;
    let (name, pid) = match syslog::split_tag(&written) {
        Some((name, pid)) => (Cow::Owned(name.to_owned()), pid.map(str::to_owned)),
        None => (written, None),
    };
    let is_sure = parts.rank(LinePart::Program)? < UNSURE_RANK || pid.is_some();
    let is_program = !name.is_empty() && !name.contains([' ', '=', '{']) && name != "-";
    // Endpoint records also have a process, but say what it did themselves.
    let is_meant = || parts.rank(LinePart::Program) == Some(PROCESS_RANK) && !has_own_data(draft);
    let is_program = is_program && (is_sure || syslog::is_known_program(&name) || is_meant());
    is_program.then_some(Program { name, pid })
}

/// Reads the message of a program that the object names.
fn read_message<'a>(
    program: &Program<'a>,
    parts: &LineParts,
    message: Cow<'a, str>,
    draft: &Draft<'a>,
    context: &Context<'_>,
) -> Draft<'a> {
    let mut line = match (&program.name, message) {
        (Cow::Borrowed(name), Cow::Borrowed(message)) => {
            syslog::read_message(name, message.trim_ascii(), context)
        }
        (name, message) => syslog::read_message(name, message.trim_ascii(), context).into_owned(),
    };
    let pid = match &program.pid {
        Some(pid) => pid.parse().ok().map(Value::Int),
        None => {
            let at = parts.at(LinePart::Pid);
            let value = at
                .and_then(|at| draft.fields.get(at))
                .map(|(_, value)| value);
            value.and_then(pid_value)
        }
    };
    if let Some(pid) = pid {
        line.add("pid", pid);
    }
    line
}

fn pid_value<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Int(_) => Some(value.clone()),
        Value::Text(text) if text.is_empty() || text == "-" => None,
        Value::Text(text) => {
            let number = text.parse().ok().map(Value::Int);
            Some(number.unwrap_or_else(|| value.clone()))
        }
        Value::List(values) => values.first().and_then(|value| match value {
            Value::Text(text) => text.parse().ok().map(Value::Int),
            _ => None,
        }),
        _ => None,
    }
}

/// Reads the text of an object that names no program as a whole line.
fn read_line<'a>(
    draft: &Draft<'a>,
    parts: &LineParts,
    index: &FieldIndex,
    context: &Context<'_>,
) -> Option<Draft<'a>> {
    if index.has(KnownField::Logger) || has_own_data(draft) {
        return None;
    }
    let fields = [LinePart::Message, LinePart::Original];
    let mut texts = fields
        .into_iter()
        .filter_map(|part| text(draft, parts.at(part)?));
    texts.find_map(|text| match text {
        Cow::Borrowed(text) => whole_line(text, draft.headers, context),
        Cow::Owned(text) => whole_line(&text, draft.headers, context).map(Draft::into_owned),
    })
}

fn whole_line<'a>(text: &'a str, headers: u8, context: &Context<'_>) -> Option<Draft<'a>> {
    let text = text.trim_ascii();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(line) = syslog::read_inner(text, headers, context) {
        return Some(line);
    }
    let mut line = Draft::default();
    line.headers = headers;
    payload::read_bare(text, context, &mut line).then_some(line)
}

/// Returns whether an object says who did what itself.
fn has_own_data(draft: &Draft<'_>) -> bool {
    let mut names = draft.fields.iter().map(|(name, _)| name.as_ref());
    names.any(|name| is_identity(name) && !names::is_of_shipper(name))
}

/// Sets the host to that of the line, and the host that the shipper names to the relay.
fn add_host(draft: &mut Draft<'_>, parts: &LineParts) {
    let value = |part| {
        let at = parts.at(part)?;
        let (_, value) = draft.fields.get(at)?;
        matches!(value, Value::Text(text) if !text.is_empty() && text != "-").then(|| value.clone())
    };
    let (host, relay) = (value(LinePart::Host), value(LinePart::Relay));
    let Some(host) = host else {
        return;
    };
    match draft.get("host") {
        Some(own) if *own != host => {
            let own = own.clone();
            draft.add("relay_host", own);
            draft.set(Cow::Borrowed("host"), host);
        }
        Some(_) => {}
        None => draft.add("host", host),
    }
    if let Some(relay) = relay.filter(|relay| draft.get("host") != Some(relay)) {
        draft.add("relay_host", relay);
    }
}
