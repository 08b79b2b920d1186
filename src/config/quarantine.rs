//! `[quarantine]`: how many copies of damaged ledgers are kept.

use serde::Deserialize;
use weir_schema::Span;

use super::HumanDuration;

/// Bounds of the folder `quarantine` in the data folder. The oldest copies are removed first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineConfig {
    /// Size in MiB of all copies together; default 1024. The newest stays, however large.
    pub size_mib: u64,
    /// Age at which a copy is removed; default `30d`.
    pub age: HumanDuration,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self {
            size_mib: 1_024,
            age: HumanDuration(Span::seconds(30 * 24 * 3_600)),
        }
    }
}

impl QuarantineConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        if self.size_mib <= 1 << 24 {
            return Vec::new();
        }
        vec!["quarantine.size_mib: must be at most 16777216".to_owned()]
    }
}
