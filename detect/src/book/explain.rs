//! Explains, clause by clause, why a rule matches an event or does not.

use std::borrow::Cow;

use weir_schema::{Event, LogSource, Plan, RuleId, Value};

use crate::book::catalog::Catalog;
use crate::sigma::detection::Detection;
use crate::sigma::document::RuleBody;
use crate::sigma::log_sources::{LogSources, SourceReading};
use crate::sigma::matcher::{Clause, Expr, Matcher};
use crate::sigma::metadata::for_each_clause;
use crate::sigma::value_test::{ValueTest, any_text};
use crate::sigma::view::EventView;

/// Maximum length of a value in an explanation. The event has the full value.
const SHOWN_CHARS_MAX: usize = 512;

/// The explanation for one rule and one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub rule: RuleId,
    pub title: String,
    /// Whether the rule matches; for a correlation, whether one of its members does.
    pub matched: bool,
    /// The log source, then the clauses of all selections in the condition, then those of filters.
    pub clauses: Vec<ClauseExplanation>,
    /// For a correlation: its members that exist.
    pub members: Vec<Explanation>,
}

impl Explanation {
    /// The clauses that cause a match, or those that would have to change for one.
    pub fn decisive(&self) -> impl Iterator<Item = &ClauseExplanation> {
        self.clauses.iter().filter(|clause| clause.decisive)
    }
}

/// The outcome of one clause for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseExplanation {
    /// The name of the selection in the rule, or ``filter `title`: name`` in a filter.
    ///
    /// For the log source it is `logsource`. If the source can be met in several ways and the
    /// event met none, the ways are `logsource 1` and so on.
    pub identifier: String,
    /// `None` for keywords.
    pub field: Option<String>,
    /// The source's name of the field, if it differs.
    pub source_field: Option<String>,
    /// The event's value, if it has one. For keywords, the first text that contains one.
    pub value: Option<String>,
    pub modifiers: String,
    pub patterns: Vec<String>,
    /// The patterns that the value meets. For `neq`, it must not meet them.
    pub hits: Vec<String>,
    pub matched: bool,
    /// Whether the outcome of the rule depends on it.
    pub decisive: bool,
}

pub(crate) fn explain(
    catalog: &Catalog,
    sources: &LogSources,
    rule: &str,
    event: &Event<'_>,
) -> Option<Explanation> {
    explain_at(catalog, sources, rule, event, 0)
}

fn explain_at(
    catalog: &Catalog,
    sources: &LogSources,
    rule: &str,
    event: &Event<'_>,
    depth: u8,
) -> Option<Explanation> {
    let id = catalog.resolve(rule)?;
    let document = &catalog.rules.get(id)?.active()?.document;
    let mut explanation = Explanation {
        rule: id.clone(),
        title: document.title.clone(),
        matched: false,
        clauses: Vec::new(),
        members: Vec::new(),
    };
    match &document.body {
        RuleBody::Rule(detection, _) => {
            explain_detection(detection, sources, event, &mut explanation);
        }
        RuleBody::Filter(_) => {} // It matches nothing itself; its clauses are part of its rules.
        RuleBody::Correlation(correlation) => {
            let members = correlation.members.iter();
            let members = members.filter_map(|member| catalog.resolve(member));
            // A circle of correlations, which does not run, ends at this depth.
            let members =
                members.filter(|member| depth < Plan::STAGE_MAX || !catalog.is_correlation(member));
            explanation.members = members
                .filter_map(|member| explain_at(catalog, sources, member, event, depth + 1))
                .collect();
            explanation.matched = explanation.members.iter().any(|member| member.matched);
        }
    }
    Some(explanation)
}

