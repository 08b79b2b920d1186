//! `Draft`: an event under construction, with unique field names, a field limit, problems, time and
//! log source.

mod limit;

use std::borrow::Cow;
use std::collections::HashMap;

use weir_schema::{Event, LogSource, Problem, Value, Weight};

use crate::time::{self, Timestamp};
use crate::{Context, FIELDS_MAX, repeat};

/// Most fields for which a linear scan, behind [`NameFilter`], finds a name faster than a map.
const SCAN_MAX: usize = 64;

/// The field with the time that a frame states, if it is not credible.
const STATED_TIME: &str = "stated_time";

/// A Bloom filter with one hash function over field names. It answers "new name" without a scan,
/// and most names are new.
#[derive(Default)]
struct NameFilter([u64; 8]);

impl NameFilter {
    /// Inserts a name. Returns true if the name, or another one with the same bit, was inserted
    /// before.
    fn insert(&mut self, name: &str) -> bool {
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
        // Multiplying by an odd constant spreads the differences over the nine highest bits.
        let mixed = (first ^ last.rotate_left(29)).wrapping_add(name.len() as u64);
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        let bit = 1 << (hash & 63);
        let Some(word) = self.0.get_mut((hash >> 6) as usize) else {
            return true;
        };
        let was_set = *word & bit != 0;
        *word |= bit;
        was_set
    }
}

/// Bytes of text per JSON field; few fields take less. The length of the text divided by this is the
/// initial capacity for fields, within [`CAPACITY_MIN`] and [`CAPACITY_MAX`].
const FIELD_BYTES: usize = 24;
const CAPACITY_MIN: usize = 12;
const CAPACITY_MAX: usize = 64;

/// A log source whose parts borrow from the frame.
#[derive(Default)]
pub(crate) struct LogSourceRef<'a> {
    pub category: Option<&'a str>,
    pub product: Option<&'a str>,
    pub service: Option<&'a str>,
}

#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    names: NameFilter,
    /// Number of fields at the end that were looked at for a place, see [`Draft::replace_minor`].
    looked_at: usize,
    /// Number of values that [`Draft::append`] added to existing fields.
    appended: usize,
    /// Positions of the fields by name; built when there are too many fields for a scan.
    index: Option<HashMap<Cow<'a, str>, usize>>,
    pub message: Cow<'a, str>,
    pub problems: Vec<Problem>,
    /// The log source that the readers recognized.
    pub logsource: LogSourceRef<'a>,
    pub time: Option<Timestamp>,
    pub weight: Weight,
    /// Number of syslog headers in front of the message.
    pub headers: u8,
    /// Whether a program wrote the frame into its message, so that it may carry no other line.
    pub is_quoted: bool,
    /// The log source that the frame states itself. It takes precedence over `logsource`.
    stated_logsource: LogSource,
}

impl<'a> Draft<'a> {
    /// Creates an empty draft with capacity for the fields of this text.
    pub fn for_text(text: &str) -> Self {
        let capacity = (text.len() / FIELD_BYTES).clamp(CAPACITY_MIN, CAPACITY_MAX);
        Self {
            fields: Vec::with_capacity(capacity),
            ..Self::default()
        }
    }

    pub fn add_problem(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Returns the position of the field, and registers its name in the filter. Callers that get
    /// `None` must add the field.
    #[inline]
    fn register(&mut self, name: &str) -> Option<usize> {
        if self.names.insert(name) {
            self.find(name)
        } else {
            None
        }
    }

    #[inline(never)]
    fn find(&mut self, name: &str) -> Option<usize> {
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
            self.add_problem(Problem::TooManyFields);
            self.replace_minor(name, value);
        }
    }

    /// Adds a field. An existing field of this name keeps its value.
    pub fn add(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let name = name.into();
        if self.register(&name).is_none() {
            self.push(name, value);
        }
    }

    /// Adds a text field. An existing field of this name keeps its value.
    pub fn add_text(&mut self, name: &'a str, value: &'a str) {
        self.add(name, Value::Text(Cow::Borrowed(value)));
    }

