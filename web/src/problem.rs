//! Error answers in the form of problem details (RFC 9457).

use std::fmt;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

use crate::ports::{IntakeError, PortError};

/// `Retry-After` of answers for which no better value is known.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 5;

/// The body of an error answer.
#[derive(Debug)]
pub(crate) struct ProblemDetails {
    status: StatusCode,
    /// Last part of the `type` URN; a closed set, listed in `docs/api.md`.
    name: &'static str,
    detail: String,
    retry_after_seconds: Option<u64>,
    /// Extension members of RFC 9457.
    extensions: Vec<(String, Value)>,
}

impl ProblemDetails {
    fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            name,
            detail: detail.into(),
            retry_after_seconds: None,
            extensions: Vec::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "send the token as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    pub(crate) fn media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    }

    pub(crate) fn timeout() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
    }

    pub(crate) fn rule_refused() -> Self {
        let detail = "the rule's text was refused; see `diagnostics` for places and reasons";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rule-refused", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .retry_after(RETRY_AFTER_SECONDS)
    }

    pub(crate) fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "elsewhere", detail)
    }

    pub(crate) fn busy(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(seconds)
    }

    pub(crate) fn failed() -> Self {
        let detail = "the server failed; its log has the reason";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
    }

    /// The problem for a status that the HTTP library set itself.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let name = match status {
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            status if status.is_server_error() => "failed",
            _ => "bad-request",
        };
        Self::new(
            status,
            name,
            status.canonical_reason().unwrap_or("error").to_lowercase(),
        )
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds an extension member.
    pub(crate) fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for ProblemDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

impl ResponseError for ProblemDetails {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = Map::new();
        body.insert(
            "type".into(),
            format!("urn:weir:problem:{}", self.name).into(),
        );
        body.insert(
            "title".into(),
            self.status.canonical_reason().unwrap_or("Error").into(),
        );
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.clone().into());
        body.extend(self.extensions.clone());
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"weir\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        response.body(Value::Object(body).to_string())
    }
}

/// Rounds a delay up to whole seconds, at least one, as `Retry-After` needs it.
pub(crate) fn retry_after_seconds(delay: Duration) -> u64 {
    let fraction = u64::from(delay.subsec_nanos() > 0);
    delay.as_secs().saturating_add(fraction).max(1)
}

impl From<PortError> for ProblemDetails {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Unavailable(reason) => Self::unavailable(reason),
            PortError::Misdirected(reason) => Self::misdirected(reason),
            PortError::Failed(reason) => {
                tracing::error!(reason, "a request failed");
                Self::failed()
            }
        }
    }
}

impl From<IntakeError> for ProblemDetails {
    fn from(error: IntakeError) -> Self {
        let detail = error.to_string();
        match error {
            IntakeError::Busy { retry_after } => {
                Self::busy(detail, retry_after_seconds(retry_after))
            }
            IntakeError::Conflict => Self::new(StatusCode::CONFLICT, "conflict", detail),
            IntakeError::Unavailable { .. } => Self::unavailable(detail),
        }
    }
}

/// A port panicked on a blocking thread: only this request fails.
impl From<actix_web::error::BlockingError> for ProblemDetails {
    fn from(_: actix_web::error::BlockingError) -> Self {
        tracing::error!("a port panicked while it served a request");
        Self::failed()
    }
}
