//! A closed range of event times.

use weir_schema::{EventTime, Span};

/// The event times from `from` to `to`, both included. Empty where `from` is after `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeRange {
    pub from: EventTime,
    pub to: EventTime,
}

impl TimeRange {
    /// Every event time.
    pub const ALL: Self = Self {
        from: EventTime::MIN,
        to: EventTime::MAX,
    };

    /// Every event time at or after `from`.
    pub const fn starting_at(from: EventTime) -> Self {
        Self {
            from,
            to: EventTime::MAX,
        }
    }

    pub fn contains(self, time: EventTime) -> bool {
        self.from <= time && time <= self.to
    }

    /// The range with `before` more at its start and `after` more at its end.
    pub const fn widened(self, before: Span, after: Span) -> Self {
        Self {
            from: self.from.minus(before),
            to: self.to.plus(after),
        }
    }
}
