//! The port to sources: which of them send events that no reader knows.

use std::time::Duration;

use super::PortError;

/// The sources with unread events, those with most of them first.
#[derive(Clone, Debug, Default)]
pub struct UnreadSources {
    /// The time over which events were counted.
    pub window: Duration,
    pub sources: Vec<UnreadSourceInfo>,
}

/// A source that sent events without a log source, or with a problem.
#[derive(Clone, Debug)]
pub struct UnreadSourceInfo {
    pub tenant: String,
    pub source: String,
    pub events: u64,
    pub unread: u64,
    /// Whether the alert about it stands.
    pub is_alerting: bool,
    /// At most three of these events, as text: cut, with hidden characters escaped.
    pub samples: Vec<String>,
}

/// Reads what was counted of sources. Methods may block.
pub trait SourceReports: Send + Sync {
    fn unread(&self) -> Result<UnreadSources, PortError>;
}
