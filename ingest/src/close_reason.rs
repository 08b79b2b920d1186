//! The reasons for which connections are refused or closed.

use weir_schema::PlaceReason;

/// Reason why a connection was closed before any byte was read: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// All connections of the source are in use.
    Limit,
    /// The sender's address has its share, and all connections of the source are taken.
    PeerLimit,
    /// The sender's network has its share, and all connections of the source are taken.
    NetworkLimit,
}

impl From<PlaceReason> for RefusalReason {
    fn from(reason: PlaceReason) -> Self {
        match reason {
            PlaceReason::PeerShare => Self::PeerLimit,
            PlaceReason::NetworkShare => Self::NetworkLimit,
            PlaceReason::Full | PlaceReason::Idle => Self::Limit,
        }
    }
}

impl RefusalReason {
    pub const ALL: [Self; 3] = [Self::Limit, Self::PeerLimit, Self::NetworkLimit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::PeerLimit => "peer_limit",
            Self::NetworkLimit => "network_limit",
        }
    }
}

/// Reason why an accepted connection ended: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The sender closed it.
    Sender,
    /// The network failed, or the sender reset the connection.
    Broken,
    /// The sender sent no first byte, or did not open a session, before the timeout.
    Silent,
    /// A started frame was not complete before the timeout.
    Slow,
    /// The sender was silent for longer than allowed.
    Idle,
    /// All connections were taken, and this one was the oldest idle one.
    GaveWay,
    /// All connections were taken, and its address or network had more than its share.
    OverShare,
    /// The sender violated the protocol, or the server refused a message.
    Protocol,
    /// The sender does not read the answers.
    Unread,
    /// Ingest was stopping.
    Stopping,
    /// The TLS handshake was not complete before the timeout.
    HandshakeSlow,
    /// The connection broke during the TLS handshake.
    HandshakeCut,
    /// The TLS handshake failed: the sender does not use TLS, or no common version or cipher exists.
    HandshakeFailed,
    /// The sender's certificate is missing or was not accepted.
    CertificateRefused,
    /// The sender did not accept the server's certificate.
    ServerCertificateRefused,
}

impl CloseReason {
    /// The reason of a connection that lost its place.
    pub const fn of_eviction(reason: PlaceReason) -> Self {
        match reason {
            PlaceReason::PeerShare | PlaceReason::NetworkShare => Self::OverShare,
            PlaceReason::Idle | PlaceReason::Full => Self::GaveWay,
        }
    }

    pub const ALL: [Self; 15] = [
        Self::Sender,
        Self::Broken,
        Self::Silent,
        Self::Slow,
        Self::Idle,
        Self::GaveWay,
        Self::OverShare,
        Self::Protocol,
        Self::Unread,
        Self::Stopping,
        Self::HandshakeSlow,
        Self::HandshakeCut,
        Self::HandshakeFailed,
        Self::CertificateRefused,
        Self::ServerCertificateRefused,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::GaveWay => "gave_way",
            Self::OverShare => "over_share",
            Self::Protocol => "protocol",
            Self::Unread => "unread",
            Self::Stopping => "stopping",
            Self::HandshakeSlow => "handshake_slow",
            Self::HandshakeCut => "handshake_cut",
            Self::HandshakeFailed => "handshake_failed",
            Self::CertificateRefused => "certificate_refused",
            Self::ServerCertificateRefused => "certificate_disliked",
        }
    }
}
