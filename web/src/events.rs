//! Takes events in over HTTP: reads a body, judges it line by line, answers once it is durable.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};
use weir_schema::{Batch, Format, ReceiveTime};

use crate::collect::{self, BODY_BYTES_MAX, Refusal, Way};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;

mod lines;
pub(crate) use lines::judge_json;
use lines::{Judged, Origin};

/// Bodies of events in memory at once, each [`BODY_BYTES_MAX`], its lines, and what is put in front
/// of them: 512 MiB at worst. More requests wait, unread, so that TCP holds their senders back.
pub(crate) const BODIES_MAX: usize = 8;
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
    let counts = &state.metrics.collect;
    let refuse = |refusal: Refusal| {
        counts.body_refused(Way::Events, refusal.reason());
        Problem::from(refusal)
    };
    let place = collect::place(&request, &state).await.map_err(refuse)?;
    let body = collect::read(&request, body, BODY_BYTES_MAX)
        .await
        .map_err(refuse)?;
    let judged = web::block(move || lines::judge(&body, &origin))
        .await?
        .map_err(refuse)?;
    counts.received(Way::Events, judged.accepted + judged.refused);
    if judged.refused > 0 {
        counts.refused(Way::Events, "malformed", judged.refused);
    }
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
    let accepted = state.ports.intake.submit(judged.batches).await;
    let accepted = accepted.map_err(|error| {
        let refusal = Refusal::from(error);
        counts.refused(Way::Events, refusal.reason(), judged.accepted);
        refuse(refusal)
    })?;
    counts.accepted(Way::Events, accepted.repeated, judged.accepted);
    drop(place);
    verdict.insert("repeated".into(), accepted.repeated.into());
    Ok(HttpResponse::Ok().json(verdict))
}

/// The batches of a body, for the fuzzer.
pub(crate) fn cut(body: &[u8], format: Format) -> Result<Vec<Batch>, Refusal> {
    let origin = Origin {
        tenant: "default".to_owned(),
        source: SOURCE_DEFAULT.to_owned(),
        format,
        peer: None,
        key: Some("key".to_owned()),
        received: ReceiveTime(1_790_000_000_000_000_000),
    };
    lines::judge(body, &origin).map(|judged| judged.batches)
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

pub(crate) fn read_key(request: &HttpRequest) -> Result<Option<String>, Refusal> {
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
    Err(Refusal::Malformed(detail.to_owned()))
}

fn is_source(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=SOURCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// The machine's clock; it stops at the ends of time.
pub(crate) fn receive_time() -> ReceiveTime {
    ReceiveTime(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    })
}
