//! Where a client connects, and as which agent.

use crate::tls::AgentTls;

/// The identity of a sender. The token is a secret: `Debug` omits it.
#[derive(Clone)]
pub struct AgentIdentity {
    /// 1 to 255 printable characters, without spaces.
    pub agent: String,
    /// A new spool starts a new sequence, at 0.
    pub spool: u64,
    pub token: String,
}

impl std::fmt::Debug for AgentIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentIdentity({}, spool {})", self.agent, self.spool)
    }
}

/// Address, identity and TLS settings of a client's connections.
pub(crate) struct Target {
    pub address: String,
    pub identity: AgentIdentity,
    pub tls: Option<AgentTls>,
}
