//! Marks of events whose stated time decides nothing, and of the alerts that count such events.

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, ReceiveTime};

/// Why an event stands at its time of receipt although it states another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimeMark {
    /// It states a time in the future, before 2000 or after 2261.
    NotCredible,
    /// It states a credible time before the settled line. Only rules that are no correlation see it.
    LateBeyondHorizon,
}

impl TimeMark {
    /// Both marks, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::NotCredible, Self::LateBeyondHorizon];

    /// The name in the API, in streams and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotCredible => "time_not_credible",
            Self::LateBeyondHorizon => "late_beyond_horizon",
        }
    }
}

/// The mark of an alert, with both times of the first event that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedTimes {
    pub mark: TimeMark,
    /// `None` if the time cannot be represented, such as one before 1970.
    pub stated: Option<EventTime>,
    pub received: ReceiveTime,
}
