//! The sender's side of the agent protocol: events out, resumed after a cut until durable.
//!
//! ```no_run
//! # async fn send() -> Result<(), weir_agent::AgentError> {
//! use weir_agent::{AgentClient, AgentIdentity, encode_event};
//!
//! let identity = AgentIdentity {
//!     agent: "web1".into(),
//!     spool: 1,
//!     token: "secret".into(),
//! };
//! let client = AgentClient::connect("127.0.0.1:6515", identity).await?;
//! let line = "<13>Feb  5 17:32:18 web1 su: ok";
//! client.push(encode_event(0, None, None, &[], Some(line))).await?;
//! client.flush().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **The spool is in memory.** What is pushed and not yet acknowledged dies with the process. Who
//! must not lose it keeps it on disk, with its sequence numbers, until
//! [`AgentClient::acknowledged`] has passed them, and after a restart pushes it again, with
//! [`AgentOptions::first_sequence`] the number of its first event. Weir knows the events by (agent,
//! spool, sequence) and drops those that it has.

mod client;

mod connection;

mod spool;

mod tls;

pub use client::{AgentClient, AgentIdentity, AgentOptions};
pub use spool::EVENT_BYTES_MAX;
pub use tls::AgentTls;
pub use weir_schema::agent::encode_event;

use std::io;
use std::sync::Arc;

/// Why events are not delivered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot reach Weir at {address}")]
    Connect {
        address: String,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("cannot believe any server by these authorities: {0}")]
    Authority(String),
    #[error("the connection to Weir broke")]
    Connection(#[source] Arc<io::Error>),
    #[error("Weir refused the agent: {0}")]
    Refused(String),
    #[error("Weir answered what is not of the agent protocol")]
    Protocol,
    #[error(
        "Weir expects event {expected} of the spool, and the oldest here is {oldest}; \
         start a new spool id for what is left"
    )]
    Gap { expected: u64, oldest: u64 },
    #[error("the event has {bytes} bytes, and one has at most {EVENT_BYTES_MAX}")]
    EventTooLarge { bytes: usize },
    #[error("the spool has used up its sequence numbers; start a new spool id")]
    SpoolExhausted,
}

impl AgentError {
    /// Whether the same spool may be delivered later.
    pub(crate) fn is_final(&self) -> bool {
        use weir_schema::agent::refusal::{GAP, UNAVAILABLE};
        match self {
            Self::Connect { .. } | Self::Connection(_) => false,
            Self::Refused(reason) => !(reason.starts_with(GAP) || reason.starts_with(UNAVAILABLE)),
            Self::Authority(_)
            | Self::Protocol
            | Self::Gap { .. }
            | Self::EventTooLarge { .. }
            | Self::SpoolExhausted => true,
        }
    }
}
