//! Rules over HTTP: listing, putting in place, disabling, enabling, removing.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::collect::read_small;
use crate::ports::{PortError, PutRule, Rules};
use crate::problem::Problem;
use crate::query::Params;
use crate::server::State;
use crate::what_if;
use crate::wire::{diagnostic_json, rule_json};

/// Longest text of rules in one request; the largest public rule is a hundredth of it.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Longest rule id.
const ID_BYTES_MAX: usize = 1_024;
/// Most diagnostics of one answer.
const DIAGNOSTICS_MAX: usize = 100;
/// Where a rule came from that was put over HTTP and names no origin.
const ORIGIN_DEFAULT: &str = "api";
const ORIGIN_BYTES_MAX: usize = 256;

/// `GET /api/v1/rules`
pub(crate) async fn list(
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, &[])?;
    let told = |rules: &dyn Rules| Ok((rules.list()?, rules.diagnostics()?, rules.backfill()));
    let (rules, diagnostics, backfill) = ask(&state, told).await?;
    let rules: Vec<Value> = rules.iter().map(rule_json).collect();
    let shown = diagnostics.iter().take(DIAGNOSTICS_MAX);
    let shown: Vec<Value> = shown.map(diagnostic_json).collect();
    Ok(HttpResponse::Ok().json(json!({
        "rules": rules,
        "diagnostics": shown,
        "diagnostics_count": diagnostics.len(),
        "backfill": backfill.as_ref().map(what_if::backfill_json),
    })))
}

/// `PUT /api/v1/rules`
pub(crate) async fn put(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let params = Params::read(&request, &["origin", "backfill"])?;
    let backfill = what_if::backfill(&params)?;
    let origin = params.parsed(
        "origin",
        "1 to 256 bytes without control characters",
        |text| {
            let fits = !text.is_empty() && text.len() <= ORIGIN_BYTES_MAX;
            (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
        },
    )?;
    let origin = origin.unwrap_or_else(|| ORIGIN_DEFAULT.into());
    let body = read_small(&request, body, &state, TEXT_BYTES_MAX).await?;
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| Problem::bad_request("the rule's text is not UTF-8"))?;
    let rules = state.ports.rules.clone();
    match web::block(move || match backfill {
        Some(span) => rules.put_back(&text, &origin, span),
        None => rules.put(&text, &origin),
    })
    .await?
    {
        Ok(rules) => {
            let rules: Vec<Value> = rules.iter().map(rule_json).collect();
            Ok(HttpResponse::Ok().json(json!({ "rules": rules })))
        }
        Err(error) => Err(refused(error)),
    }
}

pub(crate) fn refused(error: PutRule) -> Problem {
    match error {
        PutRule::Port(error) => error.into(),
        PutRule::Refused(diagnostics) => {
            let shown = diagnostics.iter().take(DIAGNOSTICS_MAX);
            let shown: Vec<Value> = shown.map(diagnostic_json).collect();
            Problem::rule_refused()
                .with("diagnostics", shown)
                .with("diagnostics_count", diagnostics.len())
        }
    }
}

/// `POST /api/v1/rules/{id}/disable`
pub(crate) async fn disable(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    change(
        &request,
        id.into_inner(),
        &state,
        "disabled",
        |rules, id| Ok(rules.disable(id)?),
    )
    .await
}

/// `POST /api/v1/rules/{id}/enable`
pub(crate) async fn enable(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    change(&request, id.into_inner(), &state, "enabled", |rules, id| {
        rules.enable(id)
    })
    .await
}

/// `DELETE /api/v1/rules/{id}`
pub(crate) async fn remove(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    change(&request, id.into_inner(), &state, "removed", |rules, id| {
        Ok(rules.remove(id)?)
    })
    .await
}

async fn change(
    request: &HttpRequest,
    id: String,
    state: &State,
    done: &'static str,
    apply: impl FnOnce(&dyn Rules, &str) -> Result<bool, PutRule> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    Params::read(request, &[])?;
    if id.len() > ID_BYTES_MAX {
        return Err(Problem::not_found("no rule has an id that long"));
    }
    let (asked, rules) = (id.clone(), state.ports.rules.clone());
    let applied = web::block(move || apply(rules.as_ref(), &asked)).await?;
    if applied.map_err(refused)? {
        Ok(HttpResponse::Ok().json(json!({ "rule": id, "done": done })))
    } else {
        Err(Problem::not_found(format!("no rule has the id {id:?}")))
    }
}

async fn ask<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn Rules) -> Result<T, PortError> + Send + 'static,
) -> Result<T, Problem> {
    let rules = state.ports.rules.clone();
    Ok(web::block(move || question(rules.as_ref())).await??)
}
