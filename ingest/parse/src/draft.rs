//! An event in the making: fields with a name once and a limit, problems, what the frame says of
//! time and source.

use std::borrow::Cow;
use std::collections::HashMap;

use weir_schema::{Event, LogSource, Problem, Value};

use crate::time::{self, Stamp};
use crate::{Context, FIELDS_MAX};

/// Up to here a scan, behind [`Names`], finds a name faster than a map.
const SCAN_MAX: usize = 64;

/// Which names may be there: what it has not seen is new, which is what most names are.
#[derive(Default)]
struct Names([u64; 8]);

impl Names {
    /// Marks a name; tells whether it, or another with its mark, was marked before.
    fn mark(&mut self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let word = |eight: &[u8; 8]| u64::from_le_bytes(*eight);
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (word(first), word(last)),
            _ => (
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
                0,
            ),
        };
        // An odd number that spreads what differs over the nine highest bits.
        let mixed = (first ^ last.rotate_left(29)).wrapping_add(name.len() as u64);
        let mark = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        let bit = 1 << (mark & 63);
        let Some(word) = self.0.get_mut((mark >> 6) as usize) else {
            return true;
        };
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

/// A field of JSON takes so many bytes and seldom fewer: room is made at once for as many as a text
/// may have, and for no fewer and no more than these.
const FIELD_BYTES: usize = 24;
const ROOM_MIN: usize = 12;
const ROOM_MAX: usize = 64;

/// What the frame itself says of its log source.
#[derive(Default)]
pub(crate) struct Source<'a> {
    pub category: Option<&'a str>,
    pub product: Option<&'a str>,
    pub service: Option<&'a str>,
}

#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    names: Names,
    /// Values that were put into lists of names that stand several times.
    appended: usize,
    /// Once a scan would be slow.
    index: Option<HashMap<Cow<'a, str>, usize>>,
    pub message: Cow<'a, str>,
    pub problems: Vec<Problem>,
    pub source: Source<'a>,
    pub time: Option<Stamp>,
    /// What the frame states of its log source in words of its own; stands over what was
    /// recognised.
    stated: LogSource,
}

impl<'a> Draft<'a> {
    /// Of an event that this text tells.
    pub fn of(text: &str) -> Self {
        Self {
            fields: Vec::with_capacity((text.len() / FIELD_BYTES).clamp(ROOM_MIN, ROOM_MAX)),
            ..Self::default()
        }
    }

