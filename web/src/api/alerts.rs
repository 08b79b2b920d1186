//! Routes of alerts: list, get one with its history, explain.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::{AlertId, AlertRecord, Change, ChangeKind};

use crate::alert_json::{change_json, explanation_json, record_json};
use crate::ports::{AlertQuery, Alerts, Cursor, FindingWriter, PortError, StandingFilter};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;

/// Default number of alerts in an answer.
const LIMIT_DEFAULT: usize = 100;
/// Maximum number of alerts in an answer: about 4 MiB of JSON.
const LIMIT_MAX: usize = 1_000;
/// Maximum number of conditions on group fields; rules group by fewer fields.
const GROUP_CONDITIONS_MAX: usize = 16;

const LIST_PARAMS: [&str; 8] = [
    "standing", "level", "rule", "tenant", "group", "after", "limit", "format",
];

/// `GET /api/v1/alerts`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &LIST_PARAMS)?;
    let (query, finding) = (read_query(&params)?, read_format(&params, &state)?);
    let page = with_alerts(&state, move |alerts| alerts.list(&query)).await?;
    let alerts = page.items.into_iter();
    let alerts: Vec<Value> = match finding {
        None => alerts.map(|record| record_json(&record)).collect(),
        Some(finding) => alerts
            .map(|record| current_finding(&finding, record))
            .collect(),
    };
    let next = page.next.map(|id| id.to_string());
    Ok(HttpResponse::Ok().json(json!({ "alerts": alerts, "next": next })))
}

/// `GET /api/v1/alerts/{id}`
pub(crate) async fn get(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let finding = read_format(&QueryParams::read(&request, &["format"])?, &state)?;
    let id = read_id(&request)?;
    let alert = with_alerts(&state, move |alerts| alerts.get(id)).await?;
    let (record, changes) = alert.ok_or_else(|| unknown_alert(id))?;
    let changes = changes.iter();
    let (changes, alert): (Vec<Value>, Value) = match finding {
        None => (changes.map(change_json).collect(), record_json(&record)),
        Some(finding) => (
            changes.map(|change| finding(change, change.kind)).collect(),
            current_finding(&finding, record),
        ),
    };
    Ok(HttpResponse::Ok().json(json!({ "alert": alert, "changes": changes })))
}

/// Reads `format=`; returns the writer of OCSF findings if the client wants `ocsf`.
fn read_format(
    params: &QueryParams,
    state: &AppState,
) -> Result<Option<FindingWriter>, ProblemDetails> {
    let ocsf = params.parsed("format", "one of weir, ocsf", |text| match text {
        "weir" => Some(false),
        "ocsf" => Some(true),
        _ => None, // Free text: every other value is an error.
    })?;
    let finding = || state.ports.finding.clone();
    Ok(ocsf.unwrap_or(false).then(finding))
}

/// The finding that a receiver of all changes of the alert has now.
fn current_finding(finding: &FindingWriter, record: AlertRecord) -> Value {
    let kind = match (record.standing, record.revision) {
        (false, _) => ChangeKind::Retracted,
        (true, 0..=1) => ChangeKind::Raised,
        (true, _) => ChangeKind::Revised,
    };
    // A finding does not show the position in the outbox.
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
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let id = read_id(&request)?;
    let explanation = with_alerts(&state, move |alerts| {
        Ok(alerts
            .explain(id)?
            .map(|explanation| explanation_json(&explanation).to_string()))
    });
    let body = explanation.await?.ok_or_else(|| unknown_alert(id))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(body))
}

/// Runs a query on a blocking thread.
async fn with_alerts<T: Send + 'static>(
    state: &AppState,
    query: impl FnOnce(&dyn Alerts) -> Result<T, PortError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let alerts = state.ports.alerts.clone();
    Ok(web::block(move || query(alerts.as_ref())).await??)
}

fn read_query(params: &QueryParams) -> Result<AlertQuery, ProblemDetails> {
    let standing = params.parsed("standing", "one of standing, retracted, all", |text| {
        Some(match text {
            "standing" => StandingFilter::Standing,
            "retracted" => StandingFilter::Retracted,
            "all" => StandingFilter::All,
            _ => return None, // Free text: every other value is an error.
        })
    })?;
    let group: Vec<(String, String)> = params
        .all("group")
        .map(|text| {
            let pair = text
                .split_once('=')
                .map(|(name, value)| (name.into(), value.into()));
            pair.ok_or_else(|| {
                ProblemDetails::bad_request("parameter \"group\" is not FIELD=VALUE")
            })
        })
        .collect::<Result<_, _>>()?;
    if group.len() > GROUP_CONDITIONS_MAX {
        let detail = format!("more than {GROUP_CONDITIONS_MAX} conditions on group fields");
        return Err(ProblemDetails::bad_request(detail));
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

fn read_id(request: &HttpRequest) -> Result<AlertId, ProblemDetails> {
    let text = request.match_info().get("id").unwrap_or_default();
    AlertId::parse(text)
        .ok_or_else(|| ProblemDetails::bad_request("an alert id is 32 hexadecimal digits"))
}

fn unknown_alert(id: AlertId) -> ProblemDetails {
    ProblemDetails::not_found(format!("no alert has the id {id}"))
}
