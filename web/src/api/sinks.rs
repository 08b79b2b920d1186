//! Routes of sinks: list, dead letters, resend, enable.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, EventTime, ReceiveTime};

use crate::ports::{DeadLetter, PortError, SinkInfo, Sinks};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;
use crate::time::rfc3339;

/// `GET /api/v1/sinks`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let sinks = with_sinks(&state, |sinks| sinks.list()).await?;
    let sinks: Vec<Value> = sinks.iter().map(sink_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "sinks": sinks })))
}

/// `GET /api/v1/sinks/{name}/dead`
pub(crate) async fn dead_letters(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let sink = name.clone();
    let letters = with_sinks(&state, move |sinks| sinks.dead(&sink)).await?;
    let letters = letters.ok_or_else(|| unknown_sink(&name))?;
    let letters: Vec<Value> = letters.iter().map(dead_letter_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "sink": *name, "dead": letters })))
}

/// `POST /api/v1/sinks/{name}/resend`
pub(crate) async fn resend(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &["alert"])?;
    let expected = "an alert id (32 hexadecimal digits)";
    let alert = params.parsed("alert", expected, AlertId::parse)?;
    let sink = name.clone();
    let resent = with_sinks(&state, move |sinks| sinks.resend(&sink, alert)).await?;
    match (resent, alert) {
        (None, _) => Err(unknown_sink(&name)),
        (Some(0), Some(alert)) => Err(ProblemDetails::not_found(format!(
            "the sink {name:?} has not given up the alert {alert}"
        ))),
        (Some(count), _) => Ok(HttpResponse::Ok().json(json!({ "sink": *name, "resent": count }))),
    }
}

/// `POST /api/v1/sinks/{name}/enable`
pub(crate) async fn enable(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let sink = name.clone();
    if with_sinks(&state, move |sinks| sinks.enable(&sink)).await? {
        Ok(HttpResponse::Ok().json(json!({ "sink": *name, "done": "enabled" })))
    } else {
        Err(unknown_sink(&name))
    }
}

fn unknown_sink(name: &str) -> ProblemDetails {
    ProblemDetails::not_found(format!("no sink has the name {name:?}"))
}

fn receive_time_text(time: ReceiveTime) -> String {
    rfc3339(EventTime(time.0))
}

fn sink_json(sink: &SinkInfo) -> Value {
    json!({
        "name": sink.name,
        "type": sink.kind,
        "target": sink.target,
        "state": sink.state,
        "stopped": sink.stopped,
        "position": sink.position.map(|position| position.to_string()),
        "waiting": sink.waiting,
        "waiting_since": sink.waiting_since.map(receive_time_text),
        "dead": sink.dead,
        "last_failure": sink.last_failure,
    })
}

fn dead_letter_json(letter: &DeadLetter) -> Value {
    json!({
        "alert": letter.alert.to_string(),
        "from": letter.from.to_string(),
        "last": letter.last.to_string(),
        "rows": letter.rows,
        "since": receive_time_text(letter.since),
        "reason": letter.reason,
    })
}

/// Runs a query or command on a blocking thread.
async fn with_sinks<T: Send + 'static>(
    state: &AppState,
    run: impl FnOnce(&dyn Sinks) -> Result<T, PortError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let sinks = state.ports.sinks.clone();
    Ok(web::block(move || run(sinks.as_ref())).await??)
}
