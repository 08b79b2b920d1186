//! Routes of alert streams: server-sent events, NDJSON and FlatBuffers.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use weir_schema::outbox::OutboxFilter;

use super::alert_stream::{AlertStream, StreamSlot};
use super::rows::{RowEncoder, StreamFormat};
use crate::ports::Cursor;
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;

/// Header of the answer with the cursor at which the stream starts; NDJSON has no other place.
const CURSOR_HEADER: &str = "weir-cursor";
/// `Retry-After` of a stream beyond the limit.
const BUSY_RETRY_SECONDS: u64 = 10;

/// `GET /api/v1/stream/alerts`: the format that `Accept` names, else server-sent events.
pub(crate) async fn negotiated(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let wanted = [StreamFormat::Ndjson, StreamFormat::Flatbuffers]
        .into_iter()
        .find(|format| accept.contains(format.media_type()));
    open(&request, state, wanted.unwrap_or(StreamFormat::Sse)).await
}

/// `GET /api/v1/stream/alerts.ndjson`
pub(crate) async fn ndjson(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    open(&request, state, StreamFormat::Ndjson).await
}

async fn open(
    request: &HttpRequest,
    state: web::Data<AppState>,
    format: StreamFormat,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(request, &["after", "level", "state", "format"])?;
    let encoder = read_encoder(&params, format, &state)?;
    let after = read_cursor(request, &params)?;
    let Ok(permit) = state.streams.clone().try_acquire_owned() else {
        return Err(ProblemDetails::busy(
            "the maximum number of alert streams is open",
            BUSY_RETRY_SECONDS,
        ));
    };
    let slot = StreamSlot::new(format, &state.metrics, permit);
    let cursor = match after {
        Some(cursor) => cursor,
        None => {
            let alerts = state.ports.alerts.clone();
            web::block(move || alerts.latest()).await??
        }
    };
    let stream = AlertStream::new(encoder, cursor, slot, state);
    Ok(HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header((CURSOR_HEADER, cursor.to_string()))
        .insert_header(("x-accel-buffering", "no")) // Proxies must not buffer a stream.
        .force_close()
        .streaming(futures_util::stream::unfold(stream, AlertStream::chunk)))
}

/// Reads `level=`, `state=` and `format=`.
fn read_encoder(
    params: &QueryParams,
    format: StreamFormat,
    state: &AppState,
) -> Result<RowEncoder, ProblemDetails> {
    let provisional = params.parsed("state", "one of confirmed, all", |text| match text {
        "confirmed" => Some(false),
        "all" => Some(true),
        _ => None, // Free text: every other value is an error.
    })?;
    let ocsf = params.parsed("format", "one of weir, ocsf", |text| match text {
        "weir" => Some(false),
        "ocsf" if format != StreamFormat::Flatbuffers => Some(true),
        _ => None, // Free text: every other value is an error.
    })?;
    let filter = OutboxFilter {
        level_min: params.level()?,
        provisional: provisional.unwrap_or(false),
        ..OutboxFilter::default()
    };
    let finding = ocsf.unwrap_or(false).then(|| state.ports.finding.clone());
    Ok(RowEncoder {
        format,
        filter,
        finding,
    })
}

/// Reads the cursor of a request. `Last-Event-ID` of a reconnecting client overrides `after=`.
fn read_cursor(
    request: &HttpRequest,
    params: &QueryParams,
) -> Result<Option<Cursor>, ProblemDetails> {
    let parse = |text: Option<&str>, place: &str| {
        let cursor = text.and_then(Cursor::parse);
        cursor.map(Some).ok_or_else(|| {
            ProblemDetails::bad_request(format!(
                "{place} is not a cursor; cursors are `<epoch>-<n>`, or 0-0 for all"
            ))
        })
    };
    match request.headers().get("last-event-id") {
        Some(value) if !value.is_empty() => parse(value.to_str().ok(), "header `Last-Event-ID`"),
        _ => match params.one("after") {
            Some(text) => parse(Some(text), "`after`"),
            None => Ok(None),
        },
    }
}
