//! Entries of the journal: batches of raw frames, control entries, and the seals that close epochs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::frames::Frames;
use crate::id::{BatchSeq, Epoch, SourceKey, TenantKey};
use crate::time::ReceiveTime;

/// One entry of the journal, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Shared: the readers that follow the journal get the writer's own copy.
    Batch(Arc<Batch>),
    Control(Control),
    /// Closes an epoch: all entries since the previous seal belong to `epoch`.
    Seal {
        epoch: Epoch,
    },
}

impl From<Batch> for Entry {
    fn from(batch: Batch) -> Self {
        Self::Batch(Arc::new(batch))
    }
}

/// Raw frames of one source and peer, received together.
///
/// A batch is never empty and has at most [`crate::Position::FRAMES_MAX`] frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Name of the tenant, from configuration.
    pub tenant: String,
    /// Name of the source: from configuration, or the agent id or file name.
    pub source: String,
    pub transport: Transport,
    pub format: Format,
    /// Address of the sender, if known.
    pub peer: Option<String>,
    /// IANA time zone for times without an offset; UTC if absent.
    pub zone: Option<String>,
    /// `category=C,product=P,service=S` for frames whose format does not state it.
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

/// How a batch arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    Udp,
    Tcp,
    Http,
    Agent,
    File,
    // Add new variants at the end: the journal stores a variant's index.
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

    /// The label in metrics and the API.
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

/// The format of the frames of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// RFC 3164 or RFC 5424, detected per frame; any other frame is stored with a problem.
    Syslog,
    /// One JSON object per frame.
    Json,
    /// One FlatBuffers `AgentEvent` per frame.
    Agent,
    /// Detected per frame: a frame that starts with `{` is JSON, any other is syslog.
    Auto,
}

/// Identifies one delivery of a sender that may repeat it, so that a repeat is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Frames `first_sequence ..` of an agent's spool, without a gap.
    Agent {
        agent: String,
        spool: u64,
        first_sequence: u64,
    },
    /// A part of an HTTP request with an `Idempotency-Key`.
    Http {
        key: String,
        /// Hash of the request body.
        digest: [u8; 16],
        part: u32,
        last: bool,
    },
}

/// A closed epoch as the graph reads it: control entries, then batches, each in journal order.
#[derive(Clone, Debug)]
pub struct SealedEpoch {
    pub epoch: Epoch,
    pub controls: Vec<Control>,
    /// Control entries from the journal of a process that does not lead. Only clocks read them.
    pub follower_controls: Vec<Control>,
    pub batches: Vec<(BatchSeq, Arc<Batch>)>,
}
