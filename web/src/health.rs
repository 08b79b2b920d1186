//! Whether Weir lives, whether it is ready, and what it counts.

use actix_web::{HttpResponse, web};
use prometheus::{Encoder, TextEncoder};
use serde_json::json;

use crate::problem::Problem;
use crate::server::State;

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: events are taken in and alerts are current.
pub(crate) async fn ready(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match state.ports.health.ready() {
        Ok(()) => Ok(HttpResponse::Ok().json(json!({ "status": "ready" }))),
        Err(reason) => Err(Problem::unavailable(reason)),
    }
}

/// `GET /metrics`, in Prometheus' text format.
pub(crate) async fn metrics(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let registry = state.ports.registry.clone();
    let text = web::block(move || {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&registry.gather(), &mut text);
        encoded.map(|()| text)
    });
    let text = text.await?.map_err(|error| {
        tracing::error!(%error, "metrics could not be encoded");
        Problem::failed()
    })?;
    Ok(HttpResponse::Ok()
        .content_type(prometheus::TEXT_FORMAT)
        .body(text))
}
