//! What the web counts.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// The counters of the web; labels come from closed sets only.
#[derive(Clone)]
pub struct WebMetrics {
    /// `weir_http_requests_total{route,status}`: answers begun, by pattern of the route
    /// (`other` where none matched) and class of the status (`2xx` ...).
    pub requests: IntCounterVec,
    /// `weir_stream_subscribers{format}`: open alert streams (`sse`, `ndjson`).
    pub subscribers: IntGaugeVec,
    /// `weir_stream_rows_total{format}`: changes handed to alert streams.
    pub rows: IntCounterVec,
}

impl WebMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "weir_http_requests_total",
                "HTTP answers begun, by route and status class.",
            ),
            &["route", "status"],
        )?;
        let subscribers = IntGaugeVec::new(
            Opts::new(
                "weir_stream_subscribers",
                "Alert streams that are open now.",
            ),
            &["format"],
        )?;
        let rows = IntCounterVec::new(
            Opts::new("weir_stream_rows_total", "Changes handed to alert streams."),
            &["format"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(subscribers.clone()))?;
        registry.register(Box::new(rows.clone()))?;
        Ok(Self {
            requests,
            subscribers,
            rows,
        })
    }
}
