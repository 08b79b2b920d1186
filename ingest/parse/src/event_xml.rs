//! Windows event XML, also written by Sysmon for Linux: reads it into the flat names that Sigma's
//! rules use.
//!
//! The reader knows the XML that event logs render: elements, attributes, text, the five entities
//! and character references. It rejects document types, so no entity expands. It takes one pass.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Zone};

/// Deepest nesting of elements. Real events have at most five levels, in user data.
const DEPTH_MAX: usize = 16;

/// Fields of the `System` element: element, attribute (empty for the text of the element), and name
/// in the flat form.
const SYSTEM: [(&str, &str, &str); 20] = [
    ("Provider", "Name", "Provider_Name"),
    ("Provider", "Guid", "Provider_Guid"),
    ("EventID", "", "EventID"),
    ("EventID", "Qualifiers", "Qualifiers"),
    ("Version", "", "Version"),
    ("Level", "", "Level"),
    ("Task", "", "Task"),
    ("Opcode", "", "Opcode"),
    ("Keywords", "", "Keywords"),
    ("TimeCreated", "SystemTime", "TimeCreated"),
    ("EventRecordID", "", "EventRecordID"),
    ("Correlation", "ActivityID", "Correlation_ActivityID"),
    (
        "Correlation",
        "RelatedActivityID",
        "Correlation_RelatedActivityID",
    ),
    ("Execution", "ProcessID", "Execution_ProcessID"),
    ("Execution", "ThreadID", "Execution_ThreadID"),
    ("Channel", "", "Channel"),
    ("Computer", "", "Computer"),
    ("Security", "UserID", "Security_UserID"),
    // The spelling of Sysmon for Linux.
    ("Security", "UserId", "Security_UserID"),
    ("TimeCreated", "RawTime", "TimeCreated_RawTime"),
];

/// Reads a text that is one event, or a truncated one. Returns false, with nothing changed, for other
/// texts.
pub(crate) fn read<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    // XML copied from a browser's tree view has hyphens in front of foldable elements.
    let text = text.trim_start_matches(['-', ' ']);
    if !text.starts_with("<Event") && !text.starts_with("<?xml") {
        return false;
    }
    let mut reader = XmlReader {
        rest: text,
        open: Vec::new(),
        leaf: None,
        unnamed: Vec::new(),
        draft: Draft::default(),
    };
    let is_whole = reader.document().is_some();
    let is_truncated = !is_whole && !reader.rest.contains('>');
    // `Computer` is near the end of `System`. Without it the `System` element is incomplete.
    let required = if is_truncated { "Computer" } else { "EventID" };
    if !is_whole && !is_truncated || reader.draft.get(required).is_none() {
        return false;
    }
    let mut event = reader.finish();
    if is_truncated {
        // Some syslog daemons truncate at 2 KiB. The incomplete value does not become a field; the
        // message still contains it.
        event.add_problem(Problem::Truncated);
        event.message = Cow::Borrowed(text);
    }
    draft.replace_with_inner(event);
    true
}

/// Returns the product of an event that [`read`] has read.
pub(crate) fn product(event: &Draft<'_>) -> &'static str {
    match event.get("Provider_Name") {
        Some(Value::Text(name)) if name == "Linux-Sysmon" => "linux",
        _ => "windows",
    }
}

struct XmlReader<'a> {
    rest: &'a str,
    /// Names of the open elements.
    open: Vec<&'a str>,
    /// Attributes and text of the innermost open element, until it gets a child element.
    leaf: Option<(&'a str, Cow<'a, str>)>,
    /// Values of data without a name.
    unnamed: Vec<Value<'a>>,
    draft: Draft<'a>,
}