    /// Adds an integer field if the text is an integer, else a text field. An existing field of
    /// this name keeps its value.
    pub fn add_number(&mut self, name: &'a str, text: &'a str) {
        let value = match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => Value::Int(number),
            _ => Value::Text(Cow::Borrowed(text)),
        };
        self.add(name, value);
    }

    /// Sets a field. An existing field of this name takes the new value.
    #[inline]
    pub fn set(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        match self.register(&name).and_then(|at| self.fields.get_mut(at)) {
            Some((_, old)) => *old = value,
            None => self.push(name, value),
        }
    }

    /// Sets a field to a text of the frame, as most JSON fields are.
    #[inline]
    pub fn set_text(&mut self, name: &'a str, text: &'a str) {
        if self.names.insert(name) || self.fields.len() >= FIELDS_MAX {
            self.set(name.into(), Value::Text(text.into()));
        } else {
            self.push_text(name, text);
        }
    }

    /// Sets a field to an integer.
    #[inline]
    pub fn set_int(&mut self, name: &'a str, number: i64) {
        if self.names.insert(name) || self.fields.len() >= FIELDS_MAX {
            self.set(name.into(), Value::Int(number));
        } else {
            self.push_int(name, number);
        }
    }

    /// Builds the field in place. [`Draft::push`] moves the field, and that move takes as long as
    /// reading it.
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

    /// Renames the field at a position. No other field may have the new name.
    pub fn rename(&mut self, at: usize, name: &'a str) {
        if let Some((field, _)) = self.fields.get_mut(at) {
            *field = Cow::Borrowed(name);
            self.names.insert(name);
            self.index = None;
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        if let Some(at) = self.register(name) {
            self.fields.remove(at);
            // Positions have changed; the index is rebuilt on demand.
            self.index = None;
        }
    }

    /// Removes the fields from this position on.
    pub fn truncate_fields(&mut self, length: usize) {
        self.fields.truncate(length);
        (self.index, self.looked_at) = (None, 0);
    }

    /// Removes and returns all fields. The caller adds them again under other names.
    pub fn take_fields(&mut self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.names = NameFilter::default();
        (self.index, self.looked_at) = (None, 0);
        std::mem::take(&mut self.fields)
    }

    /// Returns whether a field of this name exists. The caller must add one if it does not.
    pub fn contains(&mut self, name: &str) -> bool {
        self.register(name).is_some()
    }

    /// Adds a value. A field that is added several times holds the list of its values.
    pub fn append(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        let Some(at) = self.register(&name) else {
            return self.push(name, value);
        };
        if self.appended == FIELDS_MAX {
            return self.add_problem(Problem::TooManyFields);
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

    pub fn set_linux_service(&mut self, service: &'a str) {
        self.logsource.product = Some("linux");
        self.logsource.service = Some(service);
    }

    pub fn set_stated_logsource(&mut self, stated: LogSource) {
        self.stated_logsource = stated;
    }

    /// Takes the time that a record states among its pairs, in the first of these fields that has one.
    /// A time with an offset is the innermost and wins; one without counts if no header has a time.
    pub fn set_pair_time(&mut self, names: &[&str], context: &Context<'_>) {
        let times = names.iter().filter_map(|name| match self.get(name)? {
            Value::Text(text) => time::clock::stated_time(text, context),
            _ => None,
        });
        let stated = times.into_iter().next();
        if let Some(stated) = stated.filter(|stated| stated.has_offset || self.time.is_none()) {
            self.time = Some(stated.time);
        }
    }

    /// Returns the log source known so far: the stated parts, else the recognized ones.
    fn owned_logsource(&self) -> LogSource {
        let part = |stated: &Option<String>, recognized: Option<&str>| {
            stated.clone().or_else(|| recognized.map(str::to_owned))
        };
        let (stated, recognized) = (&self.stated_logsource, &self.logsource);
        LogSource {
            category: part(&stated.category, recognized.category),
            product: part(&stated.product, recognized.product),
            service: part(&stated.service, recognized.service),
        }
    }

    /// Merges the event found inside this one. The inner event takes precedence in fields, time,
    /// log source and message; a different host of the carrier becomes `relay_host`.
    pub fn replace_with_inner(&mut self, inner: Draft<'a>) {
        // Zeek calls the requested server so.
        if inner.logsource.product == Some("zeek")
            && let Some(at) = self.fields.iter().position(|(name, _)| name == "host")
            && !self.contains("relay_host")
        {
            self.rename(at, "relay_host");
        }
        if let (Some(relay), Some(host)) = (self.get("host"), inner.get("host"))
            && relay != host
        {
            let relay = relay.clone();
            self.add("relay_host", relay);
        }
        let has_relay = self.get("relay_host").is_some();
        for (name, value) in inner.fields {
            // The relay that sent the frame is the one that matters.
            if !(has_relay && name == "relay_host") {
                self.set(name, value);
            }
        }
        for problem in inner.problems {
            self.add_problem(problem);
        }
        self.logsource = inner.logsource;
        if inner.stated_logsource != LogSource::default() {
            self.stated_logsource = inner.stated_logsource;
        }
        self.time = inner.time.or(self.time);
        self.weight = self.weight.max(inner.weight);
        self.message = inner.message;
    }

    /// Merges the members of an object in the message. A field of the carrier stays; a different
    /// member of its name is added as `event.NAME`.
    pub fn add_members(&mut self, inner: Draft<'a>) {
        for (name, value) in inner.fields {
            match self.get(&name) {
                None => self.add(name, value),
                Some(own) if *own == value => {}
                Some(_) => self.add(format!("event.{name}"), value),
            }
        }
        for problem in inner.problems {
            self.add_problem(problem);
        }
        if inner.stated_logsource != LogSource::default() {
            self.stated_logsource = inner.stated_logsource;
        }
        self.time = inner.time.or(self.time);
        self.weight = self.weight.max(inner.weight);
        self.message = inner.message;
    }

    /// Copies what borrows from a text that does not live as long as the frame.
    pub fn into_owned<'b>(self) -> Draft<'b> {
        let mut owned = Draft::default();
        owned.set_stated_logsource(self.owned_logsource());
        for (name, value) in self.fields {
            owned.add(name.into_owned(), value.into_owned());
        }
        owned.message = Cow::Owned(self.message.into_owned());
        (owned.time, owned.problems, owned.headers) = (self.time, self.problems, self.headers);
        owned.weight = self.weight;
        owned
    }

    /// Merges what was read from a text that does not live as long as the frame. Existing fields
    /// and an existing message stay; the time is left to the caller.
    pub fn add_owned(&mut self, other: Draft<'_>) {
        self.set_stated_logsource(other.owned_logsource());
        for (name, value) in other.fields {
            self.add(name.into_owned(), value.into_owned());
        }
        for problem in other.problems {
            self.add_problem(problem);
        }
        self.weight = self.weight.max(other.weight);
        if self.message.is_empty() {
            self.message = Cow::Owned(other.message.into_owned());
        }
    }

    /// Turns the draft into an event. Each part of the log source is the declared one, else the
    /// stated one, else the recognized one.
    pub fn finish(mut self, context: &Context<'_>) -> Event<'a> {
        let judged = time::event_time(self.time, context, &mut self.problems);
        if let Some(stated) = judged.stated {
            let text = time::text(stated);
            self.set(Cow::Borrowed(STATED_TIME), Value::Text(Cow::Owned(text)));
        }
        if repeat::is_reported(&self.message) {
            self.add_problem(Problem::RepeatUncounted);
        }
        self.problems.sort_unstable();
        let part = |declared: Option<&String>, stated: Option<String>, recognized: Option<&str>| {
            declared
                .cloned()
                .or(stated)
                .or_else(|| recognized.map(str::to_owned))
        };
        let declared = context.logsource;
        let (stated, recognized) = (self.stated_logsource, self.logsource);
        let logsource = LogSource {
            category: part(
                declared.and_then(|d| d.category.as_ref()),
                stated.category,
                recognized.category,
            ),
            product: part(
                declared.and_then(|d| d.product.as_ref()),
                stated.product,
                recognized.product,
            ),
            service: part(
                declared.and_then(|d| d.service.as_ref()),
                stated.service,
                recognized.service,
            ),
        };
        Event {
            time: judged.time,
            stated: judged.stated,
            logsource,
            fields: self.fields,
            message: self.message,
            problems: self.problems,
            weight: self.weight,
        }
    }
}
