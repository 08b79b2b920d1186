//! Elasticsearch's bulk requests: pairs of an action and a document, each with its own verdict.

use std::fmt::Write;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use weir_schema::Format;

use super::sorter::{EVENT_BYTES_MAX, Sorter, source_name};
use super::{Refusal, Way, elastic, lines_of, take};
use crate::events::judge_json;
use crate::server::State;

/// The source of documents whose index says nothing.
const SOURCE: &str = "bulk";

/// Longest index of an address, as with Elasticsearch: each item of the answer says it.
const INDEX_BYTES_MAX: usize = 255;

/// Longest line of an action; ids have at most 512 bytes.
const ACTION_BYTES_MAX: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Create(Target),
    Index(Target),
    Update(Target),
    Delete(Target),
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Value>,
}

/// What is answered of one action.
pub(super) struct Item {
    action: &'static str,
    index: String,
    id: String,
    error: Option<(&'static str, String)>,
}

/// `POST /_bulk`, `/{index}/_bulk`
pub(super) async fn bulk(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let begun = Instant::now();
    let index = request.match_info().get("index").map(str::to_owned);
    let cut = move |body: &[u8], sorter: &mut Sorter| cut(body, index.as_deref(), sorter);
    match take(Way::Bulk, &request, body, &state, cut).await {
        Ok(taken) => elastic::respond_text(StatusCode::OK, verdict(&taken.said, begun)),
        Err(refusal) => elastic::refused(&refusal),
    }
}

/// Written item by item: as one value a hundred thousand of them would weigh hundreds of MiB.
fn verdict(items: &[Item], begun: Instant) -> String {
    let item = |item: &Item| {
        let said = match &item.error {
            None => json!({
                "_index": item.index, "_id": item.id, "_version": 1, "result": "created",
                "_shards": { "total": 1, "successful": 1, "failed": 0 },
                "_seq_no": 0, "_primary_term": 1, "status": 201,
            }),
            Some((kind, reason)) => json!({
                "_index": item.index, "_id": item.id, "status": 400,
                "error": { "type": kind, "reason": reason },
            }),
        };
        json!({ item.action: said })
    };
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let errors = items.iter().any(|item| item.error.is_some());
    let mut text = format!("{{\"took\":{took},\"errors\":{errors},\"items\":[");
    for (place, said) in items.iter().map(item).enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{said}"); // Writing to a string cannot fail.
    }
    text + "]}"
}

/// Takes each document as a frame, byte for byte. What is no pair of action and document ends the
/// request as a whole, as with Elasticsearch: nobody could say which lines belong together.
pub(super) fn cut(
    body: &[u8],
    index: Option<&str>,
    sorter: &mut Sorter,
) -> Result<Vec<Item>, Refusal> {
    if index.is_some_and(|index| index.len() > INDEX_BYTES_MAX) {
        let told = format!("an index here has at most {INDEX_BYTES_MAX} bytes");
        return Err(Refusal::Malformed(told));
    }
    let mut lines = (1..)
        .zip(lines_of(body))
        .filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut items = Vec::new();
    let mut all_named = true;
    while let Some((number, line)) = lines.next() {
        let malformed = |what: &str| {
            let told = format!("Malformed action/metadata line [{number}]: {what}");
            Refusal::Malformed(told)
        };
        if line.len() > ACTION_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let action = serde_json::from_slice::<Action>(line);
        let action = action.map_err(|error| malformed(&error.to_string()))?;
        let (name, target, has_document) = match action {
            Action::Create(target) => ("create", target, true),
            Action::Index(target) => ("index", target, true),
            Action::Update(target) => ("update", target, true),
            Action::Delete(target) => ("delete", target, false),
        };
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
        all_named &= id.is_some();
        let document = document.map(|(_, document)| document).unwrap_or_default();
        let error = judge(name, document);
        let id = id.unwrap_or_else(|| made_id(document, items.len()));
        match &error {
            Some((kind, _)) => sorter.refuse(reason(kind))?,
            None => {
                let source = source_of(&target_index);
                sorter.push(&source, Format::Json, document.to_vec())?;
            }
        }
        items.push(Item {
            action: name,
            index: target_index,
            id,
            error,
        });
    }
    if items.is_empty() {
        return Err(Refusal::Malformed("the body holds no action".to_owned()));
    }
    // Documents with ids of their own are the same documents when they come again.
    if all_named && sorter.sender.key.is_none() {
        let key = repeat_key(body, index, sorter.sender.source.as_deref());
        sorter.sender.key = Some(key);
    }
    Ok(items)
}