impl<'a> XmlReader<'a> {
    /// Reads to the end of the text; `None` if it is not well formed or too deep. If the text is
    /// merely truncated, the unread rest has no `>`.
    fn document(&mut self) -> Option<()> {
        while !self.rest.is_empty() {
            if let Some(rest) = self.rest.strip_prefix("<?") {
                self.rest = rest.split_once("?>")?.1;
            } else if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.rest = rest.split_once("-->")?.1;
            } else if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
                let (text, rest) = rest.split_once("]]>")?;
                self.rest = rest;
                self.text(Cow::Borrowed(text));
            } else if let Some(rest) = self.rest.strip_prefix("</") {
                let (name, rest) = rest.split_once('>')?;
                self.rest = rest;
                self.close(name.trim_ascii_end())?;
            } else if let Some(rest) = self.rest.strip_prefix('<') {
                self.element(rest)?;
            } else {
                let end = memchr::memchr(b'<', self.rest.as_bytes());
                let (text, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
                self.rest = rest;
                self.text(unescape(text));
            }
        }
        self.open.is_empty().then_some(())
    }

    fn text(&mut self, text: Cow<'a, str>) {
        if let Some((_, before)) = &mut self.leaf {
            if before.is_empty() {
                *before = text;
            } else {
                before.to_mut().push_str(&text);
            }
        }
    }

    /// Reads an element after its `<`.
    fn element(&mut self, tag: &'a str) -> Option<()> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let end = tag.find(|c| !is_name(c)).filter(|end| *end > 0)?;
        let (name, rest) = tag.split_at_checked(end)?;
        let end = tag_end(rest)?;
        let (attributes, rest) = rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        if self.open.len() == DEPTH_MAX {
            return None;
        }
        self.open.push(name);
        match attributes.strip_suffix('/') {
            None => self.leaf = Some((attributes, Cow::Borrowed(""))),
            Some(attributes) => {
                self.leaf_element(attributes, None)?;
                self.open.pop();
                self.leaf = None;
            }
        }
        Some(())
    }

    fn close(&mut self, name: &str) -> Option<()> {
        if self.open.last() != Some(&name) {
            return None;
        }
        if let Some((attributes, text)) = self.leaf.take() {
            self.leaf_element(attributes, Some(text))?;
        }
        self.open.pop();
        Some(())
    }

    /// Reads an element without child elements. An empty-element tag has no `text`.
    fn leaf_element(&mut self, attributes: &'a str, text: Option<Cow<'a, str>>) -> Option<()> {
        match *self.open.as_slice() {
            ["Event", "System", element] => {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    self.system(element, "", text);
                }
                each_attribute(attributes, |name, value| self.system(element, name, value))
            }
            ["Event", "EventData", "Data"] => {
                let mut data_name = None;
                each_attribute(attributes, |name, value| {
                    if name == "Name" {
                        data_name = Some(value);
                    }
                })?;
                let Some(text) = text else {
                    return Some(());
                };
                match data_name {
                    Some(name) => self.data(name, text),
                    None => self.unnamed.push(Value::Text(text)),
                }
                Some(())
            }
            ["Event", "EventData" | "UserData", .., element] => {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    self.data(Cow::Borrowed(element), text);
                }
                Some(())
            }
            ["Event", "RenderingInfo", "Message"] => {
                self.draft.message = text.clone().unwrap_or_default();
                self.data(Cow::Borrowed("Message"), text?);
                Some(())
            }
            // The other rendered values repeat those of `System`.
            _ => Some(()),
        }
    }

    fn system(&mut self, element: &str, attribute: &str, value: Cow<'a, str>) {
        let mut known = SYSTEM.iter();
        let known = known.find(|(e, a, _)| *e == element && *a == attribute);
        let Some((_, _, name)) = known else {
            return;
        };
        let value = match value.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Text(value),
        };
        self.draft.add(*name, value);
    }

    /// Adds event data, under its name without spaces. A name of `System` gets a prefix.
    fn data(&mut self, name: Cow<'a, str>, text: Cow<'a, str>) {
        let name = if name.contains(' ') {
            Cow::Owned(name.replace(' ', ""))
        } else {
            name
        };
        let is_system = name == "host" || SYSTEM.iter().any(|(_, _, system)| *system == name);
        let name = if is_system {
            Cow::Owned(format!("EventData_{name}"))
        } else {
            name
        };
        self.draft.add(name, Value::Text(text));
    }

    fn finish(self) -> Draft<'a> {
        let mut draft = self.draft;
        let mut unnamed = self.unnamed;
        match unnamed.len() {
            0 => {}
            1 => draft.add("Data", unnamed.remove(0)),
            _ => {
                if unnamed.len() > crate::FIELDS_MAX {
                    unnamed.truncate(crate::FIELDS_MAX);
                    draft.add_problem(Problem::TooManyFields);
                }
                draft.add("Data", Value::List(unnamed));
            }
        }
        if let Some(Value::Text(created)) = draft.get("TimeCreated") {
            draft.time = time::iso(created, Zone::UTC);
        }
        if let Some(computer) = draft.get("Computer").cloned() {
            draft.add("host", computer);
        }
        draft.logsource.product = Some(product(&draft));
        draft
    }
}

/// Returns the position of the `>` that ends a tag. A `>` in the value of an attribute does not.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    tag.bytes().position(|byte| {
        match quote {
            Some(open) if open == byte => quote = None,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            _ => {}
        }
        quote.is_none() && byte == b'>'
    })
}

fn each_attribute<'a>(
    attributes: &'a str,
    mut take: impl FnMut(&'a str, Cow<'a, str>),
) -> Option<()> {
    let mut rest = attributes.trim_ascii();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=')?;
        let tail = tail.trim_ascii_start();
        let quote = tail.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, tail) = tail.get(1..)?.split_once(quote)?;
        take(name.trim_ascii(), unescape(value));
        rest = tail.trim_ascii_start();
    }
    Some(())
}

/// Decodes the entities of a text. Sysmon for Linux omits their semicolons. An `&` without an entity
/// stays, because many writers of this XML do not escape it.
fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once('&') {
        out.push_str(plain);
        rest = match entity(tail) {
            Some((character, tail)) => {
                out.push(character);
                tail
            }
            None => {
                out.push('&');
                tail
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reads an entity after its `&`. Returns its character and the rest of the text.
fn entity(tail: &str) -> Option<(char, &str)> {
    /// Longest character number: `x10ffff`.
    const NUMBER_BYTES_MAX: usize = 7;
    const NAMED: [(&str, char); 5] = [
        ("lt", '<'),
        ("gt", '>'),
        ("amp", '&'),
        ("quot", '"'),
        ("apos", '\''),
    ];

    if let Some(number) = tail.strip_prefix('#') {
        let mut number_bytes = number.bytes().take(NUMBER_BYTES_MAX + 1);
        let end = number_bytes.position(|b| b == b';')?;
        let (digits, tail) = (number.get(..end)?, number.get(end + 1..)?);
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        return Some((char::from_u32(code.ok()?)?, tail));
    }
    let mut named = NAMED.into_iter();
    named.find_map(|(name, character)| {
        let tail = tail.strip_prefix(name)?;
        Some((character, tail.strip_prefix(';').unwrap_or(tail)))
    })
}
