//! What the web counts.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::collect::Way;

/// The counters of the web; labels come from closed sets only.
#[derive(Clone)]
pub struct WebMetrics {
    /// `weir_http_requests_total{route,status}`: answers begun, by pattern of the route
    /// (`other` where none matched) and class of the status (`2xx` ...).
    pub requests: IntCounterVec,
    /// `weir_stream_subscribers{format}`: open alert streams (`sse`, `ndjson`,
    /// `flatbuffers`).
    pub subscribers: IntGaugeVec,
    /// `weir_stream_rows_total{format}`: changes handed to alert streams.
    pub rows: IntCounterVec,
    /// `weir_stream_gaps_total{format}`: how often a listener was told that rows had gone which it
    /// did not have.
    pub gaps: IntCounterVec,
    /// `weir_stream_ends_total{format,reason}`: streams and taps that are over.
    pub ends: IntCounterVec,
    /// `weir_http_connections_refused_total`
    pub(crate) connections_refused: IntCounter,
    pub(crate) collect: CollectMetrics,
}

/// What became of events that came in bodies, by the way they came: `received` is `accepted`, and
/// `refused` by reason, added up.
#[derive(Clone)]
pub(crate) struct CollectMetrics {
    /// `weir_http_events_received_total{way}`
    received: IntCounterVec,
    /// `weir_http_events_accepted_total{way,repeated}`
    accepted: IntCounterVec,
    /// `weir_http_events_refused_total{way,reason}`
    refused: IntCounterVec,
    /// `weir_http_bodies_refused_total{way,reason}`
    bodies_refused: IntCounterVec,
    /// `weir_hec_channels_forgotten_total`
    pub(crate) channels_forgotten: IntCounter,
}

impl CollectMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let received = IntCounterVec::new(
            Opts::new(
                "weir_http_events_received_total",
                "Events found in bodies, by protocol.",
            ),
            &["way"],
        )?;
        let accepted = IntCounterVec::new(
            Opts::new(
                "weir_http_events_accepted_total",
                "Events of bodies that are durable, by protocol.",
            ),
            &["way", "repeated"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "weir_http_events_refused_total",
                "Events of bodies that were not taken in, by protocol and reason.",
            ),
            &["way", "reason"],
        )?;
        let bodies_refused = IntCounterVec::new(
            Opts::new(
                "weir_http_bodies_refused_total",
                "Bodies of events that were refused whole, by protocol and reason.",
            ),
            &["way", "reason"],
        )?;
        let channels_forgotten = IntCounter::new(
            "weir_hec_channels_forgotten_total",
            "Channels of acknowledgements that were forgotten for newer ones.",
        )?;
        for counter in [&received, &accepted, &refused, &bodies_refused] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(channels_forgotten.clone()))?;
        Ok(Self {
            received,
            accepted,
            refused,
            bodies_refused,
            channels_forgotten,
        })
    }

    pub(crate) fn received(&self, way: Way, events: usize) {
        let counter = self.received.with_label_values(&[way.name()]);
        counter.inc_by(events as u64);
    }

    pub(crate) fn accepted(&self, way: Way, repeated: bool, events: usize) {
        let repeated = if repeated { "true" } else { "false" };
        let counter = self.accepted.with_label_values(&[way.name(), repeated]);
        counter.inc_by(events as u64);
    }

    pub(crate) fn refused(&self, way: Way, reason: &str, events: usize) {
        let counter = self.refused.with_label_values(&[way.name(), reason]);
        counter.inc_by(events as u64);
    }

    pub(crate) fn body_refused(&self, way: Way, reason: &str) {
        self.bodies_refused
            .with_label_values(&[way.name(), reason])
            .inc();
    }
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
        let gaps = IntCounterVec::new(
            Opts::new(
                "weir_stream_gaps_total",
                "How often a listener was so far behind that rows had gone.",
            ),
            &["format"],
        )?;
        let ends = IntCounterVec::new(
            Opts::new(
                "weir_stream_ends_total",
                "Alert streams and taps that are over, by reason.",
            ),
            &["format", "reason"],
        )?;
        registry.register(Box::new(gaps.clone()))?;
        registry.register(Box::new(ends.clone()))?;
        let connections_refused = IntCounter::new(
            "weir_http_connections_refused_total",
            "Connections closed at once, as their address had as many as it may.",
        )?;
        registry.register(Box::new(connections_refused.clone()))?;
        for format in ["sse", "ndjson", "flatbuffers"] {
            let _ = subscribers.with_label_values(&[format]);
            for counter in [&rows, &gaps] {
                let _ = counter.with_label_values(&[format]);
            }
        }
        Ok(Self {
            requests,
            subscribers,
            rows,
            gaps,
            ends,
            connections_refused,
            collect: CollectMetrics::register(registry)?,
        })
    }
}
