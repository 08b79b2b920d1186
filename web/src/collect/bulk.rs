//! Elasticsearch's bulk requests: pairs of an action and a document, each with its own result.

use std::fmt::Write;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use weir_schema::Format;

use super::batcher::{EVENT_BYTES_MAX, SourceBatcher};
use super::elastic;
use super::ingest::ingest;
use super::json_check::check_json_object;
use super::request::source_name;
use crate::bodies::{BodyError, split_lines};
use crate::metrics::Protocol;
use crate::state::AppState;

/// The source of documents whose index gives no name.
const SOURCE: &str = "bulk";

/// Longest index in a path, as in Elasticsearch; each item of the answer repeats it.
const INDEX_BYTES_MAX: usize = 255;

/// Longest action line; ids have at most 512 bytes.
const ACTION_BYTES_MAX: usize = 16 << 10;

/// An action line.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BulkAction {
    Create(BulkTarget),
    Index(BulkTarget),
    Update(BulkTarget),
    Delete(BulkTarget),
}

#[derive(Deserialize)]
struct BulkTarget {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Value>,
}

impl BulkAction {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Index(_) => "index",
            Self::Update(_) => "update",
            Self::Delete(_) => "delete",
        }
    }

    /// Whether a document follows the action line.
    fn has_document(&self) -> bool {
        match self {
            Self::Create(_) | Self::Index(_) | Self::Update(_) => true,
            Self::Delete(_) => false,
        }
    }

    fn into_target(self) -> BulkTarget {
        match self {
            Self::Create(target)
            | Self::Index(target)
            | Self::Update(target)
            | Self::Delete(target) => target,
        }
    }
}

/// The result of one action.
pub(super) struct BulkItem {
    action: &'static str,
    index: String,
    id: String,
    error: Option<BulkError>,
}

impl BulkItem {
    /// Judges an action. An id that the sender left out is made.
    pub(super) fn new(
        action: &'static str,
        index: String,
        id: Option<String>,
        document: &[u8],
        place: usize,
    ) -> Self {
        Self {
            action,
            index,
            id: id.unwrap_or_else(|| document_id(document, place)),
            error: check_action(action, document),
        }
    }

    /// Adds the document as a frame, unless the action was refused.
    pub(super) fn push(
        &self,
        document: &[u8],
        batcher: &mut SourceBatcher,
    ) -> Result<(), BodyError> {
        match &self.error {
            Some(error) => batcher.refuse(error.label),
            None => batcher.push(&index_source(&self.index), Format::Json, document.to_vec()),
        }
    }

    /// The type and the reason of the refusal, if the action was refused.
    pub(super) fn error(&self) -> Option<(&'static str, &str)> {
        let error = self.error.as_ref()?;
        Some((error.kind, &error.reason))
    }

    /// The answer to an action that was accepted.
    pub(super) fn created_json(&self) -> Value {
        json!({
            "_index": self.index, "_id": self.id, "_version": 1, "result": "created",
            "_shards": { "total": 1, "successful": 1, "failed": 0 },
            "_seq_no": 0, "_primary_term": 1,
        })
    }
}

/// Why an action was refused, in the terms of Elasticsearch.
struct BulkError {
    /// An exception type of Elasticsearch.
    kind: &'static str,
    /// The metric label.
    label: &'static str,
    reason: String,
}

/// `POST /_bulk`, `/{index}/_bulk`
pub(super) async fn receive_bulk(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let begun = Instant::now();
    let index = request.match_info().get("index").map(str::to_owned);
    let split = move |body: &[u8], batcher: &mut SourceBatcher| {
        split_actions(body, index.as_deref(), batcher)
    };
    match ingest(Protocol::Bulk, &request, body, &state, split).await {
        Ok(ingested) => {
            let answer = bulk_json(&ingested.output, begun);
            elastic::respond_text(StatusCode::OK, answer)
        }
        Err(error) => elastic::refused(&error),
    }
}

/// Writes the answer item by item: as one JSON value, 100,000 items would take hundreds of MiB.
fn bulk_json(items: &[BulkItem], begun: Instant) -> String {
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let errors = items.iter().any(|item| item.error.is_some());
    let mut text = format!("{{\"took\":{took},\"errors\":{errors},\"items\":[");
    for (place, item) in items.iter().map(item_json).enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{item}"); // Writing to a string cannot fail.
    }
    text + "]}"
}

fn item_json(item: &BulkItem) -> Value {
    let result = match &item.error {
        None => {
            let mut created = item.created_json();
            created["status"] = 201.into();
            created
        }
        Some(error) => json!({
            "_index": item.index, "_id": item.id, "status": 400,
            "error": { "type": error.kind, "reason": error.reason },
        }),
    };
    json!({ item.action: result })
}

