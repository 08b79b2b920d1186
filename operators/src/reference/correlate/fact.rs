//! A fact, with the identity of its event.

use weir_schema::{EventId, EventTime, Fact, Position};

/// A fact as a plan reads it: with one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceFact {
    pub fact: Fact,
    pub member: u16,
    /// Zero for an event. A number of its own for a report: each report is an event of its own.
    pub serial: usize,
}

impl ReferenceFact {
    /// One for each member of `fact`.
    pub fn all(fact: Fact, serial: usize) -> impl Iterator<Item = Self> {
        fact.members.iter().map(move |member| Self {
            fact,
            member,
            serial,
        })
    }

    /// The columns that distinguish one event from another.
    pub fn identity(&self) -> (EventTime, EventId, Position, usize) {
        let fact = &self.fact;
        (fact.time, fact.event, fact.position, self.serial)
    }
}
