//! Alerts as they stand: listing, one with its history, its explanation.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::AlertId;

use crate::ports::{AlertQuery, Alerts, PortError, Standing};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;
use crate::wire::{change_json, explanation_json, record_json};

/// Alerts of one answer where the client does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most alerts of one answer: some 4 MiB of JSON.
const LIMIT_MAX: usize = 1_000;
/// Most conditions on group fields; rules group by fewer fields.
const GROUP_CONDITIONS_MAX: usize = 16;

const LIST_PARAMS: [&str; 7] = [
    "standing", "level", "rule", "tenant", "group", "after", "limit",
];

/// `GET /api/v1/alerts`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = read_query(&Params::read(&request, &LIST_PARAMS)?)?;
    let page = ask(&state, move |alerts| alerts.list(&query)).await?;
    let alerts: Vec<Value> = page.items.iter().map(record_json).collect();
    let next = page.next.map(|id| id.to_string());
    Ok(HttpResponse::Ok().json(json!({ "alerts": alerts, "next": next })))
}

/// `GET /api/v1/alerts/{id}`
pub(crate) async fn one(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let id = read_id(&request)?;
    let found = ask(&state, move |alerts| alerts.get(id)).await?;
    let (record, changes) = found.ok_or_else(|| no_such(id))?;
    let changes: Vec<Value> = changes.iter().map(change_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "alert": record_json(&record), "changes": changes })))
}

/// `GET /api/v1/alerts/{id}/explanation`
pub(crate) async fn explain(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let id = read_id(&request)?;
    let found = ask(&state, move |alerts| {
        Ok(alerts
            .explain(id)?
            .map(|explanation| explanation_json(&explanation).to_string()))
    });
    let body = found.await?.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(body))
}

/// Asks the ledger on a thread that may wait.
async fn ask<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn Alerts) -> Result<T, PortError> + Send + 'static,
) -> Result<T, Problem> {
    let alerts = state.ports.alerts.clone();
    Ok(web::block(move || question(alerts.as_ref())).await??)
}

fn read_query(params: &Params) -> Result<AlertQuery, Problem> {
    let standing = params.parsed("standing", "one of standing, retracted, all", |text| {
        Some(match text {
            "standing" => Standing::Standing,
            "retracted" => Standing::Retracted,
            "all" => Standing::All,
            _ => return None, // Any other text is no such word.
        })
    })?;
    let group: Vec<(String, String)> = params
        .all("group")
        .map(|text| {
            let pair = text
                .split_once('=')
                .map(|(name, value)| (name.into(), value.into()));
            pair.ok_or_else(|| Problem::bad_request("parameter \"group\" is not FIELD=VALUE"))
        })
        .collect::<Result<_, _>>()?;
    if group.len() > GROUP_CONDITIONS_MAX {
        let detail = format!("more than {GROUP_CONDITIONS_MAX} conditions on group fields");
        return Err(Problem::bad_request(detail));
    }
    let limit = params.parsed("limit", "a number from 1 to 1000", |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    Ok(AlertQuery {
        standing: standing.unwrap_or_default(),
        level_min: params.level()?,
        rule: params.one("rule").map(Into::into),
        tenant: params.one("tenant").map(Into::into),
        group,
        after: params.parsed(
            "after",
            "an alert id (32 hexadecimal digits)",
            AlertId::parse,
        )?,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    })
}

fn read_id(request: &HttpRequest) -> Result<AlertId, Problem> {
    let text = request.match_info().get("id").unwrap_or_default();
    AlertId::parse(text).ok_or_else(|| Problem::bad_request("an alert id is 32 hexadecimal digits"))
}

fn no_such(id: AlertId) -> Problem {
    Problem::not_found(format!("no alert has the id {id}"))
}
