//! Why a request body is refused, independent of the protocol that answers.

use actix_web::http::StatusCode;

use crate::ports::IntakeError;
use crate::problem::{ProblemDetails, RETRY_AFTER_SECONDS, retry_after_seconds};

/// Why a body is refused; nothing of it was journaled by this request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("send the body uncompressed or with the content encoding gzip, zstd or deflate")]
    Encoding,
    #[error("unsupported content type; {0}")]
    MediaType(&'static str),
    #[error("the body exceeds {0} bytes after decompression")]
    TooLarge(usize),
    #[error("the body decompresses to more than {0} times its size")]
    Ratio(usize),
    #[error("{0}")]
    TooMany(String),
    #[error("the body cannot be decompressed: {0}")]
    Corrupt(String),
    #[error("the body ended early")]
    EndedEarly,
    #[error("the body did not arrive in time")]
    Timeout,
    #[error("too many bodies are being read")]
    NoSlot,
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("the server failed; its log has the reason")]
    Failed,
}

impl BodyError {
    /// The metric label; a closed set, listed in `docs/metrics.md`.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::MediaType(_) => "media_type",
            Self::TooLarge(_) => "too_large",
            Self::Ratio(_) => "ratio",
            Self::TooMany(_) => "too_many",
            Self::Corrupt(_) => "damaged",
            Self::EndedEarly => "ended_early",
            Self::Timeout => "slow",
            Self::NoSlot | Self::Intake(IntakeError::Busy { .. }) => "busy",
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
            Self::Corrupt(_) | Self::EndedEarly | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoSlot
            | Self::Intake(IntakeError::Busy { .. } | IntakeError::Unavailable { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Intake(IntakeError::Conflict) => StatusCode::CONFLICT,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same body may be accepted later.
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self, Self::NoSlot | Self::Intake(IntakeError::Busy { .. }))
    }

    /// Seconds after which a retry may succeed; `None` if a retry is useless.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::NoSlot => Some(1),
            Self::Intake(IntakeError::Busy { retry_after }) => {
                Some(retry_after_seconds(*retry_after))
            }
            Self::Intake(IntakeError::Unavailable { .. }) => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }
}

impl From<BodyError> for ProblemDetails {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::Encoding | BodyError::MediaType(_) => Self::media_type(detail),
            BodyError::TooLarge(_) | BodyError::Ratio(_) | BodyError::TooMany(_) => {
                Self::too_large(detail)
            }
            BodyError::Corrupt(_) | BodyError::EndedEarly | BodyError::Malformed(_) => {
                Self::bad_request(detail)
            }
            BodyError::Timeout => Self::timeout(),
            BodyError::NoSlot => Self::busy(detail, 1),
            BodyError::Intake(error) => error.into(),
            BodyError::Failed => Self::failed(),
        }
    }
}

/// Decoding a body panicked on a blocking thread: only this request fails.
impl From<actix_web::error::BlockingError> for BodyError {
    fn from(_: actix_web::error::BlockingError) -> Self {
        tracing::error!("decoding a request body panicked");
        Self::Failed
    }
}
