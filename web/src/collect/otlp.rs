//! OTLP logs over HTTP, in protobuf and in JSON, answered in kind.

mod json;
mod messages;
mod record;
mod wire;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use prost::Message;
use serde_json::{Value, json};

use super::auth::own_words;
use super::sorter::Sorter;
use super::{Refusal, Way, take};
use crate::server::State;
use messages::{PartialSuccess, Response, Status};
use record::Rejected;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Protobuf,
    Json,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn of(request: &HttpRequest) -> Option<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kinds = [Self::Protobuf, Self::Json];
        kinds
            .into_iter()
            .find(|known| kind.eq_ignore_ascii_case(known.name()))
    }

    fn answer(self, status: StatusCode, message: &impl Message, json: &Value) -> HttpResponse {
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, self.name()));
        own_words(match self {
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
        let mut response = self.answer(status, &Status { code, message }, &json);
        if let Some(seconds) = retry_after {
            let seconds = header::HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

pub(super) fn unauthorized() -> HttpResponse {
    let detail = "send the token as `Authorization: Bearer TOKEN`";
    let mut response = Kind::Json.error(StatusCode::UNAUTHORIZED, detail, None);
    let challenge = header::HeaderValue::from_static("Bearer realm=\"weir\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// `POST /v1/logs`
pub(super) async fn logs(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let Some(kind) = Kind::of(&request) else {
        let refusal = Refusal::MediaType("send `application/x-protobuf` or `application/json`");
        state
            .metrics
            .collect
            .body_refused(Way::Otlp, refusal.reason());
        return Kind::Json.error(refusal.status(), &refusal.to_string(), None);
    };
    let taken = match kind {
        Kind::Protobuf => take(Way::Otlp, &request, body, &state, wire::cut).await,
        Kind::Json => take(Way::Otlp, &request, body, &state, json::cut).await,
    };
    match taken {
        Ok(taken) => success(kind, &taken.said),
        Err(refusal) => {
            let status = match &refusal {
                refusal if refusal.is_busy() => StatusCode::TOO_MANY_REQUESTS,
                refusal => refusal.status(),
            };
            kind.error(status, &refusal.to_string(), refusal.retry_after())
        }
    }
}

/// Takes a request in protobuf, without its headers.
pub(super) fn cut_protobuf(body: &[u8], sorter: &mut Sorter) -> Result<(), Refusal> {
    wire::cut(body, sorter).map(drop)
}

/// Takes a request in JSON, without its headers.
pub(super) fn cut_json(body: &[u8], sorter: &mut Sorter) -> Result<(), Refusal> {
    json::cut(body, sorter).map(drop)
}

fn success(kind: Kind, rejected: &Rejected) -> HttpResponse {
    if rejected.records == 0 {
        return kind.answer(StatusCode::OK, &Response::default(), &json!({}));
    }
    let said = PartialSuccess {
        rejected_log_records: rejected.records,
        error_message: rejected.why.clone(),
    };
    let json = json!({ "partialSuccess": {
        "rejectedLogRecords": said.rejected_log_records.to_string(),
        "errorMessage": said.error_message,
    }});
    let partial_success = Some(said);
    kind.answer(StatusCode::OK, &Response { partial_success }, &json)
}
