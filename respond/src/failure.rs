//! Failures of a delivery: the reason that metrics count, and what the sink has to do.

use weir_schema::Span;

/// Longest pause that a consumer can request. It is as long as the longest delay of a retry, so a
/// consumer cannot silence a sink for longer than one that is down does.
pub(crate) const PAUSE_MAX: Span = Span::seconds(300);

/// Attempts of a message that the consumer refuses for good. Three, because a consumer that is
/// being restarted or configured may answer 4xx for some seconds.
pub(crate) const PERMANENT_TRIES_MAX: u32 = 3;

/// Why a delivery failed, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureReason {
    /// The name has no address, or none that the sink may connect to.
    Address,
    Connect,
    Tls,
    Timeout,
    /// The connection broke, or the answer is not HTTP.
    Protocol,
    /// An answer of 3xx: redirects are not followed.
    Redirect,
    /// An answer of 4xx.
    Refused,
    /// An answer of 5xx.
    Server,
    /// An answer of 410.
    Gone,
    /// The message could not be read from the ledger, or not encoded.
    Content,
}

impl FailureReason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Refused => "refused",
            Self::Server => "server",
            Self::Gone => "gone",
            Self::Content => "content",
        }
    }
}

/// Consequences of a failed delivery for the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryFailure {
    pub reason: String,
    /// Pause that the consumer requested.
    pub pause: Option<Span>,
    /// The consumer refuses all further messages.
    pub gone: bool,
    /// The consumer will refuse this message again: see [`PERMANENT_TRIES_MAX`].
    pub is_permanent: bool,
}

impl DeliveryFailure {
    /// Requested pause, between zero and [`PAUSE_MAX`].
    pub(crate) fn bounded_pause(&self) -> Span {
        self.pause.unwrap_or(Span(0)).clamp(Span(0), PAUSE_MAX)
    }
}

/// A failed attempt to deliver a message.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryError {
    pub reason: FailureReason,
    pub failure: DeliveryFailure,
}

impl DeliveryError {
    pub(crate) fn new(reason: FailureReason, detail: impl std::fmt::Display) -> Self {
        Self {
            reason,
            failure: DeliveryFailure {
                reason: format!("{}: {detail}", reason.name()),
                pause: None,
                gone: reason == FailureReason::Gone,
                is_permanent: false,
            },
        }
    }
}