fn explain_detection(
    detection: &Detection,
    sources: &LogSources,
    event: &Event<'_>,
    out: &mut Explanation,
) {
    let (stated, matcher) = (&detection.logsource, &detection.matcher);
    let readings = sources.readings(stated);
    let plain = EventView::new(event, None);
    let admits = |reading: &&SourceReading| reading.admits(stated, &plain);
    let admitted: Vec<&SourceReading> = readings.iter().filter(admits).collect();
    let matching = admitted.iter().copied().find(|reading| {
        let renames = reading.renames().map(|renames| &**renames);
        matcher.matches(&EventView::new(event, renames))
    });
    let chosen = matching.or(admitted.first().copied());
    let renames = chosen.and_then(SourceReading::renames);
    let view = EventView::new(event, renames.map(|renames| &**renames));
    out.matched = matching.is_some();
    explain_log_source(stated, &readings, chosen, &plain, out);
    explain_matcher(matcher, &view, out);
}

/// Adds the clauses of the chosen reading, or those of all readings if none admits the event.
fn explain_log_source(
    stated: &LogSource,
    readings: &[SourceReading],
    chosen: Option<&SourceReading>,
    view: &EventView<'_>,
    out: &mut Explanation,
) {
    match chosen {
        Some(reading) => {
            out.clauses
                .append(&mut reading_clauses("logsource", stated, reading, view))
        }
        None => {
            for (at, reading) in (1..).zip(readings) {
                let name = match readings.len() > 1 {
                    true => format!("logsource {at}"),
                    false => "logsource".to_owned(),
                };
                out.clauses
                    .append(&mut reading_clauses(&name, stated, reading, view));
            }
        }
    }
    for clause in &mut out.clauses {
        clause.decisive = clause.matched == chosen.is_some() && (out.matched || chosen.is_none());
    }
}

/// Adds the clauses of the selections that the condition names.
fn explain_matcher(matcher: &Matcher, view: &EventView<'_>, out: &mut Explanation) {
    let mut walk = ConditionWalk {
        matcher,
        view: *view,
        named: vec![false; matcher.selections.len()],
        deciding: Vec::new(),
    };
    walk.collect_named(&matcher.condition);
    // If only the log source prevents a match, no clause has to change.
    if matcher.matches(view) == out.matched {
        walk.collect_deciding(&matcher.condition);
    }
    let (named, deciding) = (walk.named, walk.deciding);
    for ((identifier, expr), _) in matcher
        .selections
        .iter()
        .zip(named)
        .filter(|(_, named)| *named)
    {
        for_each_clause(expr, &mut |clause| {
            let decisive = deciding.iter().any(|known| std::ptr::eq(*known, clause));
            out.clauses
                .push(explain_clause(identifier, clause, view, decisive));
        });
    }
}

/// The conditions of one reading of the log source, as clauses.
fn reading_clauses(
    identifier: &str,
    stated: &LogSource,
    reading: &SourceReading,
    view: &EventView<'_>,
) -> Vec<ClauseExplanation> {
    let actual = &view.event.logsource;
    let mut clauses = Vec::new();
    match reading {
        SourceReading::Stated => {
            let keys = [
                ("category", &stated.category, &actual.category),
                ("product", &stated.product, &actual.product),
                ("service", &stated.service, &actual.service),
            ];
            for (field, wanted, value) in keys {
                if let Some(wanted) = wanted {
                    let matched = value.as_ref() == Some(wanted);
                    let wanted = vec![wanted.clone()];
                    let value = value.clone();
                    clauses.push(source_clause(identifier, field, value, wanted, matched));
                }
            }
        }
        SourceReading::Mapped {
            product,
            conditions,
            ..
        } => {
            if let (Some(wanted), Some(own)) = (product, &actual.product) {
                let matched = own == wanted;
                let (value, wanted) = (Some(own.clone()), vec![wanted.clone()]);
                clauses.push(source_clause(identifier, "product", value, wanted, matched));
            }
            for condition in conditions {
                let (field, wanted) = (&condition.field, condition.values.clone());
                let value = view.event.get(field);
                let matched = condition.holds(value, view);
                let value = value.and_then(shown);
                clauses.push(source_clause(identifier, field, value, wanted, matched));
            }
        }
    }
    clauses
}

fn source_clause(
    identifier: &str,
    field: &str,
    value: Option<String>,
    patterns: Vec<String>,
    matched: bool,
) -> ClauseExplanation {
    let hits = match matched && patterns.len() == 1 {
        true => patterns.clone(),
        false => Vec::new(),
    };
    ClauseExplanation {
        identifier: identifier.to_owned(),
        field: Some(field.to_owned()),
        source_field: None,
        value,
        modifiers: String::new(),
        hits,
        patterns,
        matched,
        decisive: false,
    }
}

