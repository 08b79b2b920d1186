//! Weir's own protocol for events: a body of JSON or syslog lines, each with its own result.

mod lines;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};
use weir_schema::{Batch, Format, ReceiveTime};

use super::request::{SOURCE_BYTES_MAX, peer, read_key, receive_time};
use crate::bodies::{BODY_BYTES_MAX, BodyError, read_body};
use crate::metrics::Protocol;
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;
use lines::{CheckedLines, LineOrigin};

/// The source of events that name no source.
const SOURCE_DEFAULT: &str = "http";

/// `POST /api/v1/events`
pub(crate) async fn receive_events(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &["source"])?;
    let source = params.parsed(
        "source",
        "1 to 64 of the characters A-Z a-z 0-9 . _ -",
        |text| is_source(text).then(|| text.to_owned()),
    )?;
    let origin = LineOrigin {
        tenant: state.options.tenant.clone(),
        source: source.unwrap_or_else(|| SOURCE_DEFAULT.into()),
        format: read_format(&request)?,
        peer: peer(&request),
        key: read_key(&request)?,
        received: receive_time(),
    };
    let lines = journal_lines(&request, body, &state, origin).await?;
    Ok(HttpResponse::Ok().json(lines))
}

/// Reads, checks and journals the lines of a body; returns the answer. Counts everything.
async fn journal_lines(
    request: &HttpRequest,
    body: web::Payload,
    state: &AppState,
    origin: LineOrigin,
) -> Result<Map<String, Value>, ProblemDetails> {
    let counts = &state.metrics.collect;
    let refuse = |error: BodyError| {
        counts.count_body_refused(Protocol::Events, error.reason());
        ProblemDetails::from(error)
    };
    let address = request.peer_addr().map(|address| address.ip());
    let slot = state.body_slots.acquire(address).await.map_err(refuse)?;
    let body = read_body(request, body, BODY_BYTES_MAX)
        .await
        .map_err(refuse)?;
    let lines = web::block(move || lines::check_lines(&body, &origin))
        .await?
        .map_err(refuse)?;
    counts.count_received(Protocol::Events, lines.accepted + lines.refused);
    if lines.refused > 0 {
        counts.count_refused(Protocol::Events, "malformed", lines.refused);
    }
    let mut answer = lines_json(&lines);
    if lines.accepted == 0 {
        return Err(no_accepted_line(&lines, answer));
    }
    let receipt = state.ports.intake.submit(lines.batches).await;
    let receipt = receipt.map_err(|error| {
        let error = BodyError::from(error);
        counts.count_refused(Protocol::Events, error.reason(), lines.accepted);
        refuse(error)
    })?;
    counts.count_accepted(Protocol::Events, receipt, lines.accepted);
    drop(slot);
    answer.insert("repeated".into(), receipt.repeated.into());
    Ok(answer)
}

fn no_accepted_line(lines: &CheckedLines, answer: Map<String, Value>) -> ProblemDetails {
    let problem = ProblemDetails::bad_request(match lines.refused {
        0 => "the body has no line",
        _ => "every line was refused; see `lines` for the reasons",
    });
    let members = answer.into_iter();
    members.fold(problem, |problem, (name, value)| {
        problem.with_member(&name, value)
    })
}

/// Splits a body into batches, for the fuzzer.
pub(super) fn split_lines(body: &[u8], format: Format) -> Result<Vec<Batch>, BodyError> {
    let origin = LineOrigin {
        tenant: "default".to_owned(),
        source: SOURCE_DEFAULT.to_owned(),
        format,
        peer: None,
        key: Some("key".to_owned()),
        received: ReceiveTime(1_790_000_000_000_000_000),
    };
    lines::check_lines(body, &origin).map(|lines| lines.batches)
}

fn lines_json(lines: &CheckedLines) -> Map<String, Value> {
    let errors = lines.errors.iter();
    let errors: Vec<Value> = errors
        .map(|error| json!({ "line": error.line, "error": error.reason }))
        .collect();
    let mut answer = Map::new();
    answer.insert("accepted".into(), lines.accepted.into());
    answer.insert("refused".into(), lines.refused.into());
    let omitted = lines.refused - errors.len();
    answer.insert("lines_left_off".into(), omitted.into());
    answer.insert("lines".into(), errors.into());
    answer
}

/// Reads the format of the lines: JSON unless the content type is `text/plain`, which is syslog.
fn read_format(request: &HttpRequest) -> Result<Format, ProblemDetails> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let kind = value.to_str().unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match kind.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/json" => Ok(Format::Json),
        "text/plain" => Ok(Format::Syslog),
        // Free text: an unknown content type is refused, not guessed.
        _ => Err(ProblemDetails::media_type(
            "send `application/x-ndjson` for JSON lines or `text/plain` for syslog lines",
        )),
    }
}

fn is_source(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=SOURCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(valid)
}
