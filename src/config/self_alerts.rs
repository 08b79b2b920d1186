//! `[self_alerts]`: when Weir raises alerts about its own sources.

use serde::Deserialize;
use weir_schema::{SourceBounds, Span};

use super::Duration;

/// When a source is in trouble. `0s` and 0 never raise an alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfAlertsConfig {
    /// Silent: unheard for so long, after it was heard for at least as long; default `1h`.
    pub silent: Duration,
    /// Lagging: newest events so far behind the furthest source of its tenant; default `1h`.
    pub lagging: Duration,
    /// Flooding: so many times as many events a minute as usual; default 10.
    pub flooding: u32,
    /// No flood below so many events a minute; default 60000.
    pub flooding_least: u64,
    /// Clock skew: events that tell times so far beyond their receipt; default `5m`.
    pub clock_skew: Duration,
    /// How long a source lags, or is skewed, before that is said; default `1m`.
    pub patience: Duration,
}

impl Default for SelfAlertsConfig {
    fn default() -> Self {
        Self {
            silent: Duration(Span::seconds(3_600)),
            lagging: Duration(Span::seconds(3_600)),
            flooding: 10,
            flooding_least: 60_000,
            clock_skew: Duration(Span::seconds(300)),
            patience: Duration(Span::seconds(60)),
        }
    }
}

impl SelfAlertsConfig {
    /// As the journal holds it.
    #[must_use]
    pub fn bounds(&self) -> SourceBounds {
        SourceBounds {
            silent: self.silent.0,
            lagging: self.lagging.0,
            flooding: self.flooding,
            flooding_least: self.flooding_least,
            clock_skew: self.clock_skew.0,
            patience: self.patience.0,
        }
    }
}
