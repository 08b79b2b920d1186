//! Receives events from the network and writes them to the journal.
//!
//! Listeners convert byte streams to batches of frames and submit them to one writer.
//!
//! ```text
//!  TCP, TLS ─► TcpSource ───┐ framer, batches of <= 1,000
//!  RELP ─────► RelpSource ──┤
//!  UDP ──────► UdpSource ───┤           submissions_max, bytes_max
//!  agent ────► AgentSource ─┼─► Intake ═══════════════════════════► IngestWriter ─► JournalPort
//!  HTTP ────────────────────┘   all but UDP wait; UDP drops         own thread, group commit
//! ```

pub mod framing;

pub mod sources;

mod batcher;

pub mod tcp;

pub mod relp;

pub mod udp;

pub mod agent;

mod listener;

mod places;

mod stream;

pub mod tls;

mod certificate;

#[doc(hidden)]
pub mod fuzz;

mod close_reason;

mod drop_reason;

pub mod journal;

mod clock;

pub mod deliveries;

mod spool;

mod commit;

mod mailbox;

pub mod intake;

pub mod writer;

pub mod balance;

pub mod metrics;

mod registration;

pub use agent::{AgentSource, AgentSourceOptions, TokenCheck, tokens_equal};
pub use balance::{Balance, DecodeOutcome, SourceName};
pub use clock::{ClockFollower, SteadyClock};
pub use commit::CommitOptions;
pub use deliveries::Deliveries;
pub use drop_reason::DropReason;
pub use intake::{Intake, PendingReceipt};
pub use journal::{
    CommitReceipt, FaultKind, JournalFault, JournalPort, ReceiveClock, SubmitError, SystemClock,
};
pub use listener::{ConnectionLimits, SourceHandle};
pub use metrics::IngestMetrics;
pub use relp::RelpSource;
pub use sources::{BatchOrigin, SourceDefinition, SourceTable};
pub use tcp::{TcpOptions, TcpSource};
pub use tls::{ServeTlsError, TlsFiles, TlsServer};
pub use udp::{UdpOptions, UdpSource};
pub use writer::{IngestWriter, WriterOptions};

#[cfg(test)]
mod tests;
