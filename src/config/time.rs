//! `[time]`: the bounds of event time, and lengths of time as people write them.

use serde::Deserialize;
use weir_schema::{Span, TimeBounds};

/// The bounds of event time; see `docs/ARCHITECTURE.md`, "Time".
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConfig {
    /// How far the watermark is behind the greatest event time of a source; default `60s`.
    pub lateness: HumanDuration,
    /// How far behind the watermark an event may still correct results; default `24h`.
    pub horizon: HumanDuration,
    /// Silence after which a source no longer holds the watermark; default `5m`.
    pub idle: HumanDuration,
    /// How far an event time may be ahead of its receipt; beyond, the event enters no correlation.
    /// Default `5m`.
    pub future_tolerance: HumanDuration,
    /// How far a source may be behind the furthest one; beyond, it no longer holds the watermark.
    /// Default `1h`.
    pub lag_max: HumanDuration,
}

impl Default for TimeConfig {
    fn default() -> Self {
        let bounds = TimeBounds::default();
        Self {
            lateness: HumanDuration(bounds.lateness),
            horizon: HumanDuration(bounds.horizon.unwrap_or(Span::seconds(24 * 3600))),
            idle: HumanDuration(bounds.idle),
            future_tolerance: HumanDuration(bounds.future_tolerance),
            lag_max: HumanDuration(bounds.lag_max),
        }
    }
}

impl TimeConfig {
    /// The bounds as the journal stores them.
    #[must_use]
    pub fn bounds(&self) -> TimeBounds {
        TimeBounds {
            lateness: self.lateness.0,
            horizon: Some(self.horizon.0),
            idle: self.idle.0,
            future_tolerance: self.future_tolerance.0,
            lag_max: self.lag_max.0,
            live: true,
        }
    }
}

/// A length of time as people write it: `500ms`, `60s`, `5m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Span);

impl HumanDuration {
    /// As a duration of the standard library; a negative one is 0.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0.0).unwrap_or(0))
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Span::parse(text).map(Self).ok_or_else(|| {
            format!("`{text}` is not a length of time; write `500ms`, `60s`, `5m`, `24h` or `7d`")
        })
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
