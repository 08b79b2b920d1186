//! The counters of ingest; every label is from a closed set.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use weir_schema::Transport;

use crate::balance::Balance;
use crate::ended::{Closed, Refusal};
use crate::framing::FramingCounts;

/// Why an event that reached us is in no journal; the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The writer's limits were reached and the transport cannot wait.
    MailboxFull,
    /// The journal failed; where the transport can, its sender sends again.
    JournalFault,
    /// It came while ingest was stopping.
    Stopping,
    /// It held no byte.
    Empty,
    /// It was delivered before.
    Duplicate,
    /// Events of its spool before it are missing.
    Gap,
    /// Its idempotency key was used for another body.
    Conflict,
    /// Its batch is not one that can be taken.
    Invalid,
}

impl DropReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::MailboxFull,
        Self::JournalFault,
        Self::Stopping,
        Self::Empty,
        Self::Duplicate,
        Self::Gap,
        Self::Conflict,
        Self::Invalid,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox_full",
            Self::JournalFault => "journal_fault",
            Self::Stopping => "stopping",
            Self::Empty => "empty",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
        }
    }
}

/// The transports that have connections.
const CONNECTED: [Transport; 4] = [
    Transport::Tcp,
    Transport::Tls,
    Transport::Relp,
    Transport::Agent,
];

/// What can be wrong with the framing of a stream.
const FRAMING_REASONS: [&str; 3] = ["bad_count", "out_of_step", "unterminated"];

/// All metrics of ingest. Clones share their values.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    pub(crate) network: NetworkMetrics,
    pub(crate) writer: WriterMetrics,
    balance: Balance,
}

