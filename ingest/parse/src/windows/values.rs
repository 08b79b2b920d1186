//! Converts values that a form writes differently from the XML: lists of data, levels, keywords,
//! GUIDs.

use std::borrow::Cow;

use weir_schema::Value;

use super::WindowsForm;
use super::names::{self, FlatName};
use crate::draft::Draft;
use crate::json::{FieldSink, JsonReader};

/// The keywords of audits as rendered text, and as the mask in the XML.
const AUDIT_KEYWORDS: [(&str, &str); 2] = [
    ("Audit Success", "0x8020000000000000"),
    ("Audit Failure", "0x8010000000000000"),
];

/// Most values of one event.
const PARAMS_MAX: usize = 99;

/// Names of the levels, from level 1 on.
const LEVELS: [&str; 5] = ["critical", "error", "warning", "information", "verbose"];

/// Adds a field of event data. Several values without a name become one list, `Data`.
pub(super) fn add_data<'a>(draft: &mut Draft<'a>, name: Cow<'a, str>, value: Value<'a>) {
    let value = match value {
        Value::List(items) if name == "Data" => {
            let mut unnamed = Vec::new();
            for item in items {
                add_data_item(draft, item, &mut unnamed);
            }
            match unnamed.len() {
                0 => return,
                1 => unnamed.remove(0),
                _ => Value::List(unnamed),
            }
        }
        value => value,
    };
    if draft.contains(&name) {
        draft.add(format!("EventData_{name}"), value);
    } else {
        draft.add(name, value);
    }
}

/// Adds an item of a list of data: `{"@Name": "X", "#text": "Y"}` is a field; `{"Value": "Y"}`, or
/// an item that is not an object, is a value without a name.
fn add_data_item<'a>(draft: &mut Draft<'a>, item: Value<'a>, unnamed: &mut Vec<Value<'a>>) {
    let Value::Text(Cow::Borrowed(text)) = item else {
        return unnamed.push(item);
    };
    let mut object = DataObject::default();
    if !text.starts_with('{') || JsonReader::new(text).document(&mut object).is_err() {
        return unnamed.push(item);
    }
    let value = object.value.unwrap_or(Value::Text(Cow::Borrowed("")));
    match object.name {
        Some(name) => {
            if let FlatName::Data(name) = names::data(name) {
                draft.add(name, value);
            }
        }
        None => unnamed.push(value),
    }
}

#[derive(Default)]
struct DataObject<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Value<'a>>,
}

impl<'a> FieldSink<'a> for DataObject<'a> {
    fn text(&mut self, name: &'a str, text: &'a str) {
        self.field(Cow::Borrowed(name), Value::Text(Cow::Borrowed(text)));
    }

    fn int(&mut self, name: &'a str, number: i64) {
        self.field(Cow::Borrowed(name), Value::Int(number));
    }

    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        match (name.as_ref(), value) {
            ("@Name" | "Name" | "#attributes.Name", Value::Text(name)) => self.name = Some(name),
            ("#text" | "Value" | "value", value) => self.value = Some(value),
            _ => {}
        }
    }

    fn list_truncated(&mut self) {}
}

/// Converts values to the notation of the XML where the conversion is unambiguous.
pub(super) fn normalize(form: WindowsForm, draft: &mut Draft<'_>) {
    let is_audit = convert_keywords(draft);
    match form {
        WindowsForm::Beats => {
            convert_level(draft, is_audit);
            collect_params(draft);
        }
        WindowsForm::Xml => {
            for (_, value) in &mut draft.fields {
                add_guid_braces(value);
            }
        }
        WindowsForm::Flat
        | WindowsForm::NxLog
        | WindowsForm::FluentBit
        | WindowsForm::PowerShell => {}
    }
}

fn field_mut<'d, 'a>(draft: &'d mut Draft<'a>, name: &str) -> Option<&'d mut Value<'a>> {
    let mut fields = draft.fields.iter_mut();
    let found = fields.find(|(field, _)| field == name);
    found.map(|(_, value)| value)
}

/// Converts keywords from a signed number, or from the rendered text of an audit, to the mask in
/// hexadecimal. Returns whether they were the text of an audit.
fn convert_keywords(draft: &mut Draft<'_>) -> bool {
    let Some(value) = field_mut(draft, "Keywords") else {
        return false;
    };
    let mask = match value {
        Value::Int(mask) => Some(*mask),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    if let Some(mask) = mask {
        *value = Value::Text(Cow::Owned(format!("{:#x}", mask.cast_unsigned())));
        return false;
    }
    let word = match value {
        Value::List(words) => match words.as_slice() {
            [Value::Text(word)] => word,
            _ => return false,
        },
        Value::Text(word) => word,
        _ => return false,
    };
    let Some((_, mask)) = AUDIT_KEYWORDS.iter().find(|(known, _)| known == word) else {
        return false;
    };
    *value = Value::Text(Cow::Borrowed(mask));
    true
}

/// Converts the level from its name, which Beats write. The level of an audit is 0, but Beats render
/// it as information.
fn convert_level(draft: &mut Draft<'_>, is_audit: bool) {
    let Some(value) = field_mut(draft, "Level") else {
        return;
    };
    let Value::Text(word) = &*value else {
        return;
    };
    let known = LEVELS.iter().zip(1..);
    let mut found = known.filter(|(name, _)| word.eq_ignore_ascii_case(name));
    match found.next() {
        Some((_, 4)) if is_audit => *value = Value::Int(0),
        Some((_, level)) => *value = Value::Int(level),
        None => {}
    }
}

/// Collects `param1`, `param2`, ... into the list `Data`. Beats give these names to data without a
/// name; since some data is really called `param1`, the fields stay as well.
fn collect_params(draft: &mut Draft<'_>) {
    let mut values = Vec::new();
    for number in 1..=PARAMS_MAX {
        match field_mut(draft, &format!("param{number}")) {
            Some(value) => values.push(value.clone()),
            None => break,
        }
    }
    match values.len() {
        0 => {}
        1 => draft.add("Data", values.remove(0)),
        _ => draft.add("Data", Value::List(values)),
    }
}

/// Adds the braces of a GUID, which the XML has and EVTX readers omit.
fn add_guid_braces(value: &mut Value<'_>) {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    if let Value::Text(text) = value
        && text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| {
            if DASHES.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
    {
        *text = Cow::Owned(format!("{{{text}}}"));
    }
}
