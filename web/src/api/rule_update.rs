//! Request and answer parts that rules and what-ifs share: rule texts, backfills, diagnostics.

use actix_web::{HttpRequest, web};
use serde_json::{Value, json};
use weir_schema::Span;

use crate::bodies::read_small_body;
use crate::ports::{BackfillInfo, RuleDiagnostic, RuleUpdateError};
use crate::problem::ProblemDetails;
use crate::query::QueryParams;
use crate::state::AppState;

/// Longest rule text of a request; the largest public rule is a hundredth of it.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Maximum number of diagnostics in an answer.
const DIAGNOSTICS_MAX: usize = 100;

/// Reads a body of rules.
pub(super) async fn read_rule_text(
    request: &HttpRequest,
    body: web::Payload,
    state: &AppState,
) -> Result<String, ProblemDetails> {
    let body = read_small_body(request, body, &state.body_slots, TEXT_BYTES_MAX).await?;
    String::from_utf8(body.to_vec())
        .map_err(|_| ProblemDetails::bad_request("the rule's text is not UTF-8"))
}

/// Reads `backfill=`: how far before the watermark a rule starts.
pub(super) fn read_backfill(params: &QueryParams) -> Result<Option<Span>, ProblemDetails> {
    params.parsed("backfill", "a span such as 30m, 24h or 7d", |text| {
        Span::parse(text).filter(|span| span.0 >= 0)
    })
}

/// The answer to a refused change of rules.
pub(super) fn update_problem(error: RuleUpdateError) -> ProblemDetails {
    match error {
        RuleUpdateError::Port(error) => error.into(),
        RuleUpdateError::Refused(diagnostics) => ProblemDetails::rule_refused()
            .with_member("diagnostics", diagnostics_json(&diagnostics))
            .with_member("diagnostics_count", diagnostics.len()),
    }
}

/// The first diagnostics, up to a limit.
pub(super) fn diagnostics_json(diagnostics: &[RuleDiagnostic]) -> Vec<Value> {
    let shown = diagnostics.iter().take(DIAGNOSTICS_MAX);
    shown.map(diagnostic_json).collect()
}

fn diagnostic_json(diagnostic: &RuleDiagnostic) -> Value {
    json!({
        "origin": diagnostic.origin,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "refused": diagnostic.refused,
    })
}

pub(super) fn backfill_json(backfill: &BackfillInfo) -> Value {
    json!({
        "batches": backfill.batches,
        "batches_total": backfill.batches_total,
        "events": backfill.events,
        "events_per_second": backfill.events_per_second.round(),
    })
}
