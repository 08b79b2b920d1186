//! What-ifs over HTTP: begin one, see what it would change, promote or drop it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, Span, WhatIfId};

use crate::collect::read_small;
use crate::ports::{
    BackfillInfo, PortError, PutRule, WhatIfAsk, WhatIfInfo, WhatIfKind, WhatIfQuery, WhatIfRow,
    WhatIfSide, WhatIfs,
};
use crate::problem::Problem;
use crate::query::Params;
use crate::rules::{TEXT_BYTES_MAX, refused};
use crate::server::State;
use crate::time::rfc3339;

/// Rows of one answer where the client does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most rows of one answer.
const LIMIT_MAX: usize = 1_000;

/// `POST /api/v1/what-if`
pub(crate) async fn begin(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["remove", "backfill"])?;
    let remove = params.all("remove").map(Into::into).collect();
    let backfill = backfill(&params)?;
    let body = read_small(&request, body, &state, TEXT_BYTES_MAX).await?;
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| Problem::bad_request("the rule's text is not UTF-8"))?;
    let ask = WhatIfAsk {
        text,
        origin: "api".into(),
        remove,
        backfill,
    };
    let info = with(&state, move |what_ifs| what_ifs.begin(&ask)).await?;
    let location = format!("/api/v1/what-if/{}", info.id);
    Ok(HttpResponse::Created()
        .insert_header(("Location", location))
        .json(json!({ "what_if": info_json(&info) })))
}

/// `GET /api/v1/what-if`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let all = with(&state, |what_ifs| Ok(what_ifs.list()?)).await?;
    let all: Vec<Value> = all.iter().map(info_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "what_ifs": all })))
}

/// `GET /api/v1/what-if/{id}`
pub(crate) async fn one(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["kind", "after", "limit"])?;
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
    let page = with(&state, move |what_ifs| Ok(what_ifs.get(id, query)?)).await?;
    let page = page.ok_or_else(|| no_such(id))?;
    let mut answer = what_if_json(&page.info, &page.rows);
    answer["next"] = page.next.map(|alert| alert.to_string()).into();
    Ok(HttpResponse::Ok().json(answer))
}

/// A what-if with a part of its difference.
#[must_use]
pub fn what_if_json(info: &WhatIfInfo, rows: &[WhatIfRow]) -> Value {
    let rows: Vec<Value> = rows.iter().map(row_json).collect();
    json!({ "what_if": info_json(info), "alerts": rows })
}

/// `POST /api/v1/what-if/{id}/promote`
pub(crate) async fn promote(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let id = read_id(&request)?;
    let info = with(&state, move |what_ifs| what_ifs.promote(id)).await?;
    let info = info.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok().json(json!({ "what_if": info_json(&info), "done": "promoted" })))
}

/// `DELETE /api/v1/what-if/{id}`
pub(crate) async fn end(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let id = read_id(&request)?;
    if with(&state, move |what_ifs| Ok(what_ifs.end(id)?)).await? {
        Ok(HttpResponse::Ok().json(json!({ "id": id.to_string(), "done": "dropped" })))
    } else {
        Err(no_such(id))
    }
}

/// `backfill=`: how far before the watermark a rule begins.
pub(crate) fn backfill(params: &Params) -> Result<Option<Span>, Problem> {
    params.parsed("backfill", "a span such as 30m, 24h or 7d", |text| {
        Span::parse(text).filter(|span| span.0 >= 0)
    })
}

async fn with<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn WhatIfs) -> Result<T, PutRule> + Send + 'static,
) -> Result<T, Problem> {
    let rules = state.ports.rules.clone();
    let asked = move || match rules.what_ifs() {
        Some(what_ifs) => question(what_ifs),
        None => Err(PortError::Unavailable("there are no what-ifs here".to_owned()).into()),
    };
    web::block(asked).await?.map_err(refused)
}

fn read_id(request: &HttpRequest) -> Result<WhatIfId, Problem> {
    let text = request.match_info().get("id").unwrap_or_default();
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|_| digits);
    id.map(WhatIfId)
        .ok_or_else(|| Problem::bad_request("a what-if's id is 16 hexadecimal digits"))
}

fn no_such(id: WhatIfId) -> Problem {
    Problem::not_found(format!("no what-if has the id {id}"))
}

pub(crate) fn backfill_json(backfill: &BackfillInfo) -> Value {
    json!({
        "batches": backfill.batches,
        "batches_total": backfill.batches_total,
        "events": backfill.events,
        "events_per_second": backfill.events_per_second.round(),
    })
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
        "level": row.level.map(weir_schema::Level::name),
        "group": group,
        "live": row.live.as_ref().map(side_json),
        "tried": row.tried.as_ref().map(side_json),
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
