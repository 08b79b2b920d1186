//! What the journal holds: batches of raw frames, control entries, and seals that close an epoch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::frames::Frames;
use crate::id::{AlertId, BatchSeq, Epoch, SourceKey, TenantKey};
use crate::time::{EventTime, ReceiveTime};

/// How a batch came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    Udp,
    Tcp,
    Http,
    Agent,
    File,
    // New ones at the end: a journal holds the number of a variant.
    /// Syslog over TLS.
    Tls,
    /// Syslog over RELP, plain or within TLS.
    Relp,
}

impl Transport {
    /// All transports, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Udp,
        Self::Tcp,
        Self::Http,
        Self::Agent,
        Self::File,
        Self::Tls,
        Self::Relp,
    ];

    /// The label that metrics and the API use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Agent => "agent",
            Self::File => "file",
            Self::Tls => "tls",
            Self::Relp => "relp",
        }
    }
}

/// How the frames of a batch are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// RFC 3164 or RFC 5424, told apart frame by frame; what is neither is kept with a problem.
    Syslog,
    /// One JSON object a frame.
    Json,
    /// One FlatBuffers `AgentEvent` a frame.
    Agent,
    /// Told frame by frame: a frame that starts with `{` is JSON, else it is syslog.
    Auto,
}

/// Names one delivery of a sender that may repeat itself, so that a repeat is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Frames `first_sequence ..` of a spool of an agent, without gap.
    Agent {
        agent: String,
        spool: u64,
        first_sequence: u64,
    },
    /// An HTTP request with an `Idempotency-Key`; `digest` is of its body, `lines` the number of its lines, accepted or not.
    Http {
        key: String,
        digest: [u8; 16],
        part: u32,
        last: bool,
    },
}

/// Raw frames of one source and peer, taken in together. Never empty; at most [`crate::Position::FRAMES_MAX`] frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Name of the tenant, from configuration.
    pub tenant: String,
    /// Name of the source, from configuration, agent id or file name.
    pub source: String,
    pub transport: Transport,
    pub format: Format,
    /// Address of the sender, where there is one.
    pub peer: Option<String>,
    /// IANA name of the zone in which times without an offset are read; UTC where absent.
    pub zone: Option<String>,
    /// `category=C,product=P,service=S` declared for frames whose format does not say.
    pub logsource: Option<String>,
    pub received: ReceiveTime,
    pub delivery: Option<Delivery>,
    pub frames: Frames,
}

impl Batch {
    #[must_use]
    pub fn tenant_key(&self) -> TenantKey {
        TenantKey::of(&[self.tenant.as_bytes()])
    }

    #[must_use]
    pub fn source_key(&self) -> SourceKey {
        source_key(&self.tenant, &self.source)
    }
}

/// The key of a source of a tenant.
#[must_use]
pub fn source_key(tenant: &str, source: &str) -> SourceKey {
    SourceKey::of(&[tenant.as_bytes(), source.as_bytes()])
}

/// What changes results besides events. Applied before the batches of its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Written at every start: what bears on results.
    Start {
        /// Version of the binary.
        version: String,
        bounds: TimeBounds,
        received: ReceiveTime,
    },
    /// The wall clock, so that idle sources stop holding the watermark. No operator reads a clock.
    Tick { received: ReceiveTime },
    /// A source says that it has nothing older than `time` to send.
    Heartbeat {
        tenant: String,
        source: String,
        time: EventTime,
    },
    /// Adds a rule, or replaces the rule of the same id. `text` is one YAML document of Sigma.
    RulePut {
        text: String,
        /// Where the text came from, for diagnostics.
        origin: String,
        /// Events before it are not seen by this rule.
        since: EventTime,
    },
    /// Stops a rule from `until` on; what it said stands.
    RuleDisable { rule: String, until: EventTime },
    /// The rule should never have spoken: all of its alerts are retracted.
    RuleRemove { rule: String },
    /// Input ends: the watermark goes to the greatest credible event time.
    Finish,
    /// What configuration says that bears on the meaning of rules; in place of what it said before.
    Settings {
        /// A small JSON document: placeholders, and texts of log source mappings.
        text: String,
        /// Events before it are read under what was said before.
        since: EventTime,
    },
    /// Tries changes of rules beside the rules: what they would say is kept apart until they are
    /// promoted or dropped.
    WhatIfPut {
        id: crate::id::WhatIfId,
        /// In the order in which they would be made.
        changes: Vec<crate::what_if::RuleChange>,
        /// Where the rules that they put begin.
        since: EventTime,
        /// Whether earlier events may be read again for it. Else it is refused where it cannot be
        /// worked out from what correlations still hold.
        from_journal: bool,
    },
    /// Its changes are made, as if that had been done when it was put.
    WhatIfPromote { id: crate::id::WhatIfId },
    /// It is over, and nothing has changed.
    WhatIfDrop { id: crate::id::WhatIfId },
    /// How far a sink has come, so that a rebuilt store does not send twice. Bears on no result.
    Delivered(Delivered),
    /// When a source is in trouble; written at every start, in place of what was written before.
    SelfAlerts(SourceBounds),
}

