//! What each form of a Windows event calls a field, and its name in the flat form.

use std::borrow::Cow;

use weir_schema::Value;

use super::Form;

/// A field's name in the flat form.
pub(super) enum Name<'a> {
    /// Windows says it of every event.
    System(&'static str),
    /// The event's own data.
    Data(Cow<'a, str>),
    /// The shipper says it.
    Own(Cow<'a, str>),
    /// It says nothing: the XML's namespace, an element without content.
    Nothing,
}

/// The names that Windows' own part of an event has in the flat form, and `host`, which we give it:
/// data of these names is called `EventData_<name>`.
const SYSTEM: [&str; 19] = [
    "EventID",
    "Channel",
    "Provider_Name",
    "Provider_Guid",
    "Computer",
    "TimeCreated",
    "EventRecordID",
    "Level",
    "Task",
    "Opcode",
    "Version",
    "Keywords",
    "Qualifiers",
    "Execution_ProcessID",
    "Execution_ThreadID",
    "Security_UserID",
    "Correlation_ActivityID",
    "Correlation_RelatedActivityID",
    "host",
];

type Table = [(&'static str, &'static str)];

/// NXLog's names, and those of exports in its style.
const NXLOG: &Table = &[
    ("Hostname", "Computer"),
    ("SourceName", "Provider_Name"),
    ("ProviderGuid", "Provider_Guid"),
    ("RecordNumber", "EventRecordID"),
    ("ExecutionProcessID", "Execution_ProcessID"),
    ("ExecutionThreadID", "Execution_ThreadID"),
    ("ThreadID", "Execution_ThreadID"),
    ("ActivityID", "Correlation_ActivityID"),
    ("RelatedActivityID", "Correlation_RelatedActivityID"),
];

/// Fluent Bit's names; it leaves the event's own data without any.
const FLUENT_BIT: &Table = &[
    ("ProviderName", "Provider_Name"),
    ("ProviderGuid", "Provider_Guid"),
    ("ProcessID", "Execution_ProcessID"),
    ("ThreadID", "Execution_ThreadID"),
    ("UserID", "Security_UserID"),
    ("ActivityID", "Correlation_ActivityID"),
    ("RelatedActivityID", "Correlation_RelatedActivityID"),
    ("StringInserts", "Data"),
];

/// Winlogbeat 6 at the top, since 7 under `winlog`.
const BEATS: &Table = &[
    ("@timestamp", "TimeCreated"),
    ("event_id", "EventID"),
    ("log_name", "Channel"),
    ("channel", "Channel"),
    ("source_name", "Provider_Name"),
    ("provider_name", "Provider_Name"),
    ("provider_guid", "Provider_Guid"),
    ("computer_name", "Computer"),
    ("record_number", "EventRecordID"),
    ("record_id", "EventRecordID"),
    ("process_id", "Execution_ProcessID"),
    ("process.pid", "Execution_ProcessID"),
    ("thread_id", "Execution_ThreadID"),
    ("process.thread.id", "Execution_ThreadID"),
    ("activity_id", "Correlation_ActivityID"),
    ("related_activity_id", "Correlation_RelatedActivityID"),
    ("user.identifier", "Security_UserID"),
    ("level", "Level"),
    ("log.level", "Level"),
    ("task", "Task"),
    ("opcode", "Opcode"),
    ("keywords", "Keywords"),
    ("version", "Version"),
];

/// The properties of PowerShell's event record.
const POWERSHELL: &Table = &[
    ("Id", "EventID"),
    ("LogName", "Channel"),
    ("ProviderName", "Provider_Name"),
    ("ProviderId", "Provider_Guid"),
    ("MachineName", "Computer"),
    ("RecordId", "EventRecordID"),
    ("ProcessId", "Execution_ProcessID"),
    ("ThreadId", "Execution_ThreadID"),
    ("UserId", "Security_UserID"),
    ("UserId.Value", "Security_UserID"),
    ("ActivityId", "Correlation_ActivityID"),
    ("RelatedActivityId", "Correlation_RelatedActivityID"),
    ("TimeCreated.value", "TimeCreated"),
    ("Properties", "Data"),
];

fn look_up(table: &Table, name: &str) -> Option<&'static str> {
    let found = table.iter().find(|(theirs, _)| *theirs == name);
    found.map(|(_, flat)| *flat)
}

/// The flat name of the field that is called `name` in this form.
pub(super) fn of<'a>(form: Form, name: Cow<'a, str>, value: &Value<'_>) -> Name<'a> {
    match form {
        Form::Flat => Name::Own(name),
        Form::NxLog => listed(NXLOG, name),
        Form::FluentBit => listed(FLUENT_BIT, name),
        Form::PowerShell => listed(POWERSHELL, name),
        Form::Beats => beats(name),
        Form::Xml => xml(name, value),
    }
}

fn listed<'a>(table: &Table, name: Cow<'a, str>) -> Name<'a> {
    match look_up(table, &name) {
        // Data's own place: what has no names there is a list.
        Some("Data") => Name::Data(Cow::Borrowed("Data")),
        Some(flat) => Name::System(flat),
        None => Name::Own(name),
    }
}

