//! Alerts as they stand: listing, one with its history, its explanation.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, AlertRecord, Change, ChangeKind};

use crate::ports::{AlertQuery, Alerts, Cursor, Finding, PortError, Standing};
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

const LIST_PARAMS: [&str; 8] = [
    "standing", "level", "rule", "tenant", "group", "after", "limit", "format",
];

/// `GET /api/v1/alerts`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &LIST_PARAMS)?;
    let (query, finding) = (read_query(&params)?, read_format(&params, &state)?);
    let page = ask(&state, move |alerts| alerts.list(&query)).await?;
    let alerts = page.items.into_iter();
    let alerts: Vec<Value> = match finding {
        None => alerts.map(|record| record_json(&record)).collect(),
        Some(finding) => alerts.map(|record| finding_now(&finding, record)).collect(),
    };
    let next = page.next.map(|id| id.to_string());
    Ok(HttpResponse::Ok().json(json!({ "alerts": alerts, "next": next })))
}

/// `GET /api/v1/alerts/{id}`
pub(crate) async fn one(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let finding = read_format(&Params::read(&request, &["format"])?, &state)?;
    let id = read_id(&request)?;
    let found = ask(&state, move |alerts| alerts.get(id)).await?;
    let (record, changes) = found.ok_or_else(|| no_such(id))?;
    let changes = changes.iter();
    let (changes, alert): (Vec<Value>, Value) = match finding {
        None => (changes.map(change_json).collect(), record_json(&record)),
        Some(finding) => (
            changes.map(|change| finding(change, change.kind)).collect(),
            finding_now(&finding, record),
        ),
    };
    Ok(HttpResponse::Ok().json(json!({ "alert": alert, "changes": changes })))
}

/// How alerts are written: as findings of OCSF where the client asks for it.
fn read_format(params: &Params, state: &State) -> Result<Option<Finding>, Problem> {
    let ocsf = params.parsed("format", "one of weir, ocsf", |text| match text {
        "weir" => Some(false),
        "ocsf" => Some(true),
        _ => None, // Any other text is no such word.
    })?;
    let finding = || state.ports.finding.clone();
    Ok(ocsf.unwrap_or(false).then(finding))
}

/// An alert as the finding that whoever heard of all its changes holds.
fn finding_now(finding: &Finding, record: AlertRecord) -> Value {
    let kind = match (record.standing, record.revision) {
        (false, _) => ChangeKind::Retracted,
        (true, 0..=1) => ChangeKind::Raised,
        (true, _) => ChangeKind::Revised,
    };
    // Where it stands in the outbox no finding shows.
    let change = Change {
        kind,
        epoch: Cursor::START.epoch,
        ordinal: Cursor::START.ordinal,
        supersedes: record.supersedes.clone(),
        record,
    };
    finding(&change, kind)
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
