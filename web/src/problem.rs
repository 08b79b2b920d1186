//! Every error that leaves over HTTP: problem details (RFC 9457).

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

use crate::ports::{IntakeError, PortError};

/// What a client is told that asks again later where nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 5;

/// An error as a client reads it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Last part of its `type`; a closed set, listed in `docs/api.md`.
    name: &'static str,
    detail: String,
    retry_after_seconds: Option<u64>,
    /// Extension members.
    more: Vec<(String, Value)>,
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            name,
            detail: detail.into(),
            retry_after_seconds: None,
            more: Vec::new(),
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

    pub(crate) fn slow_body() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
    }

    pub(crate) fn rule_refused() -> Self {
        let detail = "the rule's text was refused; `diagnostics` says where and why";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rule-refused", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .retry_after(RETRY_AFTER_SECONDS)
    }

    pub(crate) fn elsewhere(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "elsewhere", detail)
    }

    pub(crate) fn busy(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(seconds)
    }

    pub(crate) fn failed() -> Self {
        let detail = "the server failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
    }

    /// The problem for a status that the HTTP library answered without a body of ours.
    pub(crate) fn of_status(status: StatusCode) -> Self {
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
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

impl ResponseError for Problem {
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
        body.extend(self.more.clone());
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

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Unavailable(reason) => Self::unavailable(reason),
            PortError::Elsewhere(reason) => Self::elsewhere(reason),
            PortError::Failed(reason) => {
                tracing::error!(reason, "a request failed");
                Self::failed()
            }
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let detail = error.to_string();
        match error {
            IntakeError::Busy { retry_after } => {
                let part = u64::from(retry_after.subsec_nanos() > 0);
                Self::busy(detail, retry_after.as_secs().saturating_add(part).max(1))
            }
            IntakeError::Conflict => Self::new(StatusCode::CONFLICT, "conflict", detail),
            IntakeError::Unavailable { .. } => Self::unavailable(detail),
        }
    }
}

/// A port that panicked on a blocking thread: the request fails, nothing else does.
impl From<actix_web::error::BlockingError> for Problem {
    fn from(_: actix_web::error::BlockingError) -> Self {
        tracing::error!("a request ended without an answer");
        Self::failed()
    }
}
