//! Windows events in JSON, as agents and tools write them: recognizes the form, and renames fields
//! to the flat names of Windows' own XML, which Sigma's rules expect.
//!
//! The known forms are the flat form (`EventID`, `Provider_Name`, ... beside the event data), NXLog
//! (also through Logstash), Fluent Bit, Winlogbeat since version 6, the Elastic agent, `Get-WinEvent
//! | ConvertTo-Json`, and XML written as JSON by EVTX readers. Fields that the shipper adds stay. A
//! flat event stays unchanged to the byte, empty texts included.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};
use crate::time::{self, Timestamp, Zone};

mod names;
mod values;

use names::FlatName;

/// The form in which an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WindowsForm {
    Flat,
    /// Also flat, but with other names for the fields of the `System` element.
    NxLog,
    FluentBit,
    Beats,
    PowerShell,
    Xml,
}

fn form(index: &FieldIndex) -> Option<WindowsForm> {
    if index.has(KnownField::EventId) {
        if index.has(KnownField::FlatProvider) {
            return Some(WindowsForm::Flat);
        }
        if index.has(KnownField::ProviderName) {
            return Some(WindowsForm::FluentBit);
        }
        if index.has(KnownField::SourceName) {
            return Some(WindowsForm::NxLog);
        }
        return index.has(KnownField::Channel).then_some(WindowsForm::Flat);
    }
    if index.has(KnownField::XmlEventId) {
        return Some(WindowsForm::Xml);
    }
    if index.has(KnownField::BeatsEventId) && index.has(KnownField::BeatsChannel) {
        return Some(WindowsForm::Beats);
    }
    let powershell = [
        KnownField::PowerShellId,
        KnownField::PowerShellLog,
        KnownField::ProviderName,
    ];
    let is_powershell = powershell.into_iter().all(|field| index.has(field));
    is_powershell.then_some(WindowsForm::PowerShell)
}

/// Recognizes a Windows event, renames its fields to the flat form and updates the index. Returns
/// false, with nothing changed, for other objects.
pub(crate) fn recognize(draft: &mut Draft<'_>, index: &mut FieldIndex) -> bool {
    let Some(form) = form(index) else {
        return false;
    };
    // Other sources also have event ids and channels, but only ids of Windows are numbers.
    let is_number = |value: &Value<'_>| match value {
        Value::Int(_) => true,
        Value::Text(text) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    if !index
        .value(draft, KnownField::EventId)
        .is_none_or(is_number)
    {
        return false;
    }
    if form != WindowsForm::Flat {
        rename(form, draft);
        values::normalize(form, draft);
        *index = FieldIndex::of(&draft.fields);
    }
    if let Some(at) = index.at(KnownField::EventId)
        && let Some((_, value)) = draft.fields.get_mut(at)
        && let Value::Text(text) = value
        && let Ok(id) = text.parse()
    {
        *value = Value::Int(id);
    }
    if let Some(Value::Text(computer)) = index.value(draft, KnownField::Computer) {
        let computer = Value::Text(computer.clone());
        add_relay_host(draft, index);
        draft.set(Cow::Borrowed("host"), computer);
    }
    draft.logsource.product = Some("windows");
    true
}

/// Adds the frame's `host` as `relay_host`: it names a machine that passed the event on.
fn add_relay_host<'a>(draft: &mut Draft<'a>, index: &FieldIndex) {
    if let Some(relay) = index.value(draft, KnownField::Host) {
        let relay = relay.clone();
        draft.add("relay_host", relay);
    }
}

/// Renames every field to the flat form, in the order of the frame.
fn rename(form: WindowsForm, draft: &mut Draft<'_>) {
    for (name, value) in draft.take_fields() {
        match names::flat_name(form, name, &value) {
            FlatName::Data(name) => values::add_data(draft, name, value),
            FlatName::System(name) => add_or_prefix(draft, Cow::Borrowed(name), value),
            FlatName::Shipper(name) => add_or_prefix(draft, name, value),
            FlatName::Empty => {}
        }
    }
}

/// Adds a field, as `shipper_<name>` if the name is in use.
fn add_or_prefix<'a>(draft: &mut Draft<'a>, name: Cow<'a, str>, value: Value<'a>) {
    if draft.contains(&name) {
        draft.add(format!("shipper_{name}"), value);
    } else {
        draft.add(name, value);
    }
}

/// Returns the time of the event. Windows writes UTC, with or without an offset. NXLog writes local
/// time; if that has no offset, the time of the relay (`@timestamp`) is more accurate.
pub(crate) fn timestamp(draft: &Draft<'_>, index: &FieldIndex, zone: Zone) -> Option<Timestamp> {
    let read = |field, zone| time::from_value(index.value(draft, field)?, zone);
    if let Some(time) = read(KnownField::TimeCreated, Zone::UTC) {
        return Some(time);
    }
    if let Some(text) = index.text(draft, KnownField::TimeCreated)
        && let Some(time) = powershell_date(text)
    {
        return Some(time);
    }
    let local = index.text(draft, KnownField::EventTime);
    local
        .and_then(time::iso_with_offset)
        .or_else(|| read(KnownField::AtTimestamp, Zone::UTC))
        .or_else(|| read(KnownField::EventTime, zone))
}

/// Reads `/Date(1603869543511)/`, milliseconds since 1970 in UTC, as older PowerShell writes times.
fn powershell_date(text: &str) -> Option<Timestamp> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner
        .get(1..)?
        .find(['+', '-'])
        .map_or(inner.len(), |at| at + 1);
    let milliseconds: i64 = inner.get(..end)?.parse().ok()?;
    Some(Timestamp::from_ns(milliseconds.checked_mul(1_000_000)?))
}
