//! Tables that map the field names of each Windows form to the names of the flat form.

use std::borrow::Cow;

use weir_schema::Value;

use super::WindowsForm;

/// The name of a field in the flat form, by the part of the event it belongs to.
pub(super) enum FlatName<'a> {
    /// A field of the `System` element, which every Windows event has.
    System(&'static str),
    /// A field of the event data.
    Data(Cow<'a, str>),
    /// A field that the shipper added.
    Shipper(Cow<'a, str>),
    /// A field without information: the XML namespace, or an element without content.
    Empty,
}

/// The flat names of the `System` element, and `host`, which Weir adds. Event data with one of these
/// names becomes `EventData_<name>`.
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

/// Names of NXLog, and of exports in its style.
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

/// Names of Fluent Bit, which sends event data without names.
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

/// Names of Winlogbeat: at the top level in version 6, under `winlog` since version 7.
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

/// Properties of PowerShell's event record.
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
    let found = table.iter().find(|(form_name, _)| *form_name == name);
    found.map(|(_, flat)| *flat)
}

/// Returns the flat name of a field.
pub(super) fn flat_name<'a>(
    form: WindowsForm,
    name: Cow<'a, str>,
    value: &Value<'_>,
) -> FlatName<'a> {
    match form {
        WindowsForm::Flat => FlatName::Shipper(name),
        WindowsForm::NxLog => from_table(NXLOG, name),
        WindowsForm::FluentBit => from_table(FLUENT_BIT, name),
        WindowsForm::PowerShell => from_table(POWERSHELL, name),
        WindowsForm::Beats => beats(name),
        WindowsForm::Xml => xml(name, value),
    }
}

fn from_table<'a>(table: &Table, name: Cow<'a, str>) -> FlatName<'a> {
    match look_up(table, &name) {
        // Data without names becomes one list, `Data`.
        Some("Data") => FlatName::Data(Cow::Borrowed("Data")),
        Some(flat) => FlatName::System(flat),
        None => FlatName::Shipper(name),
    }
}

fn beats<'a>(name: Cow<'a, str>) -> FlatName<'a> {
    let rest = name.strip_prefix("winlog.").unwrap_or(&name);
    let is_top_level = rest.len() == name.len();
    let data_prefixes = ["event_data.", "user_data."];
    let data_prefix = data_prefixes
        .iter()
        .find(|prefix| rest.starts_with(**prefix));
    if let Some(data_prefix) = data_prefix {
        let prefix_len = name.len() - rest.len() + data_prefix.len();
        return data(strip_start(name, prefix_len));
    }
    match look_up(BEATS, rest) {
        // At the top level this is the process that the event is about, not the one that wrote it.
        Some(_) if is_top_level && rest.starts_with("process.") => FlatName::Shipper(name),
        Some(flat) => FlatName::System(flat),
        None => FlatName::Shipper(name),
    }
}

fn xml<'a>(name: Cow<'a, str>, value: &Value<'_>) -> FlatName<'a> {
    let path = plain_path(name.strip_prefix("Event.").unwrap_or(&name));
    if path.contains("xmlns") {
        return FlatName::Empty;
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
            Some(_) if is_empty => FlatName::Empty,
            Some(known) => FlatName::System(known),
            None if is_empty => FlatName::Empty,
            None => FlatName::Shipper(Cow::Owned(flat.to_owned())),
        };
    }
    if let Some(name) = path.strip_prefix("EventData.") {
        return data(Cow::Owned(name.to_owned()));
    }
    if let Some(rest) = path.strip_prefix("UserData.") {
        // One element, whose name the provider chooses, encloses the data.
        let name = rest.split_once('.').map_or(rest, |(_, name)| name);
        return data(Cow::Owned(name.to_owned()));
    }
    match path.as_ref() {
        "EventData" | "UserData" if is_empty => FlatName::Empty,
        "RenderingInfo.Message" => FlatName::Shipper(Cow::Borrowed("Message")),
        _ => FlatName::Shipper(name),
    }
}

/// Removes the markers for attributes and text that EVTX readers add to a path: `#attributes`, `@`,
/// `_attributes`, `#text`.
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

/// Returns the flat name of event data: its own name without spaces.
pub(super) fn data<'a>(name: Cow<'a, str>) -> FlatName<'a> {
    let name = if name.contains(' ') {
        Cow::Owned(name.replace(' ', ""))
    } else {
        name
    };
    if SYSTEM.contains(&name.as_ref()) {
        return FlatName::Data(Cow::Owned(format!("EventData_{name}")));
    }
    FlatName::Data(name)
}

fn strip_start<'a>(name: Cow<'a, str>, prefix_len: usize) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.get(prefix_len..).unwrap_or(name)),
        Cow::Owned(mut name) => {
            if name.is_char_boundary(prefix_len) {
                name.drain(..prefix_len);
            }
            Cow::Owned(name)
        }
    }
}
