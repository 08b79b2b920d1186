//! Routes of what-ifs: begin, list, get the difference, promote, drop.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, Level, WhatIfId};

use super::rule_update::{backfill_json, read_backfill, read_rule_text, update_problem};
use crate::ports::{
    PortError, RuleUpdateError, WhatIfInfo, WhatIfKind, WhatIfPort, WhatIfQuery, WhatIfRequest,
    WhatIfRow, WhatIfSide,
};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;
use crate::time::rfc3339;

/// Default number of alerts in an answer.
const LIMIT_DEFAULT: usize = 100;
/// Maximum number of alerts in an answer.
const LIMIT_MAX: usize = 1_000;

/// `POST /api/v1/what-if`
pub(crate) async fn begin(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &["remove", "backfill"])?;
    let remove = params.all("remove").map(Into::into).collect();
    let backfill = read_backfill(&params)?;
    let text = read_rule_text(&request, body, &state).await?;
    let new = WhatIfRequest {
        text,
        origin: "api".into(),
        remove,
        backfill,
    };
    let info = with_what_ifs(&state, move |what_ifs| what_ifs.begin(&new)).await?;
    let location = format!("/api/v1/what-if/{}", info.id);
    Ok(HttpResponse::Created()
        .insert_header(("Location", location))
        .json(json!({ "what_if": info_json(&info) })))
}

/// `GET /api/v1/what-if`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let all = with_what_ifs(&state, |what_ifs| Ok(what_ifs.list()?)).await?;
    let all: Vec<Value> = all.iter().map(info_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "what_ifs": all })))
}

/// `GET /api/v1/what-if/{id}`
pub(crate) async fn get(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &["kind", "after", "limit"])?;
    let id = read_id(&request)?;
    let limit = params.parsed("limit", "a number from 1 to 1000", |text| {
        let limit = text.parse().ok();
        limit.filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    let query = WhatIfQuery {
        kind: params.parsed("kind", "one of gained, lost, changed", WhatIfKind::parse)?,
        after: params.parsed(
            "after",
            "an alert id (32 hexadecimal digits)",
            AlertId::parse,
        )?,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    };
    let page = with_what_ifs(&state, move |what_ifs| Ok(what_ifs.get(id, query)?)).await?;
    let page = page.ok_or_else(|| unknown_what_if(id))?;
    let mut answer = what_if_json(&page.info, &page.rows);
    answer["next"] = page.next.map(|alert| alert.to_string()).into();
    Ok(HttpResponse::Ok().json(answer))
}

/// A what-if with one page of its difference.
#[must_use]
pub fn what_if_json(info: &WhatIfInfo, rows: &[WhatIfRow]) -> Value {
    let rows: Vec<Value> = rows.iter().map(row_json).collect();
    json!({ "what_if": info_json(info), "alerts": rows })
}

/// `POST /api/v1/what-if/{id}/promote`
pub(crate) async fn promote(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let id = read_id(&request)?;
    let info = with_what_ifs(&state, move |what_ifs| what_ifs.promote(id)).await?;
    let info = info.ok_or_else(|| unknown_what_if(id))?;
    Ok(HttpResponse::Ok().json(json!({ "what_if": info_json(&info), "done": "promoted" })))
}

/// `DELETE /api/v1/what-if/{id}`
pub(crate) async fn drop_what_if(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let id = read_id(&request)?;
    if with_what_ifs(&state, move |what_ifs| Ok(what_ifs.end(id)?)).await? {
        Ok(HttpResponse::Ok().json(json!({ "id": id.to_string(), "done": "dropped" })))
    } else {
        Err(unknown_what_if(id))
    }
}

/// Runs a query or command on a blocking thread.
async fn with_what_ifs<T: Send + 'static>(
    state: &AppState,
    run: impl FnOnce(&dyn WhatIfPort) -> Result<T, RuleUpdateError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let rules = state.ports.rules.clone();
    let run = move || match rules.what_ifs() {
        Some(what_ifs) => run(what_ifs),
        None => Err(PortError::Unavailable("what-ifs are not available here".to_owned()).into()),
    };
    web::block(run).await?.map_err(update_problem)
}

fn read_id(request: &HttpRequest) -> Result<WhatIfId, ProblemDetails> {
    let text = request.match_info().get("id").unwrap_or_default();
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|_| digits);
    id.map(WhatIfId)
        .ok_or_else(|| ProblemDetails::bad_request("a what-if's id is 16 hexadecimal digits"))
}

fn unknown_what_if(id: WhatIfId) -> ProblemDetails {
    ProblemDetails::not_found(format!("no what-if has the id {id}"))
}

fn info_json(info: &WhatIfInfo) -> Value {
    let changes = info.changes.iter();
    let changes: Vec<Value> = changes
        .map(|change| {
            let what = if change.removes { "remove" } else { "put" };
            json!({ "change": what, "rule": change.rule })
        })
        .collect();
    json!({
        "id": info.id.to_string(),
        "state": info.state,
        "changes": changes,
        "since": rfc3339(info.since),
        "from": if info.from_facts { "facts" } else { "journal" },
        "progress": info.progress.as_ref().map(backfill_json),
        "gained": info.gained,
        "lost": info.lost,
        "changed": info.changed,
        "restated": info.restated,
        "same": info.same,
        "facts": info.facts,
        "late": info.late,
        "limited": info.limited,
    })
}

fn row_json(row: &WhatIfRow) -> Value {
    let group = row.group.iter();
    let group: serde_json::Map<String, Value> = group
        .map(|field| (field.name.clone(), field.value.clone().into()))
        .collect();
    json!({
        "kind": row.kind.name(),
        "alert": row.alert.to_string(),
        "rule": &*row.rule,
        "title": row.title,
        "level": row.level.map(Level::name),
        "group": group,
        "live": row.live.as_ref().map(side_json),
        "tried": row.shadow.as_ref().map(side_json),
    })
}

fn side_json(side: &WhatIfSide) -> Value {
    json!({
        "key": side.key.to_string(),
        "state": side.state.name(),
        "first": rfc3339(side.first),
        "last": rfc3339(side.last),
        "count": side.count,
    })
}