fn beats<'a>(name: Cow<'a, str>) -> Name<'a> {
    let rest = name.strip_prefix("winlog.").unwrap_or(&name);
    let is_old = rest.len() == name.len();
    let data_of = ["event_data.", "user_data."];
    if let Some(data_of) = data_of.iter().find(|start| rest.starts_with(**start)) {
        let before = name.len() - rest.len() + data_of.len();
        return data(without(name, before));
    }
    match look_up(BEATS, rest) {
        // At the top these are not the process that wrote the event, but the one that it is about.
        Some(_) if is_old && rest.starts_with("process.") => Name::Own(name),
        Some(flat) => Name::System(flat),
        None => Name::Own(name),
    }
}

fn xml<'a>(name: Cow<'a, str>, value: &Value<'_>) -> Name<'a> {
    let path = plain_path(name.strip_prefix("Event.").unwrap_or(&name));
    if path.contains("xmlns") {
        return Name::Nothing;
    }
    let is_empty = *value == Value::Null;
    if let Some(system) = path.strip_prefix("System.") {
        let flat = system.replace('.', "_");
        let flat = match flat.as_str() {
            "EventID_Qualifiers" => "Qualifiers",
            "EventID_Value" => "EventID",
            "TimeCreated_SystemTime" => "TimeCreated",
            flat => flat,
        };
        return match SYSTEM.iter().find(|known| **known == flat) {
            Some(_) if is_empty => Name::Nothing,
            Some(known) => Name::System(known),
            None if is_empty => Name::Nothing,
            None => Name::Own(Cow::Owned(flat.to_owned())),
        };
    }
    if let Some(name) = path.strip_prefix("EventData.") {
        return data(Cow::Owned(name.to_owned()));
    }
    if let Some(rest) = path.strip_prefix("UserData.") {
        // One element is between, of a name that the provider chose.
        let name = rest.split_once('.').map_or(rest, |(_, name)| name);
        return data(Cow::Owned(name.to_owned()));
    }
    match path.as_ref() {
        "EventData" | "UserData" if is_empty => Name::Nothing,
        "RenderingInfo.Message" => Name::Own(Cow::Borrowed("Message")),
        _ => Name::Own(name),
    }
}

/// A path without what readers put there to tell attributes and text from elements: `#attributes`,
/// `@`, `_attributes`, `#text`.
fn plain_path(path: &str) -> Cow<'_, str> {
    if !path.contains(['#', '@']) && !path.contains("_attributes") {
        return Cow::Borrowed(path);
    }
    let plain = path
        .replace("#attributes.", "")
        .replace("_attributes.", ".")
        .replace(".@", ".");
    let plain = plain
        .strip_suffix(".#text")
        .map(str::to_owned)
        .unwrap_or(plain);
    Cow::Owned(plain)
}

/// The event's own data, by its own name without spaces.
pub(super) fn data<'a>(name: Cow<'a, str>) -> Name<'a> {
    let name = if name.contains(' ') {
        Cow::Owned(name.replace(' ', ""))
    } else {
        name
    };
    if SYSTEM.contains(&name.as_ref()) {
        return Name::Data(Cow::Owned(format!("EventData_{name}")));
    }
    Name::Data(name)
}

fn without<'a>(name: Cow<'a, str>, before: usize) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.get(before..).unwrap_or(name)),
        Cow::Owned(mut name) => {
            if name.is_char_boundary(before) {
                name.drain(..before);
            }
            Cow::Owned(name)
        }
    }
}
