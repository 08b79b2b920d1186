//! A period of event time.

use weir_schema::EventTime;

/// The event times from `since` up to, but not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub since: EventTime,
    pub until: EventTime,
}

impl Period {
    pub(crate) fn contains(self, time: EventTime) -> bool {
        self.since <= time && time < self.until
    }

    /// The parts before and after another period. Either may be empty.
    pub(crate) fn without(self, other: Self) -> [Self; 2] {
        let before = Self {
            until: self.until.min(other.since),
            ..self
        };
        let after = Self {
            since: self.since.max(other.until),
            ..self
        };
        [before, after]
    }

    pub(crate) fn is_empty(self) -> bool {
        self.since >= self.until
    }
}
