//! Routes of sources: those that send what no reader knows.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::ports::UnreadSourceInfo;
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;

/// `GET /api/v1/sources/unread`
pub(crate) async fn unread(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let sources = state.ports.sources.clone();
    let unread = web::block(move || sources.unread()).await??;
    let sources: Vec<Value> = unread.sources.iter().map(source_json).collect();
    Ok(HttpResponse::Ok().json(json!({
        "window_seconds": unread.window.as_secs(),
        "sources": sources,
    })))
}

fn source_json(source: &UnreadSourceInfo) -> Value {
    json!({
        "tenant": source.tenant,
        "source": source.source,
        "events": source.events,
        "unread": source.unread,
        "alerting": source.is_alerting,
        "samples": source.samples,
    })
}
