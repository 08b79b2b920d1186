//! The metrics of the listeners.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use weir_schema::Transport;

use crate::close_reason::{CloseReason, RefusalReason};
use crate::drop_reason::DropReason;
use crate::framing::FramingCounts;
use crate::registration::{counter, counters, gauge, gauges};

/// The transports that have connections.
const CONNECTED: [Transport; 4] = [
    Transport::Tcp,
    Transport::Tls,
    Transport::Relp,
    Transport::Agent,
];

/// The framing errors of a stream.
const FRAMING_REASONS: [&str; 3] = ["bad_count", "out_of_step", "unterminated"];

/// Metrics that the listeners update.
#[derive(Clone, Debug)]
pub(crate) struct NetworkMetrics {
    pub events_received: IntCounterVec,
    pub events_dropped: IntCounterVec,
    pub udp_kernel_dropped: IntCounter,
    pub connections: ConnectionMetrics,
    pub framing: FramingMetrics,
    pub agent_refusals: IntCounterVec,
}

/// Metrics of connections and of TLS.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    pub open: IntGaugeVec,
    pub refused: IntCounterVec,
    pub closed: IntCounterVec,
    pub tls_reloads: IntCounterVec,
    pub certificate_expiry: IntGauge,
}

/// Metrics of the conversion from byte streams to frames.
#[derive(Clone, Debug)]
pub(crate) struct FramingMetrics {
    errors: IntCounterVec,
    truncated: IntCounterVec,
    skipped_bytes: IntCounterVec,
}

impl NetworkMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            events_received: counters(
                registry,
                "weir_events_received_total",
                &["transport"],
                "Events received from the network, before the journal.",
            )?,
            events_dropped: counters(
                registry,
                "weir_events_dropped_total",
                &["transport", "reason"],
                "Events that Weir received but did not journal.",
            )?,
            udp_kernel_dropped: counter(
                registry,
                "weir_udp_kernel_dropped_total",
                "Datagrams that the kernel dropped at the socket of syslog over UDP.",
            )?,
            connections: ConnectionMetrics::register(registry)?,
            framing: FramingMetrics::register(registry)?,
            agent_refusals: counters(
                registry,
                "weir_agent_refusals_total",
                &["reason"],
                "Agent connections that Weir ended with a refusal.",
            )?,
        })
    }

    /// Creates a row for every label value.
    pub fn create_all_rows(&self) {
        for transport in Transport::ALL {
            let name = transport.name();
            let _ = self.events_received.with_label_values(&[name]);
            for reason in [
                DropReason::MailboxFull,
                DropReason::JournalFault,
                DropReason::Stopping,
                DropReason::Empty,
            ] {
                let labels = [name, reason.name()];
                let _ = self.events_dropped.with_label_values(&labels);
            }
        }
        self.connections.create_all_rows();
        self.framing.create_all_rows();
        for reason in ["unauthorized", "protocol", "gap", "unavailable"] {
            let _ = self.agent_refusals.with_label_values(&[reason]);
        }
    }
}

impl ConnectionMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: gauges(
                registry,
                "weir_ingest_connections",
                &["transport"],
                "Open connections of senders.",
            )?,
            refused: counters(
                registry,
                "weir_ingest_connections_refused_total",
                &["transport", "reason"],
                "Connections closed at once because a limit was reached.",
            )?,
            closed: counters(
                registry,
                "weir_ingest_connections_closed_total",
                &["transport", "reason"],
                "Accepted connections that have ended.",
            )?,
            tls_reloads: counters(
                registry,
                "weir_tls_reloads_total",
                &["result"],
                "Changes of the TLS files, used or refused.",
            )?,
            certificate_expiry: gauge(
                registry,
                "weir_tls_certificate_expiry_seconds",
                "Expiry of the server's certificate in seconds since 1970; 0 without TLS.",
            )?,
        })
    }

    fn create_all_rows(&self) {
        for name in CONNECTED.map(Transport::name) {
            let _ = self.open.with_label_values(&[name]);
            for reason in RefusalReason::ALL {
                let _ = self.refused.with_label_values(&[name, reason.name()]);
            }
            for reason in CloseReason::ALL {
                let _ = self.closed.with_label_values(&[name, reason.name()]);
            }
        }
        for result in ["used", "refused"] {
            let _ = self.tls_reloads.with_label_values(&[result]);
        }
    }
}

impl FramingMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            errors: counters(
                registry,
                "weir_framing_errors_total",
                &["transport", "reason"],
                "Framing errors of streams; the bytes are kept.",
            )?,
            truncated: counters(
                registry,
                "weir_frames_truncated_total",
                &["transport"],
                "Frames truncated at the maximum frame size.",
            )?,
            skipped_bytes: counters(
                registry,
                "weir_frame_skipped_bytes_total",
                &["transport"],
                "Bytes skipped beyond the maximum frame size.",
            )?,
        })
    }

    fn create_all_rows(&self) {
        for name in Transport::ALL.map(Transport::name) {
            let _ = (
                self.truncated.with_label_values(&[name]),
                self.skipped_bytes.with_label_values(&[name]),
            );
            for reason in FRAMING_REASONS {
                let _ = self.errors.with_label_values(&[name, reason]);
            }
        }
    }

    /// Adds all counts but `empty`, which is a count of dropped events.
    pub fn add(&self, transport: Transport, counts: FramingCounts) {
        let name = transport.name();
        let truncated = self.truncated.with_label_values(&[name]);
        truncated.inc_by(counts.truncated);
        let skipped = self.skipped_bytes.with_label_values(&[name]);
        skipped.inc_by(counts.skipped_bytes);
        let counts = [counts.bad_count, counts.out_of_step, counts.unterminated];
        for (reason, count) in FRAMING_REASONS.into_iter().zip(counts) {
            let errors = self.errors.with_label_values(&[name, reason]);
            errors.inc_by(count);
        }
    }
}
