//! OTLP logs over HTTP, in protobuf or JSON; the answer has the encoding of the request.

mod json;
mod messages;
mod protobuf;
mod record;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use prost::Message;
use serde_json::{Value, json};

use super::batcher::SourceBatcher;
use super::credentials::protocol_answer;
use super::ingest::ingest;
use crate::bodies::BodyError;
use crate::metrics::Protocol;
use crate::state::AppState;
use messages::{ExportResponse, PartialSuccess, RpcStatus};
use record::RejectedRecords;

/// The encoding of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OtlpEncoding {
    Protobuf,
    Json,
}

impl OtlpEncoding {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn for_request(request: &HttpRequest) -> Option<Self> {
        let media_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|known| media_type.eq_ignore_ascii_case(known.media_type()))
    }

    fn answer(self, status: StatusCode, message: &impl Message, json: &Value) -> HttpResponse {
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, self.media_type()));
        protocol_answer(match self {
            Self::Protobuf => response.body(message.encode_to_vec()),
            Self::Json => response.body(json.to_string()),
        })
    }

    fn error(self, status: StatusCode, detail: &str, retry_after: Option<u64>) -> HttpResponse {
        // Numbers of google.rpc.Code.
        let code = match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE => 3,
            StatusCode::REQUEST_TIMEOUT => 4,
            StatusCode::CONFLICT => 6,
            StatusCode::TOO_MANY_REQUESTS => 8,
            StatusCode::INTERNAL_SERVER_ERROR => 13,
            StatusCode::UNAUTHORIZED => 16,
            _ => 14,
        };
        let message = detail.to_owned();
        let json = json!({ "code": code, "message": message });
        let mut response = self.answer(status, &RpcStatus { code, message }, &json);
        if let Some(seconds) = retry_after {
            let seconds = header::HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

pub(super) fn unauthorized() -> HttpResponse {
    let detail = "send the token as `Authorization: Bearer TOKEN`";
    let mut response = OtlpEncoding::Json.error(StatusCode::UNAUTHORIZED, detail, None);
    let challenge = header::HeaderValue::from_static("Bearer realm=\"weir\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// `POST /v1/logs`
pub(super) async fn receive_logs(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let Some(encoding) = OtlpEncoding::for_request(&request) else {
        let error = BodyError::MediaType("send `application/x-protobuf` or `application/json`");
        let counts = &state.metrics.collect;
        counts.count_body_refused(Protocol::Otlp, error.reason());
        return OtlpEncoding::Json.error(error.status(), &error.to_string(), None);
    };
    let split = match encoding {
        OtlpEncoding::Protobuf => protobuf::split_records,
        OtlpEncoding::Json => json::split_records,
    };
    match ingest(Protocol::Otlp, &request, body, &state, split).await {
        Ok(ingested) => success(encoding, &ingested.output),
        Err(error) => {
            let status = if error.is_busy() {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                error.status()
            };
            encoding.error(status, &error.to_string(), error.retry_after())
        }
    }
}

/// Splits a body in protobuf, for the fuzzer.
pub(super) fn split_protobuf(body: &[u8], batcher: &mut SourceBatcher) -> Result<(), BodyError> {
    protobuf::split_records(body, batcher).map(drop)
}

/// Splits a body in JSON, for the fuzzer.
pub(super) fn split_json(body: &[u8], batcher: &mut SourceBatcher) -> Result<(), BodyError> {
    json::split_records(body, batcher).map(drop)
}

fn success(encoding: OtlpEncoding, rejected: &RejectedRecords) -> HttpResponse {
    if rejected.records == 0 {
        return encoding.answer(StatusCode::OK, &ExportResponse::default(), &json!({}));
    }
    let partial_success = PartialSuccess {
        rejected_log_records: rejected.records,
        error_message: rejected.first_reason.clone(),
    };
    let json = json!({ "partialSuccess": {
        "rejectedLogRecords": partial_success.rejected_log_records.to_string(),
        "errorMessage": partial_success.error_message,
    }});
    let response = ExportResponse {
        partial_success: Some(partial_success),
    };
    encoding.answer(StatusCode::OK, &response, &json)
}
