//! `[journal]`: when the journal commits, seals and starts a new segment.

use serde::Deserialize;
use weir_schema::Span;

use super::HumanDuration;

/// How the journal is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Size in MiB at which a segment file is closed; default 64.
    pub segment_mib: u64,
    /// Minimum interval between commits, unless enough events wait; default `5ms`.
    pub commit_delay: HumanDuration,
    /// Most events of an epoch, which is then sealed; default 10000.
    pub epoch_events_max: usize,
    /// Minimum interval between seals, unless the epoch is full; default `20ms`.
    pub epoch_delay: HumanDuration,
    /// Whether an acknowledgement waits for the disk; default true. If off, a power cut loses
    /// events.
    pub fsync: bool,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_mib: 64,
            commit_delay: HumanDuration(Span(5_000_000)),
            epoch_events_max: 10_000,
            epoch_delay: HumanDuration(Span(20_000_000)),
            fsync: true,
        }
    }
}

impl JournalConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=4096).contains(&self.segment_mib) {
            problems.push("journal.segment_mib: must be 1 to 4096".to_owned());
        }
        if !(1..=60_000).contains(&self.epoch_events_max) {
            problems.push("journal.epoch_events_max: must be 1 to 60000".to_owned());
        }
        problems
    }
}
