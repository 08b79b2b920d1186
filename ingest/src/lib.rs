//! From the network into the journal: listeners, framer, one writer; actors that pass batches.
//!
//! ```text
//!  TCP, TLS ─► TcpSource ───┐ framer, batches of <= 1,000
//!  RELP ─────► RelpSource ──┤
//!  UDP ──────► UdpSource ───┤           submissions_max, bytes_max
//!  agent ────► AgentSource ─┼─► Intake ═══════════════════════════► JournalWriter ─► JournalPort
//!  HTTP ────────────────────┘   all but UDP wait; UDP drops         own thread, group commit
//! ```

pub mod framing;

pub mod sources;

mod gather;

pub mod tcp;

pub mod relp;

pub mod udp;

pub mod agent;

mod listener;

mod wire;

pub mod tls;

mod certificate;

#[doc(hidden)]
pub mod fuzz;

mod ended;

pub mod journal;

pub mod deliveries;

mod spool;

mod commit;

pub mod intake;

pub mod writer;

pub mod metrics;

pub mod balance;

pub use agent::{AgentSourceOptions, AgentSource, TokenCheck, tokens_equal};
pub use balance::{Balance, DecodeOutcome};
pub use commit::CommitOptions;
pub use deliveries::Deliveries;
pub use intake::{Intake, PendingReceipt};
pub use journal::{
    CommitReceipt, ReceiveClock, FaultKind, JournalFault, JournalPort, SubmitError, SystemClock,
};
pub use listener::{ConnectionLimits, SourceHandle};
pub use metrics::{DropReason, IngestMetrics};
pub use relp::RelpSource;
pub use sources::{BatchOrigin, SourceDefinition, SourceTable};
pub use tcp::{TcpOptions, TcpSource};
pub use tls::{ServeTlsError, TlsFiles, TlsServer};
pub use udp::{UdpOptions, UdpSource};
pub use writer::{IngestWriter, WriterOptions};

#[cfg(test)]
mod tests;