/// When alerts are raised about a source. A span or factor of 0 never raises one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceBounds {
    /// Silent: unheard for so long, after it was heard for at least as long.
    pub silent: crate::time::Span,
    /// Lagging: its newest events are so far behind the furthest source of its tenant.
    pub lagging: crate::time::Span,
    /// Flooding: so many times as many events a minute as it sends usually ...
    pub flooding: u32,
    /// ... and at least so many.
    pub flooding_least: u64,
    /// Skewed: it tells times so far beyond their receipt.
    pub clock_skew: crate::time::Span,
    /// Lagging and skewed sources have been so for so long.
    pub patience: crate::time::Span,
}

impl SourceBounds {
    /// Whether any alert can be raised.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.silent.0 > 0 || self.lagging.0 > 0 || self.flooding > 0 || self.clock_skew.0 > 0
    }
}

/// What changed of a sink's state since its entry before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Name of the sink, from configuration.
    pub sink: String,
    /// Outbox rows up to this one are delivered, but for those of alerts that are held back.
    pub epoch: Epoch,
    pub ordinal: u32,
    /// Alerts that are held back, and were not, or otherwise, in the entry before.
    pub held: Vec<HeldBack>,
    /// Alerts that were held back in the entry before, and are no longer.
    pub freed: Vec<AlertId>,
    /// Why nothing is sent until a person says so.
    pub stopped: Option<String>,
}

/// An alert of which a sink has rows that are not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub alert: AlertId,
    /// The first outbox row of the alert that is not delivered.
    pub epoch: Epoch,
    pub ordinal: u32,
    /// When it was first tried, or read.
    pub since: ReceiveTime,
    /// Why it was given up, if it was.
    pub dead: Option<String>,
}

/// How event time is bounded. Spans in nanoseconds; see `docs/ARCHITECTURE.md`, "Time".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeBounds {
    /// The watermark runs this far behind the greatest event time of a source.
    pub lateness: crate::time::Span,
    /// How far behind the watermark an event may still correct. `None`: everything corrects.
    pub horizon: Option<crate::time::Span>,
    /// A source unheard for so long stops holding the watermark.
    pub idle: crate::time::Span,
    /// An event time so far beyond its receipt is a problem and enters no correlation.
    pub future_tolerance: crate::time::Span,
    /// A source so far behind the furthest one stops holding the watermark.
    pub lag_max: crate::time::Span,
    /// Whether the watermark moves before input ends; false for a replay without horizon.
    pub live: bool,
}

impl Default for TimeBounds {
    fn default() -> Self {
        use crate::time::Span;
        Self {
            lateness: Span::seconds(60),
            horizon: Some(Span::seconds(24 * 3600)),
            idle: Span::seconds(300),
            future_tolerance: Span::seconds(300),
            lag_max: Span::seconds(3600),
            live: true,
        }
    }
}

/// One entry of the journal, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Shared, since whoever follows the journal reads it from where it was written.
    Batch(Arc<Batch>),
    Control(Control),
    /// Closes an epoch: all entries since the seal before it belong to `epoch`.
    Seal {
        epoch: Epoch,
    },
}

impl From<Batch> for Entry {
    fn from(batch: Batch) -> Self {
        Self::Batch(Arc::new(batch))
    }
}

/// A closed epoch, as the graph reads it: control entries first, then batches, each in journal order.
#[derive(Clone, Debug)]
pub struct SealedEpoch {
    pub epoch: Epoch,
    pub controls: Vec<Control>,
    /// Of the journal of a process that does not lead: clocks hear them, nothing else does.
    pub heard: Vec<Control>,
    pub batches: Vec<(BatchSeq, std::sync::Arc<Batch>)>,
}
