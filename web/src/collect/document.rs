//! Elasticsearch's requests of one document: `POST /{index}/_doc`, `PUT /{index}/_create/{id}`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::batcher::SourceBatcher;
use super::bulk::{BulkItem, check_index, repeat_key};
use super::elastic;
use super::ingest::ingest;
use crate::bodies::BodyError;
use crate::metrics::Protocol;
use crate::state::AppState;

/// The pattern of documents that get an id.
pub(super) const DOCUMENTS: &str = "/{index}/_doc";

/// The patterns of documents with an id of their own.
pub(super) const NAMED_DOCUMENTS: [&str; 2] = ["/{index}/_doc/{id}", "/{index}/_create/{id}"];

/// Takes one document, as a bulk request with one action takes it.
pub(super) async fn receive_document(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let part = |name| request.match_info().get(name).map(str::to_owned);
    let (index, id) = (part("index").unwrap_or_default(), part("id"));
    let split =
        move |body: &[u8], batcher: &mut SourceBatcher| split_document(body, index, id, batcher);
    match ingest(Protocol::Bulk, &request, body, &state, split).await {
        Ok(ingested) => match ingested.output.error() {
            None => elastic::respond(StatusCode::CREATED, &ingested.output.created_json()),
            Some((kind, reason)) => elastic::error(StatusCode::BAD_REQUEST, kind, reason),
        },
        Err(error) => elastic::refused(&error),
    }
}

fn split_document(
    body: &[u8],
    index: String,
    id: Option<String>,
    batcher: &mut SourceBatcher,
) -> Result<BulkItem, BodyError> {
    check_index(Some(&index))?;
    // A repeated document with an id of its own is the same document.
    if let Some(id) = &id
        && batcher.sender.key.is_none()
    {
        let target = format!("{index}/{id}");
        let key = repeat_key(body, Some(&target), batcher.sender.source.as_deref());
        batcher.sender.key = Some(key);
    }
    let document = body.trim_ascii();
    let item = BulkItem::new("index", index, id, document, 0);
    item.push(document, batcher)?;
    Ok(item)
}
