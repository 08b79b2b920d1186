//! Structured data that is the record of a known source: Windows events of NXLog, sessions of Junos.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::FieldIndex;
use crate::services::appliance;
use crate::windows;

/// Reads the structured data of a line whose header has been read. Returns whether they are all that
/// the line says. Other data stay as they are.
pub(super) fn read(draft: &mut Draft<'_>) -> bool {
    if let Some(element) = element_with(draft, ".EventID") {
        return read_windows(&element, draft);
    }
    if let Some(element) = element_with(draft, ".source-address")
        && element.starts_with("junos@")
    {
        appliance::read_junos_data(&element, draft);
    }
    false
}

/// Returns the name of the element that has a parameter of this name.
fn element_with(draft: &Draft<'_>, parameter: &str) -> Option<String> {
    let names = draft.fields.iter();
    let mut elements = names.filter_map(|(name, _)| name.strip_suffix(parameter));
    elements.next().map(str::to_owned)
}

/// Makes the parameters of an element the fields of a Windows event. The header says host and provider.
fn read_windows(element: &str, draft: &mut Draft<'_>) -> bool {
    let has_channel = draft.get(&format!("{element}.Channel")).is_some();
    let is_number = matches!(
        draft.get(&format!("{element}.EventID")),
        Some(Value::Text(id)) if id.parse::<i64>().is_ok()
    );
    if !has_channel || !is_number {
        return false;
    }
    let header = |name| draft.get(name).cloned();
    let (host, program) = (header("host"), header("program"));
    let prefix = format!("{element}.");
    for (name, value) in draft.take_fields() {
        let Some(parameter) = name.strip_prefix(prefix.as_str()) else {
            if name != "host" {
                draft.add(name, value);
            }
            continue;
        };
        let parameter = match parameter {
            "Hostname" | "Computer" if host.is_some() => format!("event.{parameter}"),
            "host" => continue,
            parameter => parameter.to_owned(),
        };
        draft.add(Cow::Owned(parameter), value);
    }
    if let Some(host) = host {
        draft.add("Hostname", host);
    }
    if let Some(program) = program {
        draft.add("SourceName", program);
    }
    let mut index = FieldIndex::of(&draft.fields);
    windows::recognize(draft, &mut index)
}
