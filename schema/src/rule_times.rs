//! The working time of rules, and the stopwatch that measures it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::RuleId;

/// A clock that only measures: nanoseconds since some moment, never falling.
///
/// Operators read no clock. The host of the graph lends them this one for the figures of rules; no
/// result depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(pub fn() -> u64);

impl Stopwatch {
    /// The reading now.
    #[must_use]
    pub fn read(self) -> u64 {
        (self.0)()
    }
}

/// Nanoseconds of work by rule, estimated from samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTimes(pub BTreeMap<RuleId, u64>);

impl RuleTimes {
    /// Adds time to a rule.
    pub fn add(&mut self, rule: &RuleId, nanos: u64) {
        if let Some(known) = self.0.get_mut(rule) {
            *known = known.saturating_add(nanos);
        } else if nanos > 0 {
            self.0.insert(RuleId::clone(rule), nanos);
        }
    }

    /// The time of all rules.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, nanos| sum.saturating_add(*nanos))
    }
}
