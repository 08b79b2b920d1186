//! `[self_alerts]`: when Weir raises alerts about its own sources.

use serde::Deserialize;
use weir_schema::{SourceBounds, Span};

use super::HumanDuration;

/// The bounds beyond which a source raises an alert. `0s` and 0 disable a bound.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfAlertsConfig {
    /// Silent: no event for so long, after events for at least as long; default `1h`.
    pub silent: HumanDuration,
    /// Lagging: newest events so far behind the furthest source of the tenant; default `1h`.
    pub lagging: HumanDuration,
    /// Flooding: so many times the usual number of events a minute; default 10.
    pub flooding: u32,
    /// Events a minute below which a source never floods; default 60000.
    pub flooding_least: u64,
    /// Clock skew: event times so far ahead of their receipt; default `5m`.
    pub clock_skew: HumanDuration,
    /// How long a source must lag, or be skewed, before the alert is raised; default `1m`.
    pub patience: HumanDuration,
    /// Late alerts: the oldest acknowledged event without results is older; default `30s`.
    pub alerts_late: HumanDuration,
    /// Unread: a larger share of a source's events has no log source, or a problem; default 0.2.
    pub unread_share: f64,
    /// Events within the window below which no source is unread; default 1000.
    pub unread_least: u64,
    /// The time over which the share is taken; default `1h`.
    pub unread_window: HumanDuration,
    /// Names of sources that may send unread events; default none.
    pub unread_expected: Vec<String>,
}

impl Default for SelfAlertsConfig {
    fn default() -> Self {
        Self {
            silent: HumanDuration(Span::seconds(3_600)),
            lagging: HumanDuration(Span::seconds(3_600)),
            flooding: 10,
            flooding_least: 60_000,
            clock_skew: HumanDuration(Span::seconds(300)),
            patience: HumanDuration(Span::seconds(60)),
            alerts_late: HumanDuration(Span::seconds(30)),
            unread_share: 0.2,
            unread_least: 1_000,
            unread_window: HumanDuration(Span::seconds(3_600)),
            unread_expected: Vec::new(),
        }
    }
}

impl SelfAlertsConfig {
    /// Impossible values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let share = self.unread_share;
        if !(0.0..=1.0).contains(&share) {
            problems.push(format!(
                "self_alerts.unread_share: {share} is not between 0 and 1"
            ));
        }
        if self.unread_window.0 < Span::seconds(60) {
            problems.push("self_alerts.unread_window: must be at least 1m".to_owned());
        }
        problems
    }

    /// The bounds as the journal stores them.
    #[must_use]
    pub fn bounds(&self) -> SourceBounds {
        SourceBounds {
            silent: self.silent.0,
            lagging: self.lagging.0,
            flooding: self.flooding,
            flooding_events_min: self.flooding_least,
            clock_skew: self.clock_skew.0,
            duration_min: self.patience.0,
        }
    }
}
