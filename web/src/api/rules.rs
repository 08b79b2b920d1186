//! Routes of rules: list, add, disable, enable, remove.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use weir_schema::EventTime;

use super::rule_update::{
    backfill_json, diagnostics_json, read_backfill, read_rule_text, update_problem,
};
use crate::ports::{PortError, RuleInfo, RuleUpdateError, Rules};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;
use crate::time::rfc3339;

/// Longest rule id.
const ID_BYTES_MAX: usize = 1_024;
/// Origin of rules that are added without the parameter `origin`.
const ORIGIN_DEFAULT: &str = "api";
const ORIGIN_BYTES_MAX: usize = 256;

/// `GET /api/v1/rules`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(&request, &[])?;
    let rules = state.ports.rules.clone();
    let read = move || -> Result<_, PortError> {
        Ok((rules.list()?, rules.diagnostics()?, rules.backfill()))
    };
    let (rules, diagnostics, backfill) = web::block(read).await??;
    let rules: Vec<Value> = rules.iter().map(rule_json).collect();
    Ok(HttpResponse::Ok().json(json!({
        "rules": rules,
        "diagnostics": diagnostics_json(&diagnostics),
        "diagnostics_count": diagnostics.len(),
        "backfill": backfill.as_ref().map(backfill_json),
    })))
}

/// `PUT /api/v1/rules`
pub(crate) async fn add(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let params = QueryParams::read(&request, &["origin", "backfill"])?;
    let backfill = read_backfill(&params)?;
    let origin = params.parsed(
        "origin",
        "1 to 256 bytes without control characters",
        |text| {
            let fits = !text.is_empty() && text.len() <= ORIGIN_BYTES_MAX;
            (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
        },
    )?;
    let origin = origin.unwrap_or_else(|| ORIGIN_DEFAULT.into());
    let text = read_rule_text(&request, body, &state).await?;
    let rules = state.ports.rules.clone();
    let add = move || match backfill {
        Some(span) => rules.add_with_backfill(&text, &origin, span),
        None => rules.add(&text, &origin),
    };
    let rules = web::block(add).await?.map_err(update_problem)?;
    let rules: Vec<Value> = rules.iter().map(rule_json).collect();
    Ok(HttpResponse::Ok().json(json!({ "rules": rules })))
}

/// `POST /api/v1/rules/{id}/disable`
pub(crate) async fn disable(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let disable = |rules: &dyn Rules, id: &str| {
        let disabled = rules.disable(id)?;
        Ok(disabled.then(|| json!({ "rule": id, "done": "disabled" })))
    };
    change(&request, id.into_inner(), &state, disable).await
}

/// `POST /api/v1/rules/{id}/enable`
pub(crate) async fn enable(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let enable = |rules: &dyn Rules, id: &str| {
        let enabled = rules.enable(id)?;
        Ok(enabled.then(|| json!({ "rule": id, "done": "enabled" })))
    };
    change(&request, id.into_inner(), &state, enable).await
}

/// `DELETE /api/v1/rules/{id}`
pub(crate) async fn remove(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    let remove = |rules: &dyn Rules, id: &str| {
        let freed = rules.remove(id)?;
        Ok(freed.map(|freed| json!({ "rule": id, "done": "removed", "alerts_by_itself": freed })))
    };
    change(&request, id.into_inner(), &state, remove).await
}

/// Changes one rule and answers with what was done, or that there is no such rule.
async fn change(
    request: &HttpRequest,
    id: String,
    state: &AppState,
    apply: impl FnOnce(&dyn Rules, &str) -> Result<Option<Value>, RuleUpdateError> + Send + 'static,
) -> Result<HttpResponse, ProblemDetails> {
    QueryParams::read(request, &[])?;
    if id.len() > ID_BYTES_MAX {
        return Err(ProblemDetails::not_found("no rule has an id that long"));
    }
    let (rule, rules) = (id.clone(), state.ports.rules.clone());
    let applied = web::block(move || apply(rules.as_ref(), &rule)).await?;
    let done = applied.map_err(update_problem)?.ok_or_else(|| {
        let message = format!("no rule has the id {id:?}");
        ProblemDetails::not_found(message)
    })?;
    Ok(HttpResponse::Ok().json(done))
}

fn rule_json(rule: &RuleInfo) -> Value {
    json!({
        "id": &*rule.id,
        "version": rule.version.to_string(),
        "title": rule.title,
        "level": rule.level.name(),
        "origin": rule.origin,
        "since": rfc3339(rule.since),
        "until": rule.until.map(rfc3339),
        "enabled": rule.until.is_none(),
        "incomplete": rule.incomplete,
        "state": rule_state(rule),
        "share": (rule.share * 10_000.0).round() / 10_000.0,
        "suspended": rule.suspension.as_ref().map(|suspension| json!({
            "reason": suspension.reason,
            "share": suspension.share,
            "since": rfc3339(EventTime(suspension.since.0)),
        })),
        "limited_by": rule.limited_by.iter().map(|rule| &**rule).collect::<Vec<_>>(),
    })
}

/// Whether a rule runs, and who stopped it.
fn rule_state(rule: &RuleInfo) -> &'static str {
    match (&rule.suspension, rule.until) {
        (Some(_), _) => "suspended",
        (None, Some(_)) => "disabled",
        (None, None) if !rule.limited_by.is_empty() => "limited",
        (None, None) => "enabled",
    }
}
