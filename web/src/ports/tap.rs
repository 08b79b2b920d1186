//! The port to taps: readers of live data that never delay the pipeline.

use std::time::Duration;

use super::PortError;

/// The pipeline stage that a tap reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStage {
    /// Journaled frames.
    Frames,
    /// Decoded events.
    Events,
    /// Events that match a rule, once for each rule.
    Matches,
    /// Matches that enter a correlation, with their groups.
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
            _ => return None, // Free text: every other name is unknown.
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

/// Selects the rows of a tap. All conditions must hold.
#[derive(Clone, Debug)]
pub struct TapQuery {
    pub stage: TapStage,
    pub tenant: Option<String>,
    pub source: Option<String>,
    /// The id of a rule.
    pub rule: Option<String>,
    /// Name and exact value of a field; for alerts, of a group field.
    pub field: Option<(String, String)>,
    /// A text that the frame or the alert contains.
    pub text: Option<String>,
    /// A problem by name, or `any`.
    pub problem: Option<String>,
    /// Number of rows after which the tap ends.
    pub limit: usize,
}

/// Opens taps. Methods may block.
pub trait Taps: Send + Sync {
    /// Opens a tap that starts at the present.
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError>;
}

/// An open tap. It reads at its own pace and counts the rows that it skips.
pub trait Tap: Send {
    /// Returns a bounded number of rows as NDJSON, or none if none came within `wait`. May block.
    fn next(&mut self, wait: Duration) -> Result<String, PortError>;

    /// Whether the tap has reached its row limit.
    fn is_done(&self) -> bool;

    /// Returns the last row, which counts the rows that were shown, read and skipped.
    fn end(&mut self) -> String;
}
