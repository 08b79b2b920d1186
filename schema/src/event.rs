//! Events: normalized fields under the source's own names, with the problems found while parsing.

use std::borrow::Cow;

use crate::time::EventTime;
use crate::time_mark::TimeMark;
use crate::weight::Weight;

/// The value of a field. Numbers keep their exact form; other types become text, lists or `Null`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that does not fit an `i64`, as it was written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The text for comparison in rules and for group keys; `None` for `Null` and lists.
    #[must_use]
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null | Self::List(_) => None,
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Int(n) => Some(Cow::Owned(n.to_string())),
            Self::Number(text) | Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// The same value, owning its text.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(n) => Value::Int(n),
            Self::Number(text) => Value::Number(Cow::Owned(text.into_owned())),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(values) => Value::List(values.into_iter().map(Value::into_owned).collect()),
        }
    }
}

/// The kind of log that an event comes from, as in Sigma.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogSource {
    pub category: Option<String>,
    pub product: Option<String>,
    pub service: Option<String>,
}

/// A problem with a frame. The frame is stored and evaluated all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// The frame does not match its format. The parts that can be read are fields; without any, all of it
    /// becomes the message.
    Unparsed,
    /// The frame is not valid UTF-8. The message has replacement characters; the frame keeps its
    /// bytes.
    InvalidUtf8,
    /// The frame was cut at the limit of its transport.
    Truncated,
    /// The frame has no readable time; the time of receipt is used.
    TimeMissing,
    /// The time lies outside the years 2000 to 2261; the time of receipt is used.
    TimeAbsurd,
    /// The time lies after receipt by more than the tolerance; the time of receipt is used.
    TimeInFuture,
    /// A JSON object states a second time that differs by more than a day.
    TimesDiffer,
    /// JSON is nested too deeply, or its names are too long; the value there stays text, or is missing.
    TooDeep,
    /// The frame has more fields than the limit; the event lacks others, of unknown names if possible.
    TooManyFields,
    /// The FlatBuffers verifier rejected the frame.
    InvalidFlatbuffer,
    /// The line says that a message was repeated, but not which, or not credibly how often. The
    /// repeats are not counted, or only [`Weight::MAX`] of them.
    RepeatUncounted,
}

impl Problem {
    /// All problems, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Unparsed,
        Self::InvalidUtf8,
        Self::Truncated,
        Self::TimeMissing,
        Self::TimeAbsurd,
        Self::TimeInFuture,
        Self::TimesDiffer,
        Self::TooDeep,
        Self::TooManyFields,
        Self::InvalidFlatbuffer,
        Self::RepeatUncounted,
    ];

    /// The label in metrics, the API and stories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unparsed => "unparsed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Truncated => "truncated",
            Self::TimeMissing => "time_missing",
            Self::TimeAbsurd => "time_absurd",
            Self::TimeInFuture => "time_in_future",
            Self::TimesDiffer => "times_differ",
            Self::TooDeep => "too_deep",
            Self::TooManyFields => "too_many_fields",
            Self::InvalidFlatbuffer => "invalid_flatbuffer",
            Self::RepeatUncounted => "repeat_uncounted",
        }
    }
}

/// One event. Fields are in the order of the frame, and each name occurs once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub time: EventTime,
    /// The time that the frame states, if it is not credible and can be represented. Then `time` is
    /// that of receipt.
    pub stated: Option<EventTime>,
    pub logsource: LogSource,
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// The message of a log line, or the field `message`, `Message`, `msg` or `log` of a JSON
    /// object, or empty. For a frame that cannot be parsed it is the whole frame. Keyword searches
    /// read it and the text of every field's value.
    pub message: Cow<'a, str>,
    pub problems: Vec<Problem>,
    /// The number of events for which the line stands, as its form says. No field sets it.
    pub weight: Weight,
}

impl<'a> Event<'a> {
    /// The mark of an event whose stated time is not credible.
    #[must_use]
    pub fn time_mark(&self) -> Option<TimeMark> {
        let is_doubt =
            |problem: &Problem| matches!(problem, Problem::TimeAbsurd | Problem::TimeInFuture);
        let doubted = self.problems.iter().any(is_doubt);
        doubted.then_some(TimeMark::NotCredible)
    }

    /// The value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }
}
