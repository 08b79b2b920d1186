//! Why a body of events is not taken in, before any protocol's words for it.

use actix_web::http::StatusCode;

use crate::ports::IntakeError;
use crate::problem::Problem;

/// Nothing of the body was journaled by this request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("send the body as it is, or in one of the content encodings gzip, zstd, deflate")]
    Encoding,
    #[error("this content type is not known here; {0}")]
    MediaType(&'static str),
    #[error("a body here has at most {0} bytes, unpacked")]
    TooLarge(usize),
    #[error("the body unpacks to more than {0} times its size")]
    Ratio(usize),
    #[error("{0}")]
    TooMany(String),
    #[error("the body cannot be unpacked: {0}")]
    Damaged(String),
    #[error("the body ended early")]
    Early,
    #[error("the body did not arrive in time")]
    Slow,
    #[error("too many bodies of events are being read")]
    NoPlace,
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("the server failed; its log says why")]
    Failed,
}

/// When a sender is asked to try again where nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 5;

impl Refusal {
    /// The label of metrics; a closed set, listed in `docs/metrics.md`.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::MediaType(_) => "media_type",
            Self::TooLarge(_) => "too_large",
            Self::Ratio(_) => "ratio",
            Self::TooMany(_) => "too_many",
            Self::Damaged(_) => "damaged",
            Self::Early => "ended_early",
            Self::Slow => "slow",
            Self::NoPlace | Self::Intake(IntakeError::Busy { .. }) => "busy",
            Self::Malformed(_) => "malformed",
            Self::Intake(IntakeError::Conflict) => "conflict",
            Self::Intake(IntakeError::Unavailable { .. }) => "unavailable",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Encoding | Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) | Self::Ratio(_) | Self::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Damaged(_) | Self::Early | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NoPlace
            | Self::Intake(IntakeError::Busy { .. } | IntakeError::Unavailable { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Intake(IntakeError::Conflict) => StatusCode::CONFLICT,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same body may well be taken in later.
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self, Self::NoPlace | Self::Intake(IntakeError::Busy { .. }))
    }

    /// After how many seconds to send it again; `None` where that is of no use.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::NoPlace => Some(1),
            Self::Intake(IntakeError::Busy { retry_after }) => {
                let part = u64::from(retry_after.subsec_nanos() > 0);
                Some(retry_after.as_secs().saturating_add(part).max(1))
            }
            Self::Intake(IntakeError::Unavailable { .. }) => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Encoding | Refusal::MediaType(_) => Self::media_type(detail),
            Refusal::TooLarge(_) | Refusal::Ratio(_) | Refusal::TooMany(_) => {
                Self::too_large(detail)
            }
            Refusal::Damaged(_) | Refusal::Early | Refusal::Malformed(_) => {
                Self::bad_request(detail)
            }
            Refusal::Slow => Self::slow_body(),
            Refusal::NoPlace => Self::busy(detail, 1),
            Refusal::Intake(error) => error.into(),
            Refusal::Failed => Self::failed(),
        }
    }
}

/// What cut the body panicked: the request fails, nothing else does.
impl From<actix_web::error::BlockingError> for Refusal {
    fn from(_: actix_web::error::BlockingError) -> Self {
        tracing::error!("a body of events ended without an answer");
        Self::Failed
    }
}
