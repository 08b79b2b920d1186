//! The port to taps: readers of what passes, which nothing waits for.

use std::time::Duration;

use super::PortError;

/// What a tap listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStage {
    /// Frames as they are journaled.
    Frames,
    /// Events, decoded.
    Events,
    /// Events that a rule matches, once a rule.
    Matches,
    /// Matches on their way into a correlation, with their groups.
    Facts,
    /// Changes of alerts.
    Alerts,
}

impl TapStage {
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "frames" => Self::Frames,
            "events" => Self::Events,
            "matches" => Self::Matches,
            "facts" => Self::Facts,
            "alerts" => Self::Alerts,
            _ => return None, // Any other word is no stage.
        })
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Events => "events",
            Self::Matches => "matches",
            Self::Facts => "facts",
            Self::Alerts => "alerts",
        }
    }
}

/// What a tap wants to see. All conditions must hold.
#[derive(Clone, Debug)]
pub struct TapQuery {
    pub stage: TapStage,
    pub tenant: Option<String>,
    pub source: Option<String>,
    /// The id of a rule.
    pub rule: Option<String>,
    /// A field, or a field of an alert's group, by name and exact value.
    pub field: Option<(String, String)>,
    /// What the frame, or the alert, has somewhere in it.
    pub text: Option<String>,
    /// A problem by name, or `any`.
    pub problem: Option<String>,
    /// The tap is done after so many rows.
    pub limit: usize,
}

/// Opens taps. May block.
pub trait Taps: Send + Sync {
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError>;
}

/// One reader of what passes. It follows at its own pace; what it does not look at is counted.
pub trait Tap: Send {
    /// Rows as NDJSON, a bounded number of them; none where nothing came within `wait`. May block.
    fn next(&mut self, wait: Duration) -> Result<String, PortError>;

    /// Whether it has as many rows as were asked for.
    fn is_done(&self) -> bool;

    /// The last row: what was shown, looked at and left out.
    fn end(&mut self) -> String;
}
