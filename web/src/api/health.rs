//! Routes of liveness, readiness and metrics.

use actix_web::{HttpResponse, web};
use prometheus::{Encoder, TextEncoder};
use serde_json::json;

use crate::problem::ProblemDetails;
use crate::state::AppState;

/// `GET /healthz`: succeeds while all parts of the server run.
pub(crate) async fn live(state: web::Data<AppState>) -> Result<HttpResponse, ProblemDetails> {
    match state.ports.health.live() {
        Ok(()) => Ok(HttpResponse::Ok().json(json!({ "status": "ok" }))),
        Err(reason) => Err(ProblemDetails::unavailable(reason)),
    }
}

/// `GET /readyz`: succeeds while events are accepted and alerts are current.
pub(crate) async fn ready(state: web::Data<AppState>) -> Result<HttpResponse, ProblemDetails> {
    match state.ports.health.ready() {
        Ok(()) => Ok(HttpResponse::Ok().json(json!({ "status": "ready" }))),
        Err(reason) => Err(ProblemDetails::unavailable(reason)),
    }
}

/// `GET /metrics`: all metrics in the text format of Prometheus.
pub(crate) async fn metrics(state: web::Data<AppState>) -> Result<HttpResponse, ProblemDetails> {
    let registry = state.ports.registry.clone();
    let text = web::block(move || {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&registry.gather(), &mut text);
        encoded.map(|()| text)
    });
    let text = text.await?.map_err(|error| {
        tracing::error!(%error, "encoding the metrics failed");
        ProblemDetails::failed()
    })?;
    Ok(HttpResponse::Ok()
        .content_type(prometheus::TEXT_FORMAT)
        .body(text))
}
