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
    events_received: IntCounterVec,
    events_dropped: IntCounterVec,
    pub(crate) events_journaled: IntCounter,
    pub(crate) connections: IntGaugeVec,
    pub(crate) connections_refused: IntCounterVec,
    framing_errors: IntCounterVec,
    frames_truncated: IntCounterVec,
    frame_bytes_skipped: IntCounterVec,
    pub(crate) mailbox_depth: IntGaugeVec,
    pub(crate) commit_events: Histogram,
    pub(crate) journal_faults: IntCounter,
    pub(crate) delivery_duplicates: IntCounterVec,
    pub(crate) delivery_conflicts: IntCounterVec,
    pub(crate) agent_refusals: IntCounterVec,
}

impl IngestMetrics {
    /// Makes the metrics and adds them to `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let commit_events = Histogram::with_opts(
            HistogramOpts::new(
                "weir_journal_commit_events",
                "Events that one journal commit made durable.",
            )
            .buckets(vec![
                0., 1., 10., 100., 300., 1_000., 3_000., 10_000., 30_000.,
            ]),
        )?;
        registry.register(Box::new(commit_events.clone()))?;
        Ok(Self {
            events_received: counters(
                "weir_events_received_total",
                "Events taken from the network, before the journal.",
                &["transport"],
            )?,
            events_dropped: counters(
                "weir_events_dropped_total",
                "Events that reached Weir and are in no journal.",
                &["transport", "reason"],
            )?,
            events_journaled: counter(
                "weir_events_journaled_total",
                "Events made durable in the journal.",
            )?,
            connections: gauges(
                "weir_ingest_connections",
                "Open connections of senders.",
                &["transport"],
            )?,
            connections_refused: counters(
                "weir_ingest_connections_refused_total",
                "Connections closed at once because the limit was reached.",
                &["transport"],
            )?,
            framing_errors: counters(
                "weir_framing_errors_total",
                "Faults in the framing of a stream; the bytes are kept.",
                &["transport", "reason"],
            )?,
            frames_truncated: counters(
                "weir_frames_truncated_total",
                "Frames cut at the cap of a frame.",
                &["transport"],
            )?,
            frame_bytes_skipped: counters(
                "weir_frame_skipped_bytes_total",
                "Bytes behind the cap of a frame, not kept.",
                &["transport"],
            )?,
            mailbox_depth: gauges(
                "weir_actor_mailbox_depth",
                "Messages that wait for an actor, or are in its hands.",
                &["actor"],
            )?,
            commit_events,
            journal_faults: counter(
                "weir_journal_faults_total",
                "Journal commits that failed; nothing in them was acknowledged.",
            )?,
            delivery_duplicates: counters(
                "weir_delivery_duplicates_total",
                "Events delivered again, not journaled again.",
                &["protocol"],
            )?,
            delivery_conflicts: counters(
                "weir_delivery_conflicts_total",
                "Deliveries with the identity of an earlier one and other bytes.",
                &["protocol"],
            )?,
            agent_refusals: counters(
                "weir_agent_refusals_total",
                "Agent connections ended by a refusal.",
                &["reason"],
            )?,
        })
    }

    pub(crate) fn received(&self, transport: Transport, events: usize) {
        let counter = self.events_received.with_label_values(&[transport.name()]);
        counter.inc_by(events as u64);
    }

    pub(crate) fn dropped(&self, transport: Transport, reason: Dropped, events: u64) {
        if events > 0 {
            let labels = [transport.name(), reason.name()];
            self.events_dropped
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
        let truncated = self.frames_truncated.with_label_values(&[name]);
        truncated.inc_by(counts.truncated);
        let skipped = self.frame_bytes_skipped.with_label_values(&[name]);
        skipped.inc_by(counts.skipped_bytes);
        for (reason, count) in [
            ("bad_count", counts.bad_count),
            ("out_of_step", counts.out_of_step),
            ("unterminated", counts.unterminated),
        ] {
            let errors = self.framing_errors.with_label_values(&[name, reason]);
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
        self.events_dropped.with_label_values(&labels).get()
    }
}