    pub fn problem(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Where a field stands that is about to be put there if it is not.
    #[inline]
    fn position(&mut self, name: &str) -> Option<usize> {
        if self.names.mark(name) {
            self.look_up(name)
        } else {
            None
        }
    }

    #[inline(never)]
    fn look_up(&mut self, name: &str) -> Option<usize> {
        if self.fields.len() <= SCAN_MAX {
            return self.fields.iter().position(|(field, _)| field == name);
        }
        let index = self.index.get_or_insert_default();
        for at in index.len()..self.fields.len() {
            if let Some((field, _)) = self.fields.get(at) {
                index.insert(field.clone(), at);
            }
        }
        index.get(name).copied()
    }

    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value)
    }

    fn push(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push((name, value));
        } else {
            self.problem(Problem::TooManyFields);
        }
    }

    /// Adds a field; a name that stands already keeps its value.
    pub fn put(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let name = name.into();
        if self.position(&name).is_none() {
            self.push(name, value);
        }
    }

    /// Adds a text field; a name that stands already keeps its value.
    pub fn text(&mut self, name: &'a str, value: &'a str) {
        self.put(name, Value::Text(Cow::Borrowed(value)));
    }

    /// Sets a field; a name that stands already takes the new value.
    #[inline]
    pub fn set(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        match self.position(&name).and_then(|at| self.fields.get_mut(at)) {
            Some((_, old)) => *old = value,
            None => self.push(name, value),
        }
    }

    /// Sets a field to a text of the frame, which most fields of JSON are.
    #[inline]
    pub fn set_text(&mut self, name: &'a str, text: &'a str) {
        if self.names.mark(name) || self.fields.len() >= FIELDS_MAX {
            self.set(name.into(), Value::Text(text.into()));
        } else {
            self.push_text(name, text);
        }
    }

    /// Sets a field to an integer.
    #[inline]
    pub fn set_int(&mut self, name: &'a str, number: i64) {
        if self.names.mark(name) || self.fields.len() >= FIELDS_MAX {
            self.set(name.into(), Value::Int(number));
        } else {
            self.push_int(name, number);
        }
    }

    /// The field is made where it will lie; what `push` gets is moved there, which takes as long as
    /// to read it.
    #[inline(never)]
    fn push_text(&mut self, name: &'a str, text: &'a str) {
        let field = std::iter::once((name, text));
        let field = field.map(|(name, text)| (name.into(), Value::Text(text.into())));
        self.fields.extend(field);
    }

    #[inline(never)]
    fn push_int(&mut self, name: &'a str, number: i64) {
        let field = std::iter::once((name, number));
        let field = field.map(|(name, number)| (name.into(), Value::Int(number)));
        self.fields.extend(field);
    }

    /// Gives the field that stands at a place another name, which no field has.
    pub fn rename(&mut self, at: usize, name: &'a str) {
        if let Some((field, _)) = self.fields.get_mut(at) {
            *field = Cow::Borrowed(name);
            self.names.mark(name);
            self.index = None;
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) {
        if let Some(at) = self.position(name) {
            self.fields.remove(at);
            // Places have moved; the index is made again when it is needed.
            self.index = None;
        }
    }

    /// Takes all fields away, to be put back under other names.
    pub fn take(&mut self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.names = Names::default();
        self.index = None;
        std::mem::take(&mut self.fields)
    }

    /// Whether a field has this name.
    pub fn is_taken(&mut self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Adds a field; a name that stands already holds all its values in a list.
    pub fn append(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        let Some(at) = self.position(&name) else {
            return self.push(name, value);
        };
        if self.appended == FIELDS_MAX {
            return self.problem(Problem::TooManyFields);
        }
        self.appended += 1;
        match self.fields.get_mut(at) {
            Some((_, Value::List(values))) => values.push(value),
            Some((_, old)) => {
                let first = std::mem::replace(old, Value::Null);
                *old = Value::List(vec![first, value]);
            }
            None => {}
        }
    }

    /// A field that is a number where it reads as one.
    pub fn number(&mut self, name: &'a str, text: &'a str) {
        let value = match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => Value::Int(number),
            _ => Value::Text(Cow::Borrowed(text)),
        };
        self.put(name, value);
    }

    pub fn linux(&mut self, service: &'a str) {
        self.source.product = Some("linux");
        self.source.service = Some(service);
    }

    /// What is said of the log source so far, in words that outlive the frame.
    pub fn words(&self) -> LogSource {
        let word = |stated: &Option<String>, own: Option<&str>| {
            stated.clone().or_else(|| own.map(str::to_owned))
        };
        LogSource {
            category: word(&self.stated.category, self.source.category),
            product: word(&self.stated.product, self.source.product),
            service: word(&self.stated.service, self.source.service),
        }
    }

    /// Takes the log source that the frame states.
    pub fn state(&mut self, stated: LogSource) {
        self.stated = stated;
    }

    pub fn finish(mut self, context: &Context<'_>) -> Event<'a> {
        let time = time::settle(self.time, context, &mut self.problems);
        self.problems.sort_unstable();
        let Source {
            category,
            product,
            service,
        } = self.source;
        let declared = context.logsource;
        let word = |declared: Option<&String>, stated: Option<String>, own: Option<&str>| {
            declared
                .cloned()
                .or(stated)
                .or_else(|| own.map(str::to_owned))
        };
        let stated = self.stated;
        let logsource = LogSource {
            category: word(
                declared.and_then(|d| d.category.as_ref()),
                stated.category,
                category,
            ),
            product: word(
                declared.and_then(|d| d.product.as_ref()),
                stated.product,
                product,
            ),
            service: word(
                declared.and_then(|d| d.service.as_ref()),
                stated.service,
                service,
            ),
        };
        Event {
            time,
            logsource,
            fields: self.fields,
            message: self.message,
            problems: self.problems,
        }
    }
}
