//! `[rules]` and `[detection]`: which rules run, and the settings they run under.

use std::path::PathBuf;

use serde::Deserialize;
use weir_schema::Span;

use super::HumanDuration;

/// The rules that run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Whether the built-in rules run; default true.
    pub builtin: bool,
    /// Files, or folders of `*.yml` and `*.yaml`, read at the start and followed afterwards.
    pub paths: Vec<PathBuf>,
    /// A rule that takes more than this share of the workers' time over the window raises an alert;
    /// default 0.2. 0: never.
    pub share_max: f64,
    /// While alerts are late, the heaviest rule is suspended if it takes more than this share of
    /// the workers' time over the window; default 0.5. 0: never.
    pub suspend_share: f64,
    /// A rule that lets a worker judge as many events a second is not suspended: then the number of
    /// events makes alerts late; default 100000.
    pub suspend_speed: u64,
    /// The window over which shares are taken; default `30s`, at least `1s`.
    pub share_window: HumanDuration,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
            share_max: 0.2,
            suspend_share: 0.5,
            suspend_speed: 100_000,
            share_window: HumanDuration(Span::seconds(30)),
        }
    }
}

impl RulesConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let shares = [
            ("rules.share_max", self.share_max),
            ("rules.suspend_share", self.suspend_share),
        ];
        let wrong = shares
            .into_iter()
            .filter(|(_, share)| !(0.0..=1.0).contains(share));
        let mut problems: Vec<String> = wrong
            .map(|(key, share)| format!("{key}: {share} is not between 0 and 1"))
            .collect();
        if self.share_window.0 < Span::seconds(1) {
            problems.push("rules.share_window: must be at least 1s".to_owned());
        }
        problems
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
