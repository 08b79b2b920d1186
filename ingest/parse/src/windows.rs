//! Windows events as agents and tools write them in JSON: tells the forms apart, and gives fields
//! the names that Windows' own XML has, flat, as Sigma's rules expect them.
//!
//! Known are the flat form (`EventID`, `Provider_Name`, ... beside the event's own data), NXLog and
//! what comes out of Logstash with it, Fluent Bit, Winlogbeat from 6 on and the Elastic agent,
//! `Get-WinEvent | ConvertTo-Json`, and the XML written as JSON by readers of EVTX files. Shippers'
//! own fields stay. What the flat form already is stays to the byte, empty texts included.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::json_event::of_value;
use crate::marks::{Mark, Marks};
use crate::time::{self, Stamp, Zone};

mod names;
mod values;

use names::Name;

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Flat,
    /// Flat too, with names of their own for what Windows says of the event.
    NxLog,
    FluentBit,
    Beats,
    PowerShell,
    Xml,
}

fn form(marks: &Marks) -> Option<Form> {
    if marks.has(Mark::EventId) {
        if marks.has(Mark::ProviderUnderscore) {
            return Some(Form::Flat);
        }
        if marks.has(Mark::Provider) {
            return Some(Form::FluentBit);
        }
        if marks.has(Mark::SourceName) {
            return Some(Form::NxLog);
        }
        return marks.has(Mark::Channel).then_some(Form::Flat);
    }
    if marks.has(Mark::XmlId) {
        return Some(Form::Xml);
    }
    if marks.has(Mark::BeatId) && marks.has(Mark::BeatLog) {
        return Some(Form::Beats);
    }
    let shell = [Mark::ShellId, Mark::ShellLog, Mark::Provider];
    let is_shell = shell.into_iter().all(|mark| marks.has(mark));
    is_shell.then_some(Form::PowerShell)
}

/// Sees whether the fields are a Windows event; if so, names them as the flat form does, and says
/// where they stand then.
pub(crate) fn recognise(draft: &mut Draft<'_>, marks: &mut Marks) -> bool {
    let Some(form) = form(marks) else {
        return false;
    };
    // Others have events with ids and channels too; those of Windows are numbers.
    let is_number = |value: &Value<'_>| match value {
        Value::Int(_) => true,
        Value::Text(text) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    if !marks.value(draft, Mark::EventId).is_none_or(is_number) {
        return false;
    }
    if form != Form::Flat {
        rename(form, draft);
        values::of_form(form, draft);
        *marks = Marks::of(&draft.fields);
    }
    if let Some(at) = marks.at(Mark::EventId)
        && let Some((_, value)) = draft.fields.get_mut(at)
        && let Value::Text(text) = value
        && let Ok(id) = text.parse()
    {
        *value = Value::Int(id);
    }
    if let Some(Value::Text(computer)) = marks.value(draft, Mark::Computer) {
        let computer = Value::Text(computer.clone());
        relay(draft, marks);
        draft.set(Cow::Borrowed("host"), computer);
    }
    draft.source.product = Some("windows");
    true
}

/// What a frame calls `host` is a machine on its way here, not where it happened.
fn relay<'a>(draft: &mut Draft<'a>, marks: &Marks) {
    if let Some(relay) = marks.value(draft, Mark::Host) {
        let relay = relay.clone();
        draft.put("relay_host", relay);
    }
}

/// Gives every field its name in the flat form, in the order of the frame.
fn rename(form: Form, draft: &mut Draft<'_>) {
    for (name, value) in draft.take() {
        match names::of(form, name, &value) {
            Name::Data(name) => values::put(draft, name, value),
            Name::System(name) => put_theirs(draft, Cow::Borrowed(name), value),
            Name::Own(name) => put_theirs(draft, name, value),
            Name::Nothing => {}
        }
    }
}

fn put_theirs<'a>(draft: &mut Draft<'a>, name: Cow<'a, str>, value: Value<'a>) {
    if draft.is_taken(&name) {
        draft.put(format!("shipper_{name}"), value);
    } else {
        draft.put(name, value);
    }
}

/// When it happened: Windows writes UTC, with or without saying so. NXLog writes the machine's own
/// time; unless that has an offset, the time at which it was passed on is nearer to the truth.
pub(crate) fn stamp(draft: &Draft<'_>, marks: &Marks, zone: Zone) -> Option<Stamp> {
    let of = |mark, zone| of_value(marks.value(draft, mark)?, zone);
    if let Some(stamp) = of(Mark::TimeCreated, Zone::UTC) {
        return Some(stamp);
    }
    if let Some(text) = marks.text(draft, Mark::TimeCreated)
        && let Some(stamp) = shell_date(text)
    {
        return Some(stamp);
    }
    let local = marks.text(draft, Mark::EventTime);
    local
        .and_then(time::iso_with_offset)
        .or_else(|| of(Mark::AtTimestamp, Zone::UTC))
        .or_else(|| of(Mark::EventTime, zone))
}

/// `/Date(1603869543511)/`, as older PowerShell writes times: milliseconds since 1970, UTC.
fn shell_date(text: &str) -> Option<Stamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner
        .get(1..)?
        .find(['+', '-'])
        .map_or(inner.len(), |at| at + 1);
    let milliseconds: i64 = inner.get(..end)?.parse().ok()?;
    Some(Stamp::of_ns(milliseconds.checked_mul(1_000_000)?))
}
