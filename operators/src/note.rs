//! Notes: reports of the operators that are not alert rows.

use weir_schema::{
    BatchSeq, Event, EventTime, Position, Problem, RuleId, RuleTimes, SourceKey, TimeMark,
};

use crate::source_problem::SourceProblemCounts;

/// A report of the work, made on the worker that did it.
#[derive(Clone, Debug)]
pub enum Note {
    Batch(BatchNote),
    /// A rule matched an event. Emitted on request.
    Match(Position, RuleId),
    /// A normalized event as JSON. Emitted on request.
    Event(Position, String),
    /// A problem with the frame at this position. Emitted on request.
    Problem(Position, Problem),
    /// A rule entry was refused, or has a warning. Emitted by the first worker.
    Diagnostic(String),
    /// The number of sources with a problem. Emitted when it changes.
    Sources(SourceProblemCounts),
    /// Events of a source that got a mark in this epoch, and their number.
    Marked(SourceKey, TimeMark, u64),
    /// The working time of rules since the last such note of the same operator.
    Times(RuleTimes),
}

/// Counts of one batch.
#[derive(Clone, Debug)]
pub struct BatchNote {
    pub batch: BatchSeq,
    /// The greatest credible event time in it.
    pub greatest: EventTime,
    /// The latest time of an event in it, also of one that counts at its receipt.
    pub latest: EventTime,
    pub events: u64,
    pub matches: u64,
    pub facts: u64,
    /// Facts without a group, because a group-by field was missing.
    pub ungrouped: u64,
    /// Facts without the value that their plan computes with.
    pub valueless: u64,
    /// By place in [`Problem::ALL`].
    pub problems: [u64; Problem::ALL.len()],
    /// Events with at least one problem.
    pub events_with_problems: u64,
    /// Events without a log source, or with a problem.
    pub unread: u64,
    /// The first of them, at most [`BatchNote::UNREAD_SAMPLES_MAX`].
    pub unread_samples: Vec<Position>,
    pub source: SourceKey,
}

impl BatchNote {
    /// Most positions of unread events: a person looks at few.
    pub const UNREAD_SAMPLES_MAX: usize = 3;

    /// Counts an event and its time.
    pub fn add_event(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.latest = self.latest.max(event.time);
        if event.time_mark().is_none() {
            self.greatest = self.greatest.max(event.time);
        }
    }
}
