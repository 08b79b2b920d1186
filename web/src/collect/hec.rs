//! Splunk's HTTP Event Collector: events, raw lines, health, and acknowledgements that mean durable.

mod channels;
mod cut;

pub(crate) use channels::Channels;

use std::collections::BTreeMap;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::own_words;
use super::sorter::Sorter;
use super::{Presented, Refusal, Taken, Way, parameter, read_small, take};
use crate::server::State;
use cut::{Fault, Line};

/// Longest body that asks for acknowledgements.
const ACK_BYTES_MAX: usize = 1 << 20;

/// Most ids that one request may ask for.
const ACKS_MAX: usize = 10_000;

/// What Splunk documents as the answers of a collector: number, text, status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
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

impl Code {
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
    own_words(response.json(body))
}

pub(super) fn unauthorized(presented: &Presented) -> HttpResponse {
    match presented {
        Presented::Nothing => Code::TokenRequired.answer(),
        Presented::Unreadable => Code::InvalidAuthorization.answer(),
        Presented::Token(_) => Code::InvalidToken.answer(),
    }
}

/// A refusal in Splunk's numbers, with what went wrong beside them.
fn refused(refusal: &Refusal) -> HttpResponse {
    let code = match refusal {
        Refusal::Failed => Code::Failed,
        refusal if refusal.retry_after().is_some() => Code::Busy,
        _ => Code::InvalidFormat,
    };
    let mut body = code.body();
    body["detail"] = refusal.to_string().into();
    respond(refusal.status(), &body, refusal.retry_after())
}

/// `POST /services/collector`, `/services/collector/event`
pub(super) async fn event(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(channel) => channel,
        Err(code) => return code.answer(),
    };
    let taken = take(Way::Hec, &request, body, &state, cut::events).await;
    answer(taken, channel, &state)
}

/// Takes envelopes, without a request.
pub(super) fn cut_events(body: &[u8], sorter: &mut Sorter) -> Result<(), Refusal> {
    cut::events(body, sorter).map(drop)
}

/// Takes lines of which a request says everything, without a request.
pub(super) fn cut_lines(body: &[u8], sorter: &mut Sorter) -> Result<(), Refusal> {
    let line = Line::of(|name| Some(name.to_owned()));
    cut::lines(body, &line, sorter).map(drop)
}

/// `POST /services/collector/raw`
pub(super) async fn raw(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(channel) => channel,
        Err(code) => return code.answer(),
    };
    let line = Line::of(|name| parameter(&request, name));
    let cut = move |body: &[u8], sorter: &mut _| cut::lines(body, &line, sorter);
    let taken = take(Way::Hec, &request, body, &state, cut).await;
    answer(taken, channel, &state)
}

fn answer(
    taken: Result<Taken<Option<Fault>>, Refusal>,
    channel: Option<u128>,
    state: &State,
) -> HttpResponse {
    let taken = match taken {
        Ok(taken) => taken,
        Err(refusal) => return refused(&refusal),
    };
    if let Some(fault) = taken.said {
        let mut body = fault.code.body();
        body["invalid-event-number"] = fault.number.into();
        return respond(fault.code.parts().2, &body, None);
    }
    if taken.events == 0 {
        return Code::NoData.answer();
    }
    let mut body = Code::Success.body();
    if let Some(channel) = channel {
        let (id, evicted) = state.channels.issue(channel);
        body["ackId"] = id.into();
        if evicted {
            state.metrics.collect.channels_forgotten.inc();
        }
    }
    respond(StatusCode::OK, &body, None)
}

/// `GET /services/collector/health`: whether a body would be taken now.
pub(super) async fn health(state: web::Data<State>) -> HttpResponse {
    if state.bodies.available_permits() == 0 {
        Code::Full.answer()
    } else {
        Code::Healthy.answer()
    }
}

#[derive(Deserialize)]
struct Acks {
    acks: Vec<u64>,
}

/// `POST /services/collector/ack`
pub(super) async fn ack(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let channel = match channel(&request) {
        Ok(Some(channel)) => channel,
        Ok(None) => return Code::ChannelMissing.answer(),
        Err(code) => return code.answer(),
    };
    let body = match read_small(&request, body, &state, ACK_BYTES_MAX).await {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal),
    };
    let asked = match serde_json::from_slice::<Acks>(&body) {
        Ok(asked) if asked.acks.len() <= ACKS_MAX => asked.acks,
        _ => return Code::InvalidFormat.answer(),
    };
    let known = state.channels.issued(channel);
    let acks: BTreeMap<String, bool> = asked
        .into_iter()
        .map(|id| (id.to_string(), id < known))
        .collect();
    respond(StatusCode::OK, &json!({ "acks": acks }), None)
}

/// The channel of a request, by its header or its query.
fn channel(request: &HttpRequest) -> Result<Option<u128>, Code> {
    let header = request.headers().get("x-splunk-request-channel");
    let text = match header {
        Some(value) => value.to_str().map_err(|_| Code::InvalidChannel)?.to_owned(),
        None => match parameter(request, "channel") {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    channels::guid(&text).map(Some).ok_or(Code::InvalidChannel)
}
