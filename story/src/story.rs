//! A parsed story: chapters of steps, each closed by a line with the expected effects under it.

use std::fmt;

use weir_schema::{EventTime, Span};

use crate::effect::Effect;

/// A story: a sequence of events and changes, and all effects that they must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The path of the file, for messages. Rules are looked up beside it.
    pub file: String,
    /// How far behind the watermark an event may correct; `None` for the runner's default.
    pub horizon: Option<Span>,
    pub chapters: Vec<Chapter>,
}

/// The steps between two lines, and the expectations under the second line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    pub steps: Vec<StoryStep>,
    /// Line number in the file of the line that closes the chapter.
    pub line: usize,
    /// The time on that line.
    pub end: EventTime,
    pub effects: Vec<AtLine<Effect>>,
    pub questions: Vec<Question>,
}

/// A value with its line number in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtLine<T> {
    pub line: usize,
    pub value: T,
}

/// One step of a chapter.
pub type StoryStep = AtLine<StepKind>;

/// The kind and content of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    Event(EventStep),
    Change(ChangeStep),
    /// A change that must be refused, with the expected diagnostics.
    RefusedChange(ChangeStep, Vec<AtLine<String>>),
    Restart,
    Stall(String),
    Resume(String),
}

/// An event that a source reports, once or repeatedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStep {
    pub time: EventTime,
    pub source: String,
    pub payload: EventPayload,
    /// Number of occurrences, at least 1.
    pub times: u32,
    /// Interval between two occurrences.
    pub every: Span,
    pub late: bool,
    pub label: Option<String>,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventPayload {
    Fields {
        kind: String,
        fields: Vec<(String, String)>,
    },
    /// The bytes of a frame.
    Raw(Vec<u8>),
}

/// A change that an analyst makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeStep {
    pub kind: SubjectKind,
    /// Whether the subject is added; else it is removed.
    pub add: bool,
    pub subject: String,
    pub fields: Vec<(String, String)>,
    /// For the removal of a rule: the rule is only disabled, and its alerts stay.
    pub disabled: bool,
}

/// The kind of thing that a change adds or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    Rule,
    Indicator,
    Exception,
    Suppression,
    Playbook,
}

impl SubjectKind {
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
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

/// A question, and the rows that an analyst must see as its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub line: usize,
    pub query: String,
    pub rows: Vec<AtLine<String>>,
}

/// A violation of the story format, and its line.
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
