//! Alerts that wait for a clock or a source before their state is final.

use weir_schema::{EventTime, SourceKey};

/// A silence that is not certain until its source was observed up to `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlindAlert {
    pub source: SourceKey,
    pub until: EventTime,
}

/// The alerts of a group that are not final.
#[derive(Debug, Default)]
pub struct PendingAlerts {
    /// First anchors of the alerts that the watermark will confirm.
    pub provisional: Vec<EventTime>,
    pub blind: Vec<BlindAlert>,
}
