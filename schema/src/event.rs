//! What a source says happened, normalized: fields under the source's own names, with what went wrong in reading it.

use std::borrow::Cow;

use crate::time::EventTime;

/// A field's value. Numbers keep their exact form; anything else that a format can say is text, a list, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no `i64`, in the form in which it was written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The text that a rule compares and a group is named by; `None` for `Null` and lists.
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

/// What kind of log an event is from, in Sigma's three words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogSource {
    pub category: Option<String>,
    pub product: Option<String>,
    pub service: Option<String>,
}

/// Something that was wrong with a frame. The frame is kept all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// The frame is not what its format promises; it is kept as a message.
    Unparsed,
    /// The frame is not valid UTF-8; the message shows replacement characters, the frame keeps its bytes.
    InvalidUtf8,
    /// The frame was cut at the limit of its transport.
    Truncated,
    /// No time could be read; the time of receipt stands for it.
    TimeMissing,
    /// The time lies outside the years 1970 to 2261; the time of receipt stands for it.
    TimeAbsurd,
    /// The time lies beyond receipt and tolerance; no correlation sees the event.
    TimeInFuture,
    /// JSON is nested too deeply, or under names too long; the rest is kept as a message.
    TooDeep,
    /// More fields than the limit; those beyond it were left out of the event.
    TooManyFields,
    /// The FlatBuffers verifier refused the frame.
    InvalidFlatbuffer,
}

impl Problem {
    /// All problems, in the order of their labels' declaration.
    pub const ALL: [Self; 9] = [
        Self::Unparsed,
        Self::InvalidUtf8,
        Self::Truncated,
        Self::TimeMissing,
        Self::TimeAbsurd,
        Self::TimeInFuture,
        Self::TooDeep,
        Self::TooManyFields,
        Self::InvalidFlatbuffer,
    ];

    /// The label that metrics, the API and stories use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unparsed => "unparsed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Truncated => "truncated",
            Self::TimeMissing => "time_missing",
            Self::TimeAbsurd => "time_absurd",
            Self::TimeInFuture => "time_in_future",
            Self::TooDeep => "too_deep",
            Self::TooManyFields => "too_many_fields",
            Self::InvalidFlatbuffer => "invalid_flatbuffer",
        }
    }
}

/// One event. Fields are in the order in which the frame has them; a name stands once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub time: EventTime,
    pub logsource: LogSource,
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// What the source says in words: the message of a log line, or the field `message`, `Message`,
    /// `msg` or `log` of a JSON object; empty where that has none. A frame that cannot be read is
    /// its own message. Keyword searches read it, and the text of every field's value.
    pub message: Cow<'a, str>,
    pub problems: Vec<Problem>,
}

impl<'a> Event<'a> {
    /// The value of the field called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }
}
