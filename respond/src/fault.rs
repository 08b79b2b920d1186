//! Why an attempt to tell a consumer failed: what to count, and what to do.

use crate::desk::Failure;

/// Why the consumer did not take it, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name has no address, or none that may be connected to.
    Address,
    Connect,
    Tls,
    Timeout,
    /// The connection broke, or what came is no HTTP.
    Protocol,
    /// An answer of 3xx: redirects are not followed.
    Redirect,
    /// An answer of 4xx.
    Refused,
    /// An answer of 5xx.
    Server,
    /// An answer of 410.
    Gone,
    /// What was to be sent could not be read or written.
    Content,
}

impl Reason {
    #[must_use]
    pub const fn name(self) -> &'static str {
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

/// A failed attempt: what to count, and what to do.
#[derive(Clone, Debug)]
pub struct Fault {
    pub reason: Reason,
    pub failure: Failure,
}

impl Fault {
    pub(crate) fn new(reason: Reason, told: impl std::fmt::Display) -> Self {
        Self {
            reason,
            failure: Failure {
                reason: format!("{}: {told}", reason.name()),
                pause: None,
                gone: reason == Reason::Gone,
            },
        }
    }
}
