//! Takes events in over HTTP: reads a body, judges it line by line, answers once it is durable.

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use weir_schema::{Format, ReceiveTime};

use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;

mod lines;
use lines::{Judged, Origin};

/// Bodies of events in memory at once, each [`BODY_BYTES_MAX`], its lines, and what is put in front
/// of them: 512 MiB at worst. More requests wait, unread, so that TCP holds their senders back.
pub(crate) const BODIES_MAX: usize = 8;
/// Longest body of events.
const BODY_BYTES_MAX: usize = 16 << 20;
/// A request waits so long for a place among the bodies.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// A body arrives within this time, or its sender holds up others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Longest name of a source.
const SOURCE_BYTES_MAX: usize = 64;
/// The source of events that name none.
const SOURCE_DEFAULT: &str = "http";

/// `POST /api/v1/events`
pub(crate) async fn take(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["source"])?;
    let source = params.parsed(
        "source",
        "1 to 64 of the characters A-Z a-z 0-9 . _ -",
        |text| is_source(text).then(|| text.to_owned()),
    )?;
    let origin = Origin {
        tenant: state.options.tenant.clone(),
        source: source.unwrap_or_else(|| SOURCE_DEFAULT.into()),
        format: read_format(&request)?,
        peer: request.peer_addr().map(|address| address.ip().to_string()),
        key: read_key(&request)?,
        received: receive_time(),
    };
    let Ok(Ok(place)) = tokio::time::timeout(PLACE_TIMEOUT, state.bodies.acquire()).await else {
        return Err(Problem::busy("too many bodies of events are being read", 1));
    };
    let body = read_body(&request, body, BODY_BYTES_MAX).await?;
    let judged = web::block(move || lines::judge(&body, &origin)).await??;
    let mut verdict = verdict(&judged);
    if judged.accepted == 0 {
        let mut problem = Problem::bad_request(match judged.refused {
            0 => "the body holds no line",
            _ => "every line was refused; `lines` says why",
        });
        for (name, value) in verdict {
            problem = problem.with(&name, value);
        }
        return Err(problem);
    }
    let accepted = state.ports.intake.submit(judged.batches).await?;
    drop(place);
    verdict.insert("repeated".into(), accepted.repeated.into());
    Ok(HttpResponse::Ok().json(verdict))
}

fn verdict(judged: &Judged) -> Map<String, Value> {
    let lines = judged.faults.iter();
    let lines: Vec<Value> = lines
        .map(|fault| json!({ "line": fault.line, "error": fault.error }))
        .collect();
    let mut verdict = Map::new();
    verdict.insert("accepted".into(), judged.accepted.into());
    verdict.insert("refused".into(), judged.refused.into());
    verdict.insert(
        "lines_left_off".into(),
        (judged.refused - lines.len()).into(),
    );
    verdict.insert("lines".into(), lines.into());
    verdict
}

/// Reads a whole body of at most `bytes_max`.
pub(crate) async fn read_body(
    request: &HttpRequest,
    body: web::Payload,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        return Err(Problem::media_type(
            "send the body without content encoding",
        ));
    }
    let too_large = || Problem::too_large(format!("a body here has at most {bytes_max} bytes"));
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let read = async {
        let mut body = pin!(body);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::bad_request("the body ended early"))?;
            if bytes.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await;
    read.unwrap_or_else(|_| Err(Problem::slow_body()))
}

/// JSON lines unless the client says that its lines are syslog.
fn read_format(request: &HttpRequest) -> Result<Format, Problem> {
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
        // Whatever else is sent is not guessed at.
        _ => Err(Problem::media_type(
            "send `application/x-ndjson` for JSON lines or `text/plain` for syslog lines",
        )),
    }
}

fn read_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let text = key.to_str().unwrap_or_default();
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len());
    if keys.next().is_none() && fits && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "an `Idempotency-Key` comes once and has 1 to 255 visible ASCII characters";
    Err(Problem::bad_request(detail))
}

fn is_source(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=SOURCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// The machine's clock; it stops at the ends of time.
fn receive_time() -> ReceiveTime {
    ReceiveTime(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    })
}
