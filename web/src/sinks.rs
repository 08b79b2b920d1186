//! Sinks over HTTP: how they stand, what they gave up, and sending it again.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, EventTime, ReceiveTime};

use crate::ports::{DeadLetter, PortError, SinkInfo, Sinks};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;
use crate::time::rfc3339;

/// `GET /api/v1/sinks`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let sinks = ask(&state, |sinks| sinks.list()).await?;
    let sinks: Vec<Value> = sinks.iter().map(sink_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "sinks": sinks })))
}

/// `GET /api/v1/sinks/{name}/dead`
pub(crate) async fn dead(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let asked = name.clone();
    let dead = ask(&state, move |sinks| sinks.dead(&asked)).await?;
    let dead = dead.ok_or_else(|| no_such(&name))?;
    let dead: Vec<Value> = dead.iter().map(dead_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "sink": *name, "dead": dead })))
}

/// `POST /api/v1/sinks/{name}/resend`
pub(crate) async fn resend(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["alert"])?;
    let wanted = "an alert id (32 hexadecimal digits)";
    let alert = params.parsed("alert", wanted, AlertId::parse)?;
    let asked = name.clone();
    let resent = ask(&state, move |sinks| sinks.resend(&asked, alert)).await?;
    match (resent, alert) {
        (None, _) => Err(no_such(&name)),
        (Some(0), Some(alert)) => Err(Problem::not_found(format!(
            "the sink {name:?} has not given up the alert {alert}"
        ))),
        (Some(count), _) => Ok(HttpResponse::Ok().json(json!({ "sink": *name, "resent": count }))),
    }
}

/// `POST /api/v1/sinks/{name}/enable`
pub(crate) async fn enable(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let asked = name.clone();
    if ask(&state, move |sinks| sinks.enable(&asked)).await? {
        Ok(HttpResponse::Ok().json(json!({ "sink": *name, "done": "enabled" })))
    } else {
        Err(no_such(&name))
    }
}

fn no_such(name: &str) -> Problem {
    Problem::not_found(format!("no sink has the name {name:?}"))
}

fn when(time: ReceiveTime) -> String {
    rfc3339(EventTime(time.0))
}

fn sink_json(sink: &SinkInfo) -> Value {
    json!({
        "name": sink.name,
        "type": sink.kind,
        "target": sink.target,
        "state": sink.state,
        "stopped": sink.stopped,
        "position": sink.read.map(|read| read.to_string()),
        "waiting": sink.waiting,
        "waiting_since": sink.waiting_since.map(when),
        "dead": sink.dead,
        "last_failure": sink.last_failure,
    })
}

fn dead_json(dead: &DeadLetter) -> Value {
    json!({
        "alert": dead.alert.to_string(),
        "from": dead.from.to_string(),
        "last": dead.last.to_string(),
        "rows": dead.rows,
        "since": when(dead.since),
        "reason": dead.reason,
    })
}

async fn ask<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn Sinks) -> Result<T, PortError> + Send + 'static,
) -> Result<T, Problem> {
    let sinks = state.ports.sinks.clone();
    Ok(web::block(move || question(sinks.as_ref())).await??)
}
