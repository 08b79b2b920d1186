//! Client of the agent protocol: sends events, and resumes after a broken connection.
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
//! **The spool is in memory.** Events that are pushed and not yet acknowledged are lost with the
//! process. If you must not lose them, store them on disk with their sequence numbers until
//! [`AgentClient::acknowledged`] has passed them. After a restart, push them again, and set
//! [`AgentOptions::first_sequence`] to the number of the first one. Weir identifies events by
//! (agent, spool, sequence) and drops repeats.

mod client;

mod target;

mod connection;

mod shared_spool;

mod spool;

mod tls;

pub use client::{AgentClient, AgentOptions};
pub use spool::EVENT_BYTES_MAX;
pub use target::AgentIdentity;
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
    #[error("cannot use the certificate authorities: {0}")]
    Authority(String),
    #[error("the connection to Weir broke")]
    Connection(#[source] Arc<io::Error>),
    #[error("Weir refused the agent: {0}")]
    Refused(String),
    #[error("Weir's reply violates the agent protocol")]
    Protocol,
    #[error(
        "Weir expects event {expected} of the spool, but the oldest one here is {oldest}; \
         start a new spool id for the remaining events"
    )]
    Gap { expected: u64, oldest: u64 },
    #[error("the event has {bytes} bytes, over the limit of {EVENT_BYTES_MAX}")]
    EventTooLarge { bytes: usize },
    #[error("the spool has used up its sequence numbers; start a new spool id")]
    SpoolExhausted,
}

impl AgentError {
    /// Whether a later connection may succeed: the server is absent, starting, stopping or full.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !self.is_final()
    }

    /// Whether retrying with the same spool is useless.
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
