//! The metrics of ingest. Every label has a limited set of values.

mod network;

mod writer;

use prometheus::{IntCounter, Registry};
use weir_schema::Transport;

use crate::balance::Balance;
use crate::close_reason::{CloseReason, RefusalReason};
use crate::drop_reason::DropReason;
use crate::framing::FramingCounts;
use network::NetworkMetrics;
use writer::WriterMetrics;

/// All metrics of ingest. Clones share their values.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    pub(crate) network: NetworkMetrics,
    pub(crate) writer: WriterMetrics,
    balance: Balance,
}

impl IngestMetrics {
    /// Creates the metrics and adds them to `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let network = NetworkMetrics::register(registry)?;
        let balance = Balance::register(registry, network.events_received.clone())?;
        let metrics = Self {
            network,
            writer: WriterMetrics::register(registry)?,
            balance,
        };
        // Alert rules and dashboards find the rows before the first event is counted.
        metrics.network.create_all_rows();
        metrics.writer.create_all_rows();
        Ok(metrics)
    }

    /// The counter of datagrams that the kernel dropped before Weir could read them.
    pub(crate) fn udp_kernel_dropped(&self) -> IntCounter {
        self.network.udp_kernel_dropped.clone()
    }

    /// The event counts of each source.
    #[must_use]
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// Counts events that the intake did not see, or that their sender cannot send again.
    pub(crate) fn count_dropped(&self, transport: Transport, reason: DropReason, events: u64) {
        if events > 0 {
            if reason == DropReason::Empty {
                // The intake counts all other received events; it never sees empty ones.
                self.balance.count_received(transport, events);
            }
            let labels = [transport.name(), reason.name()];
            self.network
                .events_dropped
                .with_label_values(&labels)
                .inc_by(events);
        }
    }

    pub(crate) fn count_framing(&self, transport: Transport, counts: FramingCounts) {
        if counts == FramingCounts::default() {
            return;
        }
        self.count_dropped(transport, DropReason::Empty, counts.empty);
        self.network.framing.add(transport, counts);
    }

    pub(crate) fn count_refused_connection(&self, transport: Transport, reason: RefusalReason) {
        let labels = [transport.name(), reason.name()];
        let counter = &self.network.connections.refused;
        counter.with_label_values(&labels).inc();
    }

    pub(crate) fn count_closed_connection(&self, transport: Transport, reason: CloseReason) {
        let labels = [transport.name(), reason.name()];
        let counter = &self.network.connections.closed;
        counter.with_label_values(&labels).inc();
    }

    /// Counts a change of the TLS files; `result` is `used` or `refused`.
    pub(crate) fn count_tls_reload(&self, result: &str) {
        let counter = &self.network.connections.tls_reloads;
        counter.with_label_values(&[result]).inc();
    }

    pub(crate) fn set_certificate_expiry(&self, seconds: i64) {
        self.network.connections.certificate_expiry.set(seconds);
    }

    /// Counts a datagram that was longer than the maximum frame size.
    pub(crate) fn count_truncated(&self, transport: Transport, skipped_bytes: usize) {
        self.count_framing(
            transport,
            FramingCounts {
                truncated: 1,
                skipped_bytes: skipped_bytes as u64,
                ..FramingCounts::default()
            },
        );
    }

    /// The number of events of `transport` that were dropped for `reason`.
    #[must_use]
    pub fn dropped_events(&self, transport: Transport, reason: DropReason) -> u64 {
        let labels = [transport.name(), reason.name()];
        self.network.events_dropped.with_label_values(&labels).get()
    }
}
