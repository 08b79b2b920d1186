//! What the forms of a Windows event write differently from its XML: lists of data, levels,
//! keywords, GUIDs.

use std::borrow::Cow;

use weir_schema::Value;

use super::Form;
use super::names::{self, Name};
use crate::draft::Draft;
use crate::json::{Reader, Sink};

/// Keywords of an audit that succeeded, or failed, as the XML writes them.
const AUDITS: [(&str, &str); 2] = [
    ("Audit Success", "0x8020000000000000"),
    ("Audit Failure", "0x8010000000000000"),
];

/// An event has at most so many values.
const PARAMS_MAX: usize = 99;

/// The levels' names, from level 1 on.
const LEVELS: [&str; 5] = ["critical", "error", "warning", "information", "verbose"];

/// Puts the event's own data; several without a name are one list, `Data`.
pub(super) fn put<'a>(draft: &mut Draft<'a>, name: Cow<'a, str>, value: Value<'a>) {
    let value = match value {
        Value::List(items) if name == "Data" => {
            let mut unnamed = Vec::new();
            for item in items {
                element(draft, item, &mut unnamed);
            }
            match unnamed.len() {
                0 => return,
                1 => unnamed.remove(0),
                _ => Value::List(unnamed),
            }
        }
        value => value,
    };
    if draft.is_taken(&name) {
        draft.put(format!("EventData_{name}"), value);
    } else {
        draft.put(name, value);
    }
}

/// An element of a list of data: `{"@Name": "X", "#text": "Y"}` is a field, `{"Value": "Y"}` and
/// what is no object a value without a name.
fn element<'a>(draft: &mut Draft<'a>, item: Value<'a>, unnamed: &mut Vec<Value<'a>>) {
    let Value::Text(Cow::Borrowed(text)) = item else {
        return unnamed.push(item);
    };
    let mut element = Element::default();
    if !text.starts_with('{') || Reader::new(text).document(&mut element).is_err() {
        return unnamed.push(item);
    }
    let value = element.value.unwrap_or(Value::Text(Cow::Borrowed("")));
    match element.name {
        Some(name) => {
            if let Name::Data(name) = names::data(name) {
                draft.put(name, value);
            }
        }
        None => unnamed.push(value),
    }
}

#[derive(Default)]
struct Element<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Value<'a>>,
}

impl<'a> Sink<'a> for Element<'a> {
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

    fn list_cut(&mut self) {}
}

/// Writes what the form has in its own way as the XML does, where no doubt is possible.
pub(super) fn of_form(form: Form, draft: &mut Draft<'_>) {
    let is_audit = keywords(draft);
    match form {
        Form::Beats => {
            level(draft, is_audit);
            params(draft);
        }
        Form::Xml => {
            for (_, value) in &mut draft.fields {
                braces(value);
            }
        }
        Form::Flat | Form::NxLog | Form::FluentBit | Form::PowerShell => {}
    }
}

fn slot<'d, 'a>(draft: &'d mut Draft<'a>, name: &str) -> Option<&'d mut Value<'a>> {
    let mut fields = draft.fields.iter_mut();
    let found = fields.find(|(field, _)| field == name);
    found.map(|(_, value)| value)
}

/// Keywords that are a signed number, or the rendered word of an audit, become the mask in
/// hexadecimal. Tells whether they are an audit's.
fn keywords(draft: &mut Draft<'_>) -> bool {
    let Some(value) = slot(draft, "Keywords") else {
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
    let Some((_, mask)) = AUDITS.iter().find(|(known, _)| known == word) else {
        return false;
    };
    *value = Value::Text(Cow::Borrowed(mask));
    true
}

/// Beats write a level's name. An audit's level is 0, and rendered as information.
fn level(draft: &mut Draft<'_>, is_audit: bool) {
    let Some(value) = slot(draft, "Level") else {
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

/// Beats number data without a name: `param1` and so on, and do the same where that is its name.
/// So it gets both.
fn params(draft: &mut Draft<'_>) {
    let mut values = Vec::new();
    for number in 1..=PARAMS_MAX {
        match slot(draft, &format!("param{number}")) {
            Some(value) => values.push(value.clone()),
            None => break,
        }
    }
    match values.len() {
        0 => {}
        1 => draft.put("Data", values.remove(0)),
        _ => draft.put("Data", Value::List(values)),
    }
}

/// Readers of EVTX files leave out the braces of GUIDs, which the XML has.
fn braces(value: &mut Value<'_>) {
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