/// What two requests have in common that are one and the same: an id names a document of its index.
fn repeat_key(body: &[u8], index: Option<&str>, source: Option<&str>) -> String {
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

/// What is wrong with an action, in Elasticsearch's words.
fn judge(action: &str, document: &[u8]) -> Option<(&'static str, String)> {
    if matches!(action, "update" | "delete") {
        let told = format!("events are facts: they are added by create or index, not by {action}");
        return Some(("illegal_argument_exception", told));
    }
    if document.len() > EVENT_BYTES_MAX {
        let told = format!("a document here has at most {EVENT_BYTES_MAX} bytes");
        return Some(("content_too_long_exception", told));
    }
    let error = judge_json(document).err()?;
    Some(("document_parsing_exception", error))
}

fn reason(kind: &str) -> &'static str {
    match kind {
        "illegal_argument_exception" => "unsupported",
        "content_too_long_exception" => "too_large",
        _ => "malformed",
    }
}

/// An id of twenty characters, as Elasticsearch makes them: of the document and its place.
fn made_id(document: &[u8], place: usize) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(document);
    hash.update(&place.to_le_bytes());
    let mut text = hash.finalize().to_hex().to_string();
    text.truncate(20);
    text
}

/// The index without the day that many shippers end it with: a source goes on from day to day.
fn source_of(index: &str) -> String {
    let day = |text: &str| {
        let form = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'.' || byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        text.len() == 10 && text.bytes().enumerate().all(form)
    };
    let cut = index.len().checked_sub(11);
    let parts = cut.and_then(|cut| Some((index.get(..cut)?, index.get(cut..)?)));
    let name = match parts {
        Some((name, end)) if end.strip_prefix('-').is_some_and(day) => name,
        _ => index,
    };
    source_name(name, SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::sorter::Sender;

    fn sorter(source: Option<&str>) -> Sorter {
        Sorter::new(Sender {
            tenant: "default".to_owned(),
            peer: None,
            received: weir_schema::ReceiveTime(0),
            source: source.map(str::to_owned),
            key: None,
        })
    }

    #[test]
    fn equal_documents_of_another_index_are_other_documents() {
        let body = b"{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n";
        let mut keys = std::collections::BTreeSet::new();
        let requests = [
            (Some("a"), None),
            (Some("b"), None),
            (Some("a"), Some("b")),
            (Some("ab"), Some("")),
        ];
        for (index, source) in requests {
            let key = |mut sorter: Sorter| {
                cut(body, index, &mut sorter).unwrap();
                sorter.sender.key
            };
            assert_eq!(key(sorter(source)), key(sorter(source)));
            keys.insert(key(sorter(source)));
        }
        assert_eq!(keys.len(), requests.len());
    }

    #[test]
    fn an_index_that_each_item_would_repeat_is_not_long() {
        let body = b"{\"index\":{}}\n{}\n";
        let of = |length| cut(body, Some(&"i".repeat(length)), &mut sorter(None));
        assert!(of(INDEX_BYTES_MAX).is_ok());
        assert!(matches!(
            of(INDEX_BYTES_MAX + 1),
            Err(Refusal::Malformed(_))
        ));
    }

    #[test]
    fn an_index_of_each_day_is_one_source() {
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
            assert_eq!(source_of(index), source, "{index}");
        }
    }
}
