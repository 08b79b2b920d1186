//! `[liveness]`: when a server that makes no progress ends itself.

use serde::Deserialize;
use weir_schema::Span;

use super::HumanDuration;

/// How long a part may make no progress.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LivenessConfig {
    /// A part that makes no progress for so long ends the process with 75, so that its service
    /// manager starts it again; default `60s`, at least `30s`. `0s`: never.
    pub limit: HumanDuration,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            limit: HumanDuration(Span::seconds(60)),
        }
    }
}

impl LivenessConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let limit = self.limit.0;
        if limit.0 == 0 || limit >= Span::seconds(30) {
            return Vec::new();
        }
        vec!["liveness.limit: must be at least 30s, or 0s".to_owned()]
    }
}
