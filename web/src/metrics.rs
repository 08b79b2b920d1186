//! The metrics of the HTTP server.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::ports::IntakeReceipt;

/// The reasons for which connections are refused, as values of the label `reason`.
pub(crate) const REFUSAL_NAMES: [&str; 3] = ["limit", "peer_limit", "network_limit"];

/// The reasons for which connections give way, as values of the label `reason`.
pub(crate) const EVICTION_NAMES: [&str; 2] = ["gave_way", "over_share"];

/// The metrics of the HTTP server; all labels come from closed sets.
#[derive(Clone)]
pub struct WebMetrics {
    /// `weir_http_requests_total{route,status}`: answers begun, by route pattern (`other` if none
    /// matched) and status class (`2xx` ...).
    pub requests: IntCounterVec,
    /// `weir_stream_subscribers{format}`: open alert streams (`sse`, `ndjson`, `flatbuffers`).
    pub subscribers: IntGaugeVec,
    /// `weir_stream_rows_total{format}`: changes sent to alert streams.
    pub rows: IntCounterVec,
    /// `weir_stream_gaps_total{format}`: gaps reported to clients whose next rows the outbox no
    /// longer had.
    pub gaps: IntCounterVec,
    /// `weir_stream_ends_total{format,reason}`: streams and taps that ended.
    pub ends: IntCounterVec,
    /// `weir_http_connections_refused_total{reason}`
    pub(crate) connections_refused: IntCounterVec,
    /// `weir_http_connections_closed_total{reason}`
    pub(crate) connections_closed: IntCounterVec,
    pub(crate) collect: CollectMetrics,
}

impl WebMetrics {
    /// Creates the metrics and adds them to `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_counters(registry, name, help, labels)
        };
        let requests = counters(
            "weir_http_requests_total",
            "HTTP answers begun, by route and status class.",
            &["route", "status"],
        )?;
        let subscribers = IntGaugeVec::new(
            Opts::new("weir_stream_subscribers", "Open alert streams."),
            &["format"],
        )?;
        registry.register(Box::new(subscribers.clone()))?;
        let rows = counters(
            "weir_stream_rows_total",
            "Changes sent to alert streams.",
            &["format"],
        )?;
        let gaps = counters(
            "weir_stream_gaps_total",
            "Gaps reported to clients whose next rows the outbox no longer had.",
            &["format"],
        )?;
        let ends = counters(
            "weir_stream_ends_total",
            "Alert streams and taps that ended, by reason.",
            &["format", "reason"],
        )?;
        let (connections_refused, connections_closed) = connection_counters(registry)?;
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
            connections_closed,
            collect: CollectMetrics::register(registry)?,
        })
    }
}

/// The counters of connections that were refused, and of those that gave way.
fn connection_counters(
    registry: &Registry,
) -> Result<(IntCounterVec, IntCounterVec), prometheus::Error> {
    let refused = register_counters(
        registry,
        "weir_http_connections_refused_total",
        "HTTP connections closed at once because all were taken and in use.",
        &["reason"],
    )?;
    let closed = register_counters(
        registry,
        "weir_http_connections_closed_total",
        "HTTP connections that gave way to a new one.",
        &["reason"],
    )?;
    for reason in REFUSAL_NAMES {
        let _ = refused.with_label_values(&[reason]);
    }
    for reason in EVICTION_NAMES {
        let _ = closed.with_label_values(&[reason]);
    }
    Ok((refused, closed))
}

/// The protocol of a body; the label `way` of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Events,
    Hec,
    Bulk,
    Otlp,
    Journald,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Hec => "hec",
            Self::Bulk => "bulk",
            Self::Otlp => "otlp",
            Self::Journald => "journald",
        }
    }
}

/// Counts the events and bodies of each protocol.
///
/// Events received are always the sum of events accepted and events refused.
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
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_counters(registry, name, help, labels)
        };
        let received = counters(
            "weir_http_events_received_total",
            "Events found in bodies, by protocol.",
            &["way"],
        )?;
        let accepted = counters(
            "weir_http_events_accepted_total",
            "Events of bodies that are durable, by protocol.",
            &["way", "repeated"],
        )?;
        let refused = counters(
            "weir_http_events_refused_total",
            "Events of bodies that were refused, by protocol and reason.",
            &["way", "reason"],
        )?;
        let bodies_refused = counters(
            "weir_http_bodies_refused_total",
            "Bodies that were refused as a whole, by protocol and reason.",
            &["way", "reason"],
        )?;
        let channels_forgotten = IntCounter::new(
            "weir_hec_channels_forgotten_total",
            "Acknowledgement channels that were evicted for newer ones.",
        )?;
        registry.register(Box::new(channels_forgotten.clone()))?;
        Ok(Self {
            received,
            accepted,
            refused,
            bodies_refused,
            channels_forgotten,
        })
    }

    /// Counts events found in a body.
    pub(crate) fn count_received(&self, protocol: Protocol, events: usize) {
        let counter = self.received.with_label_values(&[protocol.name()]);
        counter.inc_by(events as u64);
    }

    /// Counts durable events; `receipt` tells whether an earlier request had journaled them.
    pub(crate) fn count_accepted(&self, protocol: Protocol, receipt: IntakeReceipt, events: usize) {
        let repeated = if receipt.repeated { "true" } else { "false" };
        let labels = [protocol.name(), repeated];
        let counter = self.accepted.with_label_values(&labels);
        counter.inc_by(events as u64);
    }

    /// Counts refused events.
    pub(crate) fn count_refused(&self, protocol: Protocol, reason: &str, events: usize) {
        let counter = self.refused.with_label_values(&[protocol.name(), reason]);
        counter.inc_by(events as u64);
    }

    /// Counts a body that was refused as a whole.
    pub(crate) fn count_body_refused(&self, protocol: Protocol, reason: &str) {
        let labels = [protocol.name(), reason];
        self.bodies_refused.with_label_values(&labels).inc();
    }
}

fn register_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}
