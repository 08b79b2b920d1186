//! Metrics of the server's health.

use prometheus::{Gauge, IntGauge, Registry};

/// Gauges that the watch sets every second.
pub struct HealthMetrics {
    /// `weir_live`: 1 while `/healthz` succeeds.
    pub live: IntGauge,
    /// `weir_ready`: 1 while `/readyz` succeeds.
    pub ready: IntGauge,
    /// `weir_alerts_behind_seconds`: age of the oldest durable event without results.
    pub behind_seconds: Gauge,
}

impl HealthMetrics {
    /// Registers the gauges.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            live: IntGauge::new("weir_live", "1 while /healthz succeeds")?,
            ready: IntGauge::new("weir_ready", "1 while /readyz succeeds")?,
            behind_seconds: Gauge::new(
                "weir_alerts_behind_seconds",
                "age of the oldest durable event without results",
            )?,
        };
        registry.register(Box::new(metrics.live.clone()))?;
        registry.register(Box::new(metrics.ready.clone()))?;
        registry.register(Box::new(metrics.behind_seconds.clone()))?;
        Ok(metrics)
    }
}
