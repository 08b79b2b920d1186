//! Events in the XML of Windows, which Sysmon for Linux writes too, read into the flat names that
//! Sigma's rules use.
//!
//! What is read is the XML that event logs render: elements, attributes, text, the five entities
//! and character references. Document types are refused, so nothing expands; the cost is one pass.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Zone};
use crate::wrapped;

/// Deepest nesting of elements; user data is the deepest there is, at five.
const DEPTH_MAX: usize = 16;

/// How Windows' own part of an event is written, and its name in the flat form: element, attribute
/// (none: the element's text), name.
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
    // Sysmon for Linux writes it so.
    ("Security", "UserId", "Security_UserID"),
    ("TimeCreated", "RawTime", "TimeCreated_RawTime"),
];

/// Reads a text that is one event, or the beginning of one; false, with nothing written, where it is
/// not.
pub(crate) fn read<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    // A browser's view of the XML, as people copy it, has hyphens where elements fold.
    let text = text.trim_start_matches(['-', ' ']);
    if !text.starts_with("<Event") && !text.starts_with("<?xml") {
        return false;
    }
    let mut event = Reader {
        rest: text,
        open: Vec::new(),
        leaf: None,
        unnamed: Vec::new(),
        draft: Draft::default(),
    };
    let is_whole = event.document().is_some();
    let is_cut = !is_whole && !event.rest.contains('>');
    // Without its computer an event's own part is not all there.
    let needed = if is_cut { "Computer" } else { "EventID" };
    if !is_whole && !is_cut || event.draft.get(needed).is_none() {
        return false;
    }
    let mut event = event.finish();
    if is_cut {
        // Syslog daemons cut at 2 KiB. The value that was cut is no field, as its end is not its
        // end; the text has it.
        event.problem(Problem::Truncated);
        event.message = Cow::Borrowed(text);
    }
    wrapped::absorb(draft, event);
    true
}

/// The product that an event read here is of.
pub(crate) fn product(event: &Draft<'_>) -> &'static str {
    match event.get("Provider_Name") {
        Some(Value::Text(name)) if name == "Linux-Sysmon" => "linux",
        _ => "windows",
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Names of the elements that are open.
    open: Vec<&'a str>,
    /// The element that was opened last, while it has no other in it: attributes and text.
    leaf: Option<(&'a str, Cow<'a, str>)>,
    /// Data without a name.
    unnamed: Vec<Value<'a>>,
    draft: Draft<'a>,
}

impl<'a> Reader<'a> {
    /// Reads to the end of the text; `None` where it is not well formed or too deep. What is left
    /// then has no `>` in it if the text merely ends too early.
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

    /// An element from after its `<`.
    fn element(&mut self, tag: &'a str) -> Option<()> {
        let named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let end = tag.find(|c| !named(c)).filter(|end| *end > 0)?;
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
                self.take(attributes, None)?;
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
            self.take(attributes, Some(text))?;
        }
        self.open.pop();
        Some(())
    }

    /// An element that has no other in it; without `text`, it was written as empty.
    fn take(&mut self, attributes: &'a str, text: Option<Cow<'a, str>>) -> Option<()> {
        match *self.open.as_slice() {
            ["Event", "System", element] => {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    self.system(element, "", text);
                }
                each_attribute(attributes, |name, value| self.system(element, name, value))
            }
            ["Event", "EventData", "Data"] => {
                let mut own = None;
                each_attribute(attributes, |name, value| {
                    if name == "Name" {
                        own = Some(value);
                    }
                })?;
                let Some(text) = text else {
                    return Some(());
                };
                match own {
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
            // What is rendered besides is said in `System` already.
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
        self.draft.put(*name, value);
    }

    /// The event's own data; names without their spaces, and told from those of `System`.
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
        self.draft.put(name, Value::Text(text));
    }

    fn finish(self) -> Draft<'a> {
        let mut draft = self.draft;
        let mut unnamed = self.unnamed;
        match unnamed.len() {
            0 => {}
            1 => draft.put("Data", unnamed.remove(0)),
            _ => {
                if unnamed.len() > crate::FIELDS_MAX {
                    unnamed.truncate(crate::FIELDS_MAX);
                    draft.problem(Problem::TooManyFields);
                }
                draft.put("Data", Value::List(unnamed));
            }
        }
        if let Some(Value::Text(created)) = draft.get("TimeCreated") {
            draft.time = time::iso(created, Zone::UTC);
        }
        if let Some(computer) = draft.get("Computer").cloned() {
            draft.put("host", computer);
        }
        draft.source.product = Some(product(&draft));
        draft
    }
}

/// Where the `>` is that ends a tag; one in an attribute's value does not.
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

/// Text with its entities read. Sysmon for Linux leaves out their semicolons, and what is no entity
/// at all stays as it is: half of what writes this XML does not escape as it should.
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

/// The character that stands after a `&`, and what follows it.
fn entity(tail: &str) -> Option<(char, &str)> {
    /// Longest number that is read: `x10ffff`.
    const NUMBER_BYTES_MAX: usize = 7;
    const NAMED: [(&str, char); 5] = [
        ("lt", '<'),
        ("gt", '>'),
        ("amp", '&'),
        ("quot", '"'),
        ("apos", '\''),
    ];

    if let Some(number) = tail.strip_prefix('#') {
        let mut shown = number.bytes().take(NUMBER_BYTES_MAX + 1);
        let end = shown.position(|b| b == b';')?;
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