/// What listeners count.
#[derive(Clone, Debug)]
pub(crate) struct NetworkMetrics {
    events_received: IntCounterVec,
    events_dropped: IntCounterVec,
    udp_kernel_dropped: IntCounter,
    pub connections: IntGaugeVec,
    connections_refused: IntCounterVec,
    connections_closed: IntCounterVec,
    tls_reloads: IntCounterVec,
    certificate_expiry: IntGauge,
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
            udp_kernel_dropped: counter(
                registry,
                "weir_udp_kernel_dropped_total",
                "Datagrams that the kernel dropped at the socket of syslog over UDP.",
            )?,
            connections: gauges(
                registry,
                "weir_ingest_connections",
                &["transport"],
                "Open connections of senders.",
            )?,
            connections_refused: counters(
                "weir_ingest_connections_refused_total",
                &["transport", "reason"],
                "Connections closed at once because a limit was reached.",
            )?,
            connections_closed: counters(
                "weir_ingest_connections_closed_total",
                &["transport", "reason"],
                "Connections that were taken and have ended.",
            )?,
            tls_reloads: counters(
                "weir_tls_reloads_total",
                &["result"],
                "Changes of the files of TLS, taken or refused.",
            )?,
            certificate_expiry: gauge(
                registry,
                "weir_tls_certificate_expiry_seconds",
                "When the server's certificate ends, in seconds since 1970; 0 without TLS.",
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

/// What becomes of the events of each source; [`Balance`] keeps the rows.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    pub received: IntCounterVec,
    pub journaled: IntCounterVec,
    pub refused: IntCounterVec,
    pub decoded: IntCounterVec,
    pub troubled: IntCounterVec,
    pub heard: IntGaugeVec,
    pub event_time: IntGaugeVec,
}

impl SourceMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["tenant", "source"];
        let with_reason = ["tenant", "source", "reason"];
        Ok(Self {
            received: counters(
                registry,
                "weir_source_received_total",
                &labels,
                "Events that came to the journal's door.",
            )?,
            journaled: counters(
                registry,
                "weir_source_journaled_total",
                &labels,
                "Events made durable in the journal.",
            )?,
            refused: counters(
                registry,
                "weir_source_refused_total",
                &with_reason,
                "Events that came to the journal's door and were not journaled.",
            )?,
            decoded: counters(
                registry,
                "weir_source_decoded_total",
                &labels,
                "Events journaled by this process and decoded without a problem.",
            )?,
            troubled: counters(
                registry,
                "weir_source_problem_events_total",
                &labels,
                "Events journaled by this process and kept with a problem.",
            )?,
            heard: gauges(
                registry,
                "weir_source_heard_seconds",
                &labels,
                "When the source was heard last, in seconds since 1970.",
            )?,
            event_time: gauges(
                registry,
                "weir_source_event_time_seconds",
                &labels,
                "The greatest credible event time of the source, in seconds since 1970.",
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

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
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
        let network = NetworkMetrics::register(registry)?;
        let sources = SourceMetrics::register(registry)?;
        let balance = Balance::new(sources, network.events_received.clone());
        let metrics = Self {
            network,
            writer: WriterMetrics::register(registry)?,
            balance,
        };
        metrics.show_all();
        Ok(metrics)
    }

    /// Datagrams that the kernel dropped before we could read them.
    pub(crate) fn udp_kernel_dropped(&self) -> IntCounter {
        self.network.udp_kernel_dropped.clone()
    }

    /// What became of the events of each source.
    #[must_use]
    pub fn balance(&self) -> &Balance {
        &self.balance
    }

    /// Makes every row there can be, so that rules and dashboards find them before they count.
    fn show_all(&self) {
        let NetworkMetrics {
            events_received,
            events_dropped,
            connections,
            connections_refused,
            connections_closed,
            tls_reloads,
            framing_errors,
            frames_truncated,
            frame_bytes_skipped,
            ..
        } = &self.network;
        for transport in Transport::ALL {
            let name = transport.name();
            let _ = (
                events_received.with_label_values(&[name]),
                frames_truncated.with_label_values(&[name]),
                frame_bytes_skipped.with_label_values(&[name]),
            );
            for reason in [
                DropReason::MailboxFull,
                DropReason::JournalFault,
                DropReason::Stopping,
                DropReason::Empty,
            ] {
                let _ = events_dropped.with_label_values(&[name, reason.name()]);
            }
            for reason in FRAMING_REASONS {
                let _ = framing_errors.with_label_values(&[name, reason]);
            }
        }
        for name in CONNECTED.map(Transport::name) {
            let _ = connections.with_label_values(&[name]);
            for reason in Refusal::ALL {
                let _ = connections_refused.with_label_values(&[name, reason.name()]);
            }
            for reason in Closed::ALL {
                let _ = connections_closed.with_label_values(&[name, reason.name()]);
            }
        }
        for result in ["used", "refused"] {
            let _ = tls_reloads.with_label_values(&[result]);
        }
        for protocol in ["agent", "http"] {
            let _ = self
                .writer
                .delivery_duplicates
                .with_label_values(&[protocol]);
            let _ = self
                .writer
                .delivery_conflicts
                .with_label_values(&[protocol]);
        }
        let _ = self.writer.mailbox_depth.with_label_values(&["journal"]);
        for reason in ["unauthorized", "protocol", "gap", "unavailable"] {
            let refusals = &self.network.agent_refusals;
            let _ = refusals.with_label_values(&[reason]);
        }
    }

    /// Counts events that the door did not see, or whose sender cannot send them again.
    pub(crate) fn dropped(&self, transport: Transport, reason: DropReason, events: u64) {
        if events > 0 {
            if reason == DropReason::Empty {
                // It never comes to the door, which counts the others.
                self.balance.received(transport, events);
            }
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
        self.dropped(transport, DropReason::Empty, counts.empty);
        let truncated = self.network.frames_truncated.with_label_values(&[name]);
        truncated.inc_by(counts.truncated);
        let skipped = self.network.frame_bytes_skipped.with_label_values(&[name]);
        skipped.inc_by(counts.skipped_bytes);
        let counts = [counts.bad_count, counts.out_of_step, counts.unterminated];
        for (reason, count) in FRAMING_REASONS.into_iter().zip(counts) {
            let errors = self
                .network
                .framing_errors
                .with_label_values(&[name, reason]);
            errors.inc_by(count);
        }
    }

    pub(crate) fn connection_refused(&self, transport: Transport, reason: Refusal) {
        let labels = [transport.name(), reason.name()];
        let counter = &self.network.connections_refused;
        counter.with_label_values(&labels).inc();
    }

    pub(crate) fn connection_closed(&self, transport: Transport, reason: Closed) {
        let labels = [transport.name(), reason.name()];
        let counter = &self.network.connections_closed;
        counter.with_label_values(&labels).inc();
    }

    /// The files of TLS have changed; `result` is `used` or `refused`.
    pub(crate) fn tls_reloaded(&self, result: &str) {
        self.network.tls_reloads.with_label_values(&[result]).inc();
    }

    pub(crate) fn certificate_expiry(&self, seconds: i64) {
        self.network.certificate_expiry.set(seconds);
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
    pub fn dropped_so_far(&self, transport: Transport, reason: DropReason) -> u64 {
        let labels = [transport.name(), reason.name()];
        self.network.events_dropped.with_label_values(&labels).get()
    }
}
