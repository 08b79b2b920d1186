//! Splunk's HTTP Event Collector: events, raw lines, health and acknowledgements.
//!
//! An acknowledgement means that the events are durable.

mod envelopes;

use std::collections::BTreeMap;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::batcher::SourceBatcher;
use super::credentials::{Credentials, protocol_answer};
use super::ingest::{IngestedBody, ingest};
use super::request::parameter;
use crate::bodies::{BodyError, read_small_body};
use crate::metrics::Protocol;
use crate::state::AppState;
use envelopes::{EnvelopeError, LineFields};

/// Longest query of acknowledgements.
const ACK_BYTES_MAX: usize = 1 << 20;

/// Maximum number of ids in one query of acknowledgements.
const ACKS_MAX: usize = 10_000;

/// The answers that Splunk documents for a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HecCode {
    Success,
    TokenRequired,
    InvalidAuthorization,
    InvalidToken,
    NoData,
    InvalidFormat,
    Failed,
    Busy,
    ChannelMissing,
    InvalidChannel,
    EventRequired,
    EventBlank,
    IndexedFields,
    Healthy,
    Full,
}

impl HecCode {
    /// The number, text and status of the answer.
    const fn parts(self) -> (u32, &'static str, StatusCode) {
        match self {
            Self::Success => (0, "Success", StatusCode::OK),
            Self::TokenRequired => (2, "Token is required", StatusCode::UNAUTHORIZED),
            Self::InvalidAuthorization => (3, "Invalid authorization", StatusCode::UNAUTHORIZED),
            Self::InvalidToken => (4, "Invalid token", StatusCode::FORBIDDEN),
            Self::NoData => (5, "No data", StatusCode::BAD_REQUEST),
            Self::InvalidFormat => (6, "Invalid data format", StatusCode::BAD_REQUEST),
            Self::Failed => (
                8,
                "Internal server error",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
            Self::Busy => (9, "Server is busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::ChannelMissing => (10, "Data channel is missing", StatusCode::BAD_REQUEST),
            Self::InvalidChannel => (11, "Invalid data channel", StatusCode::BAD_REQUEST),
            Self::EventRequired => (12, "Event field is required", StatusCode::BAD_REQUEST),
            Self::EventBlank => (13, "Event field cannot be blank", StatusCode::BAD_REQUEST),
            Self::IndexedFields => (
                15,
                "Error in handling indexed fields",
                StatusCode::BAD_REQUEST,
            ),
            Self::Healthy => (17, "HEC is healthy", StatusCode::OK),
            Self::Full => (
                18,
                "HEC is unhealthy, queues are full",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
        }
    }

    fn body(self) -> Value {
        let (number, text, _) = self.parts();
        json!({ "text": text, "code": number })
    }

    fn answer(self) -> HttpResponse {
        respond(self.parts().2, &self.body(), None)
    }
}

fn respond(status: StatusCode, body: &Value, retry_after: Option<u64>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = retry_after {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    protocol_answer(response.json(body))
}

pub(super) fn unauthorized(credentials: &Credentials) -> HttpResponse {
    match credentials {
        Credentials::Missing => HecCode::TokenRequired.answer(),
        Credentials::Unreadable => HecCode::InvalidAuthorization.answer(),
        Credentials::Token(_) => HecCode::InvalidToken.answer(),
    }
}

/// The answer to a refused body, with the reason in `detail`.
fn refused(error: &BodyError) -> HttpResponse {
    let code = match error {
        BodyError::Failed => HecCode::Failed,
        error if error.retry_after().is_some() => HecCode::Busy,
        _ => HecCode::InvalidFormat,
    };
    let mut body = code.body();
    body["detail"] = error.to_string().into();
    respond(error.status(), &body, error.retry_after())
}

/// `POST /services/collector`, `/services/collector/event`
pub(super) async fn receive_envelopes(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(channel) => channel,
        Err(code) => return code.answer(),
    };
    let split = envelopes::split_envelopes;
    let ingested = ingest(Protocol::Hec, &request, body, &state, split).await;
    answer(ingested, channel, &state)
}

/// Splits a body of envelopes, for the fuzzer.
pub(super) fn split_envelopes(body: &[u8], batcher: &mut SourceBatcher) -> Result<(), BodyError> {
    envelopes::split_envelopes(body, batcher).map(drop)
}

/// Splits a body of lines, for the fuzzer and for tests.
pub(super) fn split_raw_lines(
    body: &[u8],
    parameter: impl Fn(&str) -> Option<String>,
    batcher: &mut SourceBatcher,
) -> Result<(), BodyError> {
    let fields = LineFields::read(parameter);
    envelopes::split_raw_lines(body, &fields, batcher).map(drop)
}

/// `POST /services/collector/raw`
pub(super) async fn receive_lines(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(channel) => channel,
        Err(code) => return code.answer(),
    };
    let fields = LineFields::read(|name| parameter(&request, name));
    let split =
        move |body: &[u8], batcher: &mut _| envelopes::split_raw_lines(body, &fields, batcher);
    let ingested = ingest(Protocol::Hec, &request, body, &state, split).await;
    answer(ingested, channel, &state)
}

fn answer(
    ingested: Result<IngestedBody<Option<EnvelopeError>>, BodyError>,
    channel: Option<u128>,
    state: &AppState,
) -> HttpResponse {
    let ingested = match ingested {
        Ok(ingested) => ingested,
        Err(error) => return refused(&error),
    };
    if let Some(error) = ingested.output {
        let mut body = error.code.body();
        body["invalid-event-number"] = error.number.into();
        return respond(error.code.parts().2, &body, None);
    }
    if ingested.events == 0 {
        return HecCode::NoData.answer();
    }
    let mut body = HecCode::Success.body();
    if let Some(channel) = channel {
        let ack = state.ack_channels.issue(channel);
        body["ackId"] = ack.id.into();
        if ack.evicted {
            state.metrics.collect.channels_forgotten.inc();
        }
    }
    respond(StatusCode::OK, &body, None)
}

/// `GET /services/collector/health`: succeeds if a body would be read without a wait.
pub(super) async fn health(state: web::Data<AppState>) -> HttpResponse {
    if state.body_slots.are_full() {
        HecCode::Full.answer()
    } else {
        HecCode::Healthy.answer()
    }
}

#[derive(Deserialize)]
struct AckQuery {
    acks: Vec<u64>,
}

/// `POST /services/collector/ack`
pub(super) async fn acknowledgements(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(Some(channel)) => channel,
        Ok(None) => return HecCode::ChannelMissing.answer(),
        Err(code) => return code.answer(),
    };
    let body = match read_small_body(&request, body, &state.body_slots, ACK_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return refused(&error),
    };
    let ids = match serde_json::from_slice::<AckQuery>(&body) {
        Ok(query) if query.acks.len() <= ACKS_MAX => query.acks,
        _ => return HecCode::InvalidFormat.answer(),
    };
    let issued = state.ack_channels.issued(channel);
    let acks: BTreeMap<String, bool> = ids
        .into_iter()
        .map(|id| (id.to_string(), id < issued))
        .collect();
    respond(StatusCode::OK, &json!({ "acks": acks }), None)
}

/// Reads the channel of a request from its header or its query.
fn channel(request: &HttpRequest) -> Result<Option<u128>, HecCode> {
    let header = request.headers().get("x-splunk-request-channel");
    let text = match header {
        Some(value) => value
            .to_str()
            .map_err(|_| HecCode::InvalidChannel)?
            .to_owned(),
        None => match parameter(request, "channel") {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    parse_guid(&text).map(Some).ok_or(HecCode::InvalidChannel)
}

/// Parses a GUID with its hyphens.
fn parse_guid(text: &str) -> Option<u128> {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits: String = parts.concat();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if lengths != [8, 4, 4, 4, 12] || !hexadecimal {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::parse_guid;

    #[test]
    fn parse_guids_only() {
        assert_eq!(
            parse_guid("00000000-0000-0000-0000-0000000000Ff"),
            Some(255)
        );
        for text in ["", "1", "0-0-0-0-0", "00000000-0000-0000-0000-00000000000g"] {
            assert_eq!(parse_guid(text), None, "{text}");
        }
        assert_eq!(parse_guid("+0000000-0000-0000-0000-000000000000"), None);
    }
}
