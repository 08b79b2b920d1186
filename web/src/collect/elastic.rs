//! Elasticsearch's answers: to the probes that clients send first, and to errors.
//!
//! Weir has no templates, policies or pipelines. Shippers insist on creating them, so a write is
//! acknowledged but not stored, and a later read finds nothing.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::credentials::protocol_answer;
use crate::bodies::{BodyError, read_small_body};
use crate::state::AppState;

/// The version that Weir claims; shippers of versions 7, 8 and 9 accept it.
const VERSION: &str = "8.19.0";

/// Official clients refuse servers without this header.
const PRODUCT: (&str, &str) = ("X-Elastic-Product", "Elasticsearch");

/// Longest setting that is accepted.
const SETTING_BYTES_MAX: usize = 1 << 20;

/// Settings that shippers create before they send.
pub(super) const SETTINGS: [&str; 6] = [
    "/_index_template/{name}",
    "/_component_template/{name}",
    "/_template/{name}",
    "/_ilm/policy/{name}",
    "/_ingest/pipeline/{name}",
    "/_data_stream/{name}",
];

pub(super) fn respond(status: StatusCode, body: &Value) -> HttpResponse {
    protocol_answer(
        HttpResponse::build(status)
            .insert_header(PRODUCT)
            .json(body),
    )
}

pub(super) fn respond_text(status: StatusCode, body: String) -> HttpResponse {
    protocol_answer(
        HttpResponse::build(status)
            .insert_header(PRODUCT)
            .content_type(header::ContentType::json())
            .body(body),
    )
}

/// `GET /`
pub(super) async fn root() -> HttpResponse {
    respond(
        StatusCode::OK,
        &json!({
            "name": "weir",
            "cluster_name": "weir",
            "cluster_uuid": "weir",
            "version": {
                "number": VERSION,
                "build_flavor": "default",
                "build_type": "tar",
                "build_hash": "weir",
                "build_date": "2025-01-01T00:00:00.000000000Z",
                "build_snapshot": false,
                "lucene_version": "9.12.2",
                "minimum_wire_compatibility_version": "7.17.0",
                "minimum_index_compatibility_version": "7.0.0",
            },
            "tagline": "You Know, for Search",
        }),
    )
}

fn license_members() -> Value {
    json!({ "status": "active", "uid": "weir", "type": "basic", "mode": "basic" })
}

/// `GET /_license`
pub(super) async fn license() -> HttpResponse {
    respond(StatusCode::OK, &json!({ "license": license_members() }))
}

/// `GET /_xpack`
pub(super) async fn xpack() -> HttpResponse {
    let feature = json!({ "available": false, "enabled": false });
    let features = json!({ "ilm": feature, "monitoring": feature, "security": feature });
    respond(
        StatusCode::OK,
        &json!({ "build": {}, "license": license_members(), "features": features, "tagline": "" }),
    )
}

/// `GET /_cluster/health`
pub(super) async fn health() -> HttpResponse {
    respond(
        StatusCode::OK,
        &json!({
            "cluster_name": "weir", "status": "green", "timed_out": false,
            "number_of_nodes": 1, "number_of_data_nodes": 1,
            "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
            "initializing_shards": 0, "unassigned_shards": 0,
        }),
    )
}

/// Acknowledges a template, policy, pipeline or data stream without storing it.
pub(super) async fn acknowledge_setting(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    match read_small_body(&request, body, &state.body_slots, SETTING_BYTES_MAX).await {
        Ok(_) => respond(StatusCode::OK, &json!({ "acknowledged": true })),
        Err(body_error) => refused(&body_error),
    }
}

/// Answers that a template, policy, pipeline or data stream does not exist.
pub(super) async fn missing_setting(request: HttpRequest) -> HttpResponse {
    let name = request.match_info().get("name").unwrap_or_default();
    let reason = format!("Weir stores no templates, policies or pipelines; there is no [{name}]");
    error(
        StatusCode::NOT_FOUND,
        "resource_not_found_exception",
        &reason,
    )
}

pub(super) fn error(status: StatusCode, kind: &str, reason: &str) -> HttpResponse {
    let cause = json!({ "type": kind, "reason": reason });
    let error = json!({ "root_cause": [cause], "type": kind, "reason": reason });
    respond(
        status,
        &json!({ "error": error, "status": status.as_u16() }),
    )
}

pub(super) fn unauthorized() -> HttpResponse {
    let reason = "send the token as `Authorization: ApiKey TOKEN`, as `Bearer TOKEN`, or as the \
                  password of basic authentication";
    let mut response = error(StatusCode::UNAUTHORIZED, "security_exception", reason);
    let challenge = header::HeaderValue::from_static("Basic realm=\"weir\", ApiKey, Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// The answer to a refused body, with status 429 if clients should retry.
pub(super) fn refused(body_error: &BodyError) -> HttpResponse {
    let status = if body_error.is_busy() {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        body_error.status()
    };
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable_shards_exception",
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        StatusCode::CONFLICT => "version_conflict_engine_exception",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "media_type_header_exception",
        status if status.is_server_error() => "exception",
        _ => "illegal_argument_exception",
    };
    let mut response = error(status, kind, &body_error.to_string());
    if let Some(seconds) = body_error.retry_after() {
        let seconds = header::HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
