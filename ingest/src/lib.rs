//! From the network into the journal: listeners, framer, one writer; actors that pass batches.
//!
//! ```text
//!  TCP ───► TcpSource ───┐ framer, batches of <= 1,000
//!  UDP ───► UdpSource ───┤           submissions_max, bytes_max
//!  agent ─► AgentSource ─┼─► Intake ═══════════════════════════► JournalWriter ─► JournalPort
//!  HTTP ─────────────────┘   TCP, agent, HTTP wait; UDP drops    own thread, group commit
//! ```

pub mod framing;

pub mod sources;

pub mod tcp;

pub mod udp;

pub mod agent;

mod listener;

pub mod journal;

pub mod deliveries;

mod spool;

mod commit;

pub mod intake;

pub mod writer;

pub mod metrics;

pub mod balance;

pub use agent::{AgentOptions, AgentSource, TokenCheck, tokens_equal};
pub use balance::{Balance, Judged};
pub use commit::CommitOptions;
pub use deliveries::Deliveries;
pub use intake::{Intake, Pending};
pub use journal::{
    Accepted, Clock, FaultKind, JournalFault, JournalPort, SubmitError, SystemClock,
};
pub use listener::SourceHandle;
pub use metrics::{Dropped, IngestMetrics};
pub use sources::{Origin, Source, SourceTable};
pub use tcp::{TcpOptions, TcpSource};
pub use udp::{UdpOptions, UdpSource};
pub use writer::{JournalWriter, WriterOptions};

#[cfg(test)]
mod tests;
