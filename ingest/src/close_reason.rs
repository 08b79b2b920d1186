//! Why connections are refused, and why they end: one reason each, counted.

/// Why a connection was closed before a byte of it was read; the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// The source has as many as it may.
    Limit,
    /// The sender's address has as many as it may.
    PeerLimit,
}

impl RefusalReason {
    pub const ALL: [Self; 2] = [Self::Limit, Self::PeerLimit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::PeerLimit => "peer_limit",
        }
    }
}

/// Why a connection that was taken has ended; the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// Its sender ended it.
    Sender,
    /// The network did, or its sender without a word.
    Broken,
    /// Nothing came first, or no greeting, in time.
    Silent,
    /// A frame that had begun was not whole in time.
    Slow,
    /// Nothing came for as long as is allowed.
    Idle,
    /// What came is not the protocol, or was refused by it.
    Protocol,
    /// Its sender does not read the answers.
    Unread,
    /// Ingest was stopping.
    Stopping,
    /// The handshake of TLS was not done in time.
    HandshakeSlow,
    /// It was cut off.
    HandshakeCut,
    /// It failed: no TLS, or none in common.
    HandshakeFailed,
    /// The sender's certificate is missing or not accepted.
    CertificateRefused,
    /// The sender does not accept our certificate.
    CertificateDisliked,
}

impl CloseReason {
    pub const ALL: [Self; 13] = [
        Self::Sender,
        Self::Broken,
        Self::Silent,
        Self::Slow,
        Self::Idle,
        Self::Protocol,
        Self::Unread,
        Self::Stopping,
        Self::HandshakeSlow,
        Self::HandshakeCut,
        Self::HandshakeFailed,
        Self::CertificateRefused,
        Self::CertificateDisliked,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Protocol => "protocol",
            Self::Unread => "unread",
            Self::Stopping => "stopping",
            Self::HandshakeSlow => "handshake_slow",
            Self::HandshakeCut => "handshake_cut",
            Self::HandshakeFailed => "handshake_failed",
            Self::CertificateRefused => "certificate_refused",
            Self::CertificateDisliked => "certificate_disliked",
        }
    }
}
