//! The errors that ports return.

use std::time::Duration;

/// Why a port could not answer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A retry may succeed: Weir is starting, rebuilding or stopping.
    #[error("not available now: {0}")]
    Unavailable(String),
    /// Another process of the cluster answers this request.
    #[error("answered by another process: {0}")]
    Misdirected(String),
    /// An internal failure that an operator has to look at.
    #[error("failed: {0}")]
    Failed(String),
}

/// Why batches were refused; none of their events may be considered durable.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("too many events are waiting to be journaled")]
    Busy { retry_after: Duration },
    #[error("this idempotency key was used before with another body")]
    Conflict,
    #[error("events cannot be accepted now: {reason}")]
    Unavailable { reason: String },
}

/// Why a change of rules was refused.
#[derive(Debug, thiserror::Error)]
pub enum RuleUpdateError {
    #[error("the rule's text was refused")]
    Refused(Vec<RuleDiagnostic>),
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A fault in a rule's text, with its place.
#[derive(Clone, Debug)]
pub struct RuleDiagnostic {
    /// The file, or the channel by which the text arrived.
    pub origin: String,
    /// Line of the whole file or body, from 1.
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub message: String,
    pub hint: Option<String>,
    /// Whether the fault keeps the text out of force.
    pub refused: bool,
}
