//! `[graph]`: the workers of the dataflow graph.

use serde::Deserialize;

/// How the graph runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphConfig {
    /// Number of timely workers, each with its own thread; default 1. Results do not depend on it.
    pub workers: usize,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self { workers: 1 }
    }
}

impl GraphConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        if (1..=64).contains(&self.workers) {
            return Vec::new();
        }
        vec!["graph.workers: must be 1 to 64".to_owned()]
    }
}
