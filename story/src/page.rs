//! A story as it was read: chapters of steps, each closed by a line, under which the effects stand.

use std::fmt;

use weir_schema::{EventTime, Span};

use crate::effect::Effect;

/// A story: what happens, and everything that may be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The file, as messages name it; rules are looked for beside it.
    pub file: String,
    /// How far behind the watermark an event may correct; the default of the system where absent.
    pub horizon: Option<Span>,
    pub chapters: Vec<Chapter>,
}

/// The steps between two lines, and what stands under the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    pub steps: Vec<Step>,
    /// Number in the file of the line that closes the chapter.
    pub line: usize,
    /// The time that the line writes.
    pub closes: EventTime,
    pub effects: Vec<Written<Effect>>,
    pub asks: Vec<Ask>,
}

/// Something with the number of the line in the file on which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    pub line: usize,
    pub it: T,
}

/// One step of a chapter.
pub type Step = Written<What>;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Event(EventStep),
    Change(ChangeStep),
    /// A change that must be refused, with the diagnostics that say why.
    Refused(ChangeStep, Vec<Written<String>>),
    Restart,
    Stall(String),
    Resume(String),
}

/// Something that a source reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStep {
    pub time: EventTime,
    pub source: String,
    pub payload: Payload,
    /// How many times it happens, from 1 ...
    pub times: u32,
    /// ... and how long after each other.
    pub every: Span,
    pub late: bool,
    pub label: Option<String>,
}

/// What an event holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Fields {
        kind: String,
        fields: Vec<(String, String)>,
    },
    /// A frame as it is.
    Raw(Vec<u8>),
}

/// What an analyst changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeStep {
    pub noun: Noun,
    pub put: bool,
    pub subject: String,
    pub fields: Vec<(String, String)>,
    /// For a rule taken away: it is stopped, and what it said stands.
    pub disabled: bool,
}

/// What can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Rule,
    Indicator,
    Exception,
    Suppression,
    Playbook,
}

impl Noun {
    pub const ALL: [Self; 5] = [
        Self::Rule,
        Self::Indicator,
        Self::Exception,
        Self::Suppression,
        Self::Playbook,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Indicator => "indicator",
            Self::Exception => "exception",
            Self::Suppression => "suppression",
            Self::Playbook => "playbook",
        }
    }

    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noun| noun.name() == word)
    }
}

/// A question, and the rows that an analyst would see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub line: usize,
    pub query: String,
    pub rows: Vec<Written<String>>,
}

/// Where and how a story breaks the laws of its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryError {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for StoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for StoryError {}
