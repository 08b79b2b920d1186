//! `[rules]` and `[detection]`: which rules run, and the settings they run under.

use std::path::PathBuf;

use serde::Deserialize;

/// The rules that run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Whether the built-in rules run; default true.
    pub builtin: bool,
    /// Files, or folders of `*.yml` and `*.yaml`, read at the start and followed afterwards.
    pub paths: Vec<PathBuf>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
        }
    }
}

/// The settings that rules run under.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionConfig {
    /// Values of the placeholders `%name%` in rules: numbers, and texts with wildcards; default
    /// none.
    pub placeholders: weir_detect::Placeholders,
    /// Files that map log sources, in addition to the built-in mapping; default none.
    pub log_sources: Vec<PathBuf>,
}

impl DetectionConfig {
    /// All problems of the values; the mapping files are read later.
    pub fn problems(&self) -> Vec<String> {
        let settings = weir_detect::Settings {
            placeholders: self.placeholders.clone(),
            log_sources: Vec::new(),
        };
        let problem = settings.check().err();
        let problem = problem.map(|problem| format!("detection.placeholders: {problem}"));
        problem.into_iter().collect()
    }
}