/// A walk over a condition, to find the selections that it names and the clauses that decide.
struct ConditionWalk<'a> {
    matcher: &'a Matcher,
    view: EventView<'a>,
    /// Selections that the condition names.
    named: Vec<bool>,
    deciding: Vec<&'a Clause>,
}

impl<'a> ConditionWalk<'a> {
    fn collect_named(&mut self, expr: &Expr) {
        match expr {
            Expr::Selection(at) => {
                if let Some(named) = self.named.get_mut(*at) {
                    *named = true;
                }
            }
            Expr::Not(inner) => self.collect_named(inner),
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                parts.iter().for_each(|part| self.collect_named(part));
            }
            Expr::Clause(_) => {}
        }
    }

    /// Collects the clauses that decide the outcome of `expr`.
    fn collect_deciding(&mut self, expr: &'a Expr) {
        let holds = self.matcher.holds(expr, &self.view);
        match expr {
            Expr::Clause(clause) => self.deciding.push(clause),
            Expr::Selection(at) => {
                if let Some((_, selection)) = self.matcher.selections.get(*at) {
                    self.collect_deciding(selection);
                }
            }
            Expr::Not(inner) => self.collect_deciding(inner),
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                for part in parts {
                    if self.matcher.holds(part, &self.view) == holds {
                        self.collect_deciding(part);
                    }
                }
            }
        }
    }
}

fn explain_clause(
    identifier: &str,
    clause: &Clause,
    view: &EventView<'_>,
    decisive: bool,
) -> ClauseExplanation {
    let field = clause.field.as_deref();
    let value = match field {
        None => keyword_text(clause, view),
        Some(field) => match view.get(field) {
            None if view.is_message(field) => Some(truncate(&view.event.message)),
            value => value.and_then(shown),
        },
    };
    let tests = clause.tests.iter().zip(&clause.patterns);
    let hits = tests.filter(|(test, _)| meets(clause, test, view));
    let renamed = field.and_then(|field| view.renames?.get(field));
    ClauseExplanation {
        identifier: identifier.to_owned(),
        field: clause.field.clone(),
        source_field: renamed.filter(|name| field != Some(name)).cloned(),
        value,
        modifiers: clause.modifiers.clone(),
        patterns: clause.patterns.clone(),
        hits: hits.map(|(_, pattern)| pattern.clone()).collect(),
        matched: clause.holds(view),
        decisive,
    }
}

/// Whether the event passes this test of the clause.
fn meets(clause: &Clause, test: &ValueTest, view: &EventView<'_>) -> bool {
    match &clause.field {
        Some(field) => match view.get(field) {
            None if view.is_message(field) => {
                let message = Value::Text(Cow::Borrowed(&*view.event.message));
                test.holds(Some(&message), view)
            }
            value => test.holds(value, view),
        },
        None => {
            let holds = |text: &str| test.holds_text(text);
            let mut fields = view.event.fields.iter();
            holds(&view.event.message) || fields.any(|(_, value)| any_text(value, &holds))
        }
    }
}

/// The first text that contains one of a clause's keywords, with the name of its field.
fn keyword_text(clause: &Clause, view: &EventView<'_>) -> Option<String> {
    let holds = |text: &str| clause.tests.iter().any(|test| test.holds_text(text));
    if holds(&view.event.message) {
        return Some(truncate(&view.event.message));
    }
    let mut fields = view.event.fields.iter();
    let (name, value) = fields.find(|(_, value)| any_text(value, &holds))?;
    shown(value).map(|value| format!("{name}: {value}"))
}

/// The value as text, truncated.
fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(values) => {
            let texts: Vec<String> = values.iter().filter_map(shown).collect();
            Some(truncate(&format!("[{}]", texts.join(", "))))
        }
        value => value.as_text().map(|text| truncate(&text)),
    }
}

fn truncate(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
