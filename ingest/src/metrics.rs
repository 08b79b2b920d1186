//! The counters of ingest; every label is from a closed set.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use weir_schema::Transport;

use crate::framing::FramingCounts;

/// Why an event that reached us is in no journal; the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The writer's limits were reached and the transport cannot wait.
    MailboxFull,
    /// The journal failed and the transport cannot send again.
    JournalFault,
    /// It came while ingest was stopping.
    Stopping,
    /// It held no byte.
    Empty,
}

impl Dropped {
    const fn name(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox_full",
            Self::JournalFault => "journal_fault",
            Self::Stopping => "stopping",
            Self::Empty => "empty",
        }
    }
}

/// All metrics of ingest. Clones share their values.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    pub(crate) network: NetworkMetrics,
    pub(crate) writer: WriterMetrics,
}

/// What listeners count.
#[derive(Clone, Debug)]
pub(crate) struct NetworkMetrics {
    events_received: IntCounterVec,
    events_dropped: IntCounterVec,
    pub connections: IntGaugeVec,
    pub connections_refused: IntCounterVec,
    framing_errors: IntCounterVec,
    frames_truncated: IntCounterVec,
    frame_bytes_skipped: IntCounterVec,
    pub agent_refusals: IntCounterVec,
}

/// What the journal writer counts.
#[derive(Clone, Debug)]
pub(crate) struct WriterMetrics {
    pub events_journaled: IntCounter,
    pub commit_events: Histogram,
    pub journal_faults: IntCounter,
    pub mailbox_depth: IntGaugeVec,
    pub delivery_duplicates: IntCounterVec,
    pub delivery_conflicts: IntCounterVec,
}

impl NetworkMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name, labels: &[&str], help| counters(registry, name, labels, help);
        Ok(Self {
            events_received: counters(
                "weir_events_received_total",
                &["transport"],
                "Events taken from the network, before the journal.",
            )?,
            events_dropped: counters(
                "weir_events_dropped_total",
                &["transport", "reason"],
                "Events that reached Weir and are in no journal.",
            )?,
            connections: gauges(
                registry,
                "weir_ingest_connections",
                &["transport"],
                "Open connections of senders.",
            )?,
            connections_refused: counters(
                "weir_ingest_connections_refused_total",
                &["transport"],
                "Connections closed at once because the limit was reached.",
            )?,
            framing_errors: counters(
                "weir_framing_errors_total",
                &["transport", "reason"],
                "Faults in the framing of a stream; the bytes are kept.",
            )?,
            frames_truncated: counters(
                "weir_frames_truncated_total",
                &["transport"],
                "Frames cut at the cap of a frame.",
            )?,
            frame_bytes_skipped: counters(
                "weir_frame_skipped_bytes_total",
                &["transport"],
                "Bytes behind the cap of a frame, not kept.",
            )?,
            agent_refusals: counters(
                "weir_agent_refusals_total",
                &["reason"],
                "Agent connections ended by a refusal.",
            )?,
        })
    }
}

impl WriterMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commit_events = HistogramOpts::new(
            "weir_journal_commit_events",
            "Events that one journal commit made durable.",
        );
        let buckets = vec![0., 1., 10., 100., 300., 1_000., 3_000., 10_000., 30_000.];
        let commit_events = Histogram::with_opts(commit_events.buckets(buckets))?;
        registry.register(Box::new(commit_events.clone()))?;
        Ok(Self {
            events_journaled: counter(
                registry,
                "weir_events_journaled_total",
                "Events made durable in the journal.",
            )?,
            commit_events,
            journal_faults: counter(
                registry,
                "weir_journal_faults_total",
                "Journal commits that failed; nothing in them was acknowledged.",
            )?,
            mailbox_depth: gauges(
                registry,
                "weir_actor_mailbox_depth",
                &["actor"],
                "Messages that wait for an actor, or are in its hands.",
            )?,
            delivery_duplicates: counters(
                registry,
                "weir_delivery_duplicates_total",
                &["protocol"],
                "Events delivered again, not journaled again.",
            )?,
            delivery_conflicts: counters(
                registry,
                "weir_delivery_conflicts_total",
                &["protocol"],
                "Deliveries with the identity of an earlier one and other bytes.",
            )?,
        })
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    labels: &[&str],
    help: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauges(
    registry: &Registry,
    name: &str,
    labels: &[&str],
    help: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

impl IngestMetrics {
    /// Makes the metrics and adds them to `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            network: NetworkMetrics::register(registry)?,
            writer: WriterMetrics::register(registry)?,
        })
    }

    pub(crate) fn received(&self, transport: Transport, events: usize) {
        let counter = self
            .network
            .events_received
            .with_label_values(&[transport.name()]);
        counter.inc_by(events as u64);
    }

    pub(crate) fn dropped(&self, transport: Transport, reason: Dropped, events: u64) {
        if events > 0 {
            let labels = [transport.name(), reason.name()];
            self.network
                .events_dropped
                .with_label_values(&labels)
                .inc_by(events);
        }
    }

    pub(crate) fn framing(&self, transport: Transport, counts: FramingCounts) {
        if counts == FramingCounts::default() {
            return;
        }
        let name = transport.name();
        self.dropped(transport, Dropped::Empty, counts.empty);
        let truncated = self.network.frames_truncated.with_label_values(&[name]);
        truncated.inc_by(counts.truncated);
        let skipped = self.network.frame_bytes_skipped.with_label_values(&[name]);
        skipped.inc_by(counts.skipped_bytes);
        for (reason, count) in [
            ("bad_count", counts.bad_count),
            ("out_of_step", counts.out_of_step),
            ("unterminated", counts.unterminated),
        ] {
            let errors = self
                .network
                .framing_errors
                .with_label_values(&[name, reason]);
            errors.inc_by(count);
        }
    }

    /// A datagram longer than the cap was cut.
    pub(crate) fn truncated(&self, transport: Transport, skipped_bytes: usize) {
        self.framing(
            transport,
            FramingCounts {
                truncated: 1,
                skipped_bytes: skipped_bytes as u64,
                ..FramingCounts::default()
            },
        );
    }

    /// How many events of `transport` were dropped for `reason`.
    #[must_use]
    pub fn dropped_so_far(&self, transport: Transport, reason: Dropped) -> u64 {
        let labels = [transport.name(), reason.name()];
        self.network.events_dropped.with_label_values(&labels).get()
    }
}
