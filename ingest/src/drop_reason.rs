//! The reasons for which an event is not journaled.

/// Reason why a received event is not in the journal: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The writer's limits were reached, and the transport cannot wait.
    MailboxFull,
    /// The journal failed. The sender sends the event again if the protocol allows it.
    JournalFault,
    /// The event arrived while ingest was stopping.
    Stopping,
    /// The event had no bytes.
    Empty,
    /// The event was delivered before.
    Duplicate,
    /// Earlier events of its spool are missing.
    Gap,
    /// Its idempotency key was used for a different body.
    Conflict,
    /// Its batch is invalid.
    Invalid,
}

impl DropReason {
    /// All reasons, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::MailboxFull,
        Self::JournalFault,
        Self::Stopping,
        Self::Empty,
        Self::Duplicate,
        Self::Gap,
        Self::Conflict,
        Self::Invalid,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox_full",
            Self::JournalFault => "journal_fault",
            Self::Stopping => "stopping",
            Self::Empty => "empty",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
        }
    }
}
