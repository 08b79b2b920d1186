//! The messages that the intake sends to the journal writer, and the mailbox they go through.

use tokio::sync::oneshot;

use crate::commit::Submission;
use crate::journal::JournalFault;

/// Asks for the sequence up to which all events of a spool are durable.
pub(crate) struct NextSequenceQuery {
    pub tenant: String,
    pub agent: String,
    pub spool: u64,
    pub reply: oneshot::Sender<u64>,
}

/// Receives the result of the last commit once the writer has stopped.
pub(crate) type StopReply = oneshot::Sender<Result<(), JournalFault>>;

/// The mailbox of the journal writer. The trait hides the writer's journal port from the intake.
pub(crate) trait Mailbox: Send + Sync {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxError<Submission>>;
    fn try_query(&self, query: NextSequenceQuery) -> Result<(), MailboxError<NextSequenceQuery>>;
    fn try_stop(&self, reply: StopReply) -> Result<(), MailboxError<StopReply>>;
}

/// Why the mailbox did not accept a message; it returns the message.
pub(crate) enum MailboxError<M> {
    Full(M),
    Closed(M),
}