/// Adds each document as a frame, byte for byte.
///
/// A line that is not an action refuses the whole request, as in Elasticsearch: the pairing of the
/// lines after it is unknown.
pub(super) fn split_actions(
    body: &[u8],
    index: Option<&str>,
    batcher: &mut SourceBatcher,
) -> Result<Vec<BulkItem>, BodyError> {
    check_index(index)?;
    let mut lines = (1..)
        .zip(split_lines(body))
        .filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut items = Vec::new();
    let mut all_have_ids = true;
    while let Some((number, line)) = lines.next() {
        let malformed = |reason: &str| {
            let detail = format!("Malformed action/metadata line [{number}]: {reason}");
            BodyError::Malformed(detail)
        };
        let action = parse_action(line).map_err(|reason| malformed(&reason))?;
        let (name, has_document) = (action.name(), action.has_document());
        let target = action.into_target();
        let Some(target_index) = target.index.or_else(|| index.map(str::to_owned)) else {
            return Err(malformed("the index is missing"));
        };
        let id = target.id.map(|id| match id {
            Value::String(id) => id,
            other => other.to_string(),
        });
        let document = if has_document { lines.next() } else { None };
        if has_document && document.is_none() {
            return Err(malformed("no document follows"));
        }
        all_have_ids &= id.is_some();
        let document = document.map(|(_, document)| document).unwrap_or_default();
        let item = BulkItem::new(name, target_index, id, document, items.len());
        item.push(document, batcher)?;
        items.push(item);
    }
    if items.is_empty() {
        return Err(BodyError::Malformed("the body has no action".to_owned()));
    }
    // A repeated document with an id of its own is the same document.
    if all_have_ids && batcher.sender.key.is_none() {
        let key = repeat_key(body, index, batcher.sender.source.as_deref());
        batcher.sender.key = Some(key);
    }
    Ok(items)
}

/// Refuses an index that is too long.
pub(super) fn check_index(index: Option<&str>) -> Result<(), BodyError> {
    if index.is_some_and(|index| index.len() > INDEX_BYTES_MAX) {
        let detail = format!("the index has more than {INDEX_BYTES_MAX} bytes");
        return Err(BodyError::Malformed(detail));
    }
    Ok(())
}

fn parse_action(line: &[u8]) -> Result<BulkAction, String> {
    if line.len() > ACTION_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// The idempotency key of a request: equal for two requests with equal documents of the same index.
pub(super) fn repeat_key(body: &[u8], index: Option<&str>, source: Option<&str>) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [index, source] {
        let part = part.unwrap_or_default();
        hash.update(&part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(body);
    let mut digest = [0; 16];
    hash.finalize_xof().fill(&mut digest);
    format!("_bulk-{:032x}", u128::from_be_bytes(digest))
}

/// Returns why an action is refused, if it is.
fn check_action(action: &str, document: &[u8]) -> Option<BulkError> {
    if matches!(action, "update" | "delete") {
        return Some(BulkError {
            kind: "illegal_argument_exception",
            label: "unsupported",
            reason: format!("events never change: use create or index instead of {action}"),
        });
    }
    if document.len() > EVENT_BYTES_MAX {
        return Some(BulkError {
            kind: "content_too_long_exception",
            label: "too_large",
            reason: format!("the document has more than {EVENT_BYTES_MAX} bytes"),
        });
    }
    let reason = check_json_object(document).err()?;
    Some(BulkError {
        kind: "document_parsing_exception",
        label: "malformed",
        reason,
    })
}

/// Makes an id of twenty characters, as Elasticsearch does, from a document and its place.
fn document_id(document: &[u8], place: usize) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(document);
    hash.update(&place.to_le_bytes());
    let mut text = hash.finalize().to_hex().to_string();
    text.truncate(20);
    text
}

/// The source of an index: its name without the date suffix that many shippers add each day.
fn index_source(index: &str) -> String {
    let is_date = |text: &str| {
        let fits = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'.' || byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        text.len() == 10 && text.bytes().enumerate().all(fits)
    };
    let suffix = index.len().checked_sub(11);
    let parts = suffix.and_then(|suffix| Some((index.get(..suffix)?, index.get(suffix..)?)));
    let name = match parts {
        Some((name, suffix)) if suffix.strip_prefix('-').is_some_and(is_date) => name,
        _ => index,
    };
    source_name(name, SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::request::BodySender;

    fn batcher(source: Option<&str>) -> SourceBatcher {
        SourceBatcher::new(BodySender {
            source: source.map(str::to_owned),
            ..BodySender::sample()
        })
    }

    #[test]
    fn repeat_keys_differ_by_index_and_source() {
        let body = b"{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n";
        let mut keys = std::collections::BTreeSet::new();
        let requests = [
            (Some("a"), None),
            (Some("b"), None),
            (Some("a"), Some("b")),
            (Some("ab"), Some("")),
        ];
        for (index, source) in requests {
            let key = |mut batcher: SourceBatcher| {
                split_actions(body, index, &mut batcher).unwrap();
                batcher.sender.key
            };
            assert_eq!(key(batcher(source)), key(batcher(source)));
            keys.insert(key(batcher(source)));
        }
        assert_eq!(keys.len(), requests.len());
    }

    #[test]
    fn refuse_a_long_index() {
        let body = b"{\"index\":{}}\n{}\n";
        let split = |length| split_actions(body, Some(&"i".repeat(length)), &mut batcher(None));
        assert!(split(INDEX_BYTES_MAX).is_ok());
        assert!(matches!(
            split(INDEX_BYTES_MAX + 1),
            Err(BodyError::Malformed(_))
        ));
    }

    #[test]
    fn daily_indexes_share_a_source() {
        for (index, source) in [
            ("filebeat-8.17.0-2026.11.22", "filebeat-8.17.0"),
            ("logs-2026-11-22", "logs"),
            ("logs-2026.11", "logs-2026.11"),
            ("logs-nginx.access-default", "logs-nginx.access-default"),
            ("-2026.11.22", "bulk"),
            ("2026.11.22", "2026.11.22"),
            ("größe", "gr__e"),
            ("", "bulk"),
        ] {
            assert_eq!(index_source(index), source, "{index}");
        }
    }
}
