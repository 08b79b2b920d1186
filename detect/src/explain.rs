//! Why a rule matches an event, clause by clause, or why it does not.

use std::borrow::Cow;

use weir_schema::{Event, LogSource, Plan, RuleId, Value};

use crate::about::each_clause;
use crate::document::{Body, Detection};
use crate::matcher::{Clause, Expr, Matcher, View};
use crate::plans::Catalog;
use crate::sources::{LogSources, Reading};
use crate::test::{Test, any_text};

/// Longer values are cut in explanations, which people read; the event has the whole.
const SHOWN_CHARS_MAX: usize = 512;

/// The answer for one rule and one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub rule: RuleId,
    pub title: String,
    /// For a correlation: whether one of its members matches.
    pub matched: bool,
    /// Log source first, then all clauses of selections that the condition names, those of filters
    /// last.
    pub clauses: Vec<ClauseExplanation>,
    /// For a correlation: its members, as far as they are there.
    pub members: Vec<Explanation>,
}

impl Explanation {
    /// Of a match, the clauses that made it; of a non-match, those that would have to change.
    pub fn decisive(&self) -> impl Iterator<Item = &ClauseExplanation> {
        self.clauses.iter().filter(|clause| clause.decisive)
    }
}

/// One clause against one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseExplanation {
    /// Name of the selection in the rule; ``filter `title`: name`` of a filter; `logsource`, or
    /// `logsource 1` and so on where it has several ways to be met and the event met none.
    pub identifier: String,
    /// `None`: keywords.
    pub field: Option<String>,
    /// What the source calls the field, where that is something else.
    pub source_field: Option<String>,
    /// The event's value; `None` where it has none. For keywords, the first text that has one.
    pub value: Option<String>,
    pub modifiers: String,
    pub patterns: Vec<String>,
    /// Those of the patterns that the value meets. (Of `neq`, those that it must not meet.)
    pub hits: Vec<String>,
    pub matched: bool,
    /// Whether the outcome of the whole rests on it.
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
    let document = &catalog.rules.get(id)?.running()?.document;
    let mut explanation = Explanation {
        rule: id.clone(),
        title: document.title.clone(),
        matched: false,
        clauses: Vec::new(),
        members: Vec::new(),
    };
    match &document.body {
        Body::Rule(detection, _) => clauses(detection, sources, event, &mut explanation),
        Body::Filter(_) => {} // It matches nothing; its rules name its clauses.
        Body::Correlation(correlation) => {
            let members = correlation.members.iter();
            let members = members.filter_map(|member| catalog.resolve(member));
            // A circle of correlations, which does not run, is left at that depth.
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

fn clauses(detection: &Detection, sources: &LogSources, event: &Event<'_>, out: &mut Explanation) {
    let (stated, matcher) = (&detection.logsource, &detection.matcher);
    let readings = sources.readings(stated);
    let plain = View::new(event, None);
    let admits = |reading: &&Reading| reading.admits(stated, &plain);
    let admitted: Vec<&Reading> = readings.iter().filter(admits).collect();
    let matching = admitted.iter().copied().find(|reading| {
        let renames = reading.renames().map(|renames| &**renames);
        matcher.matches(&View::new(event, renames))
    });
    let read_as = matching.or(admitted.first().copied());
    let renames = read_as.and_then(Reading::renames);
    let view = View::new(event, renames.map(|renames| &**renames));
    out.matched = matching.is_some();
    match read_as {
        Some(reading) => way("logsource", stated, reading, &plain, out),
        None => {
            for (at, reading) in (1..).zip(&readings) {
                let several = readings.len() > 1;
                let name = several.then(|| format!("logsource {at}"));
                way(
                    name.as_deref().unwrap_or("logsource"),
                    stated,
                    reading,
                    &plain,
                    out,
                );
            }
        }
    }
    for clause in &mut out.clauses {
        clause.decisive = clause.matched == read_as.is_some() && (out.matched || read_as.is_none());
    }
    let mut walk = Walk {
        matcher,
        view,
        named: vec![false; matcher.selections.len()],
        deciding: Vec::new(),
    };
    walk.names(&matcher.condition);
    // Of a match that only the log source prevents, no clause has to change.
    if matcher.matches(&view) == out.matched {
        walk.decide(&matcher.condition);
    }
    let (named, deciding) = (walk.named, walk.deciding);
    for ((identifier, expr), _) in matcher
        .selections
        .iter()
        .zip(named)
        .filter(|(_, named)| *named)
    {
        each_clause(expr, &mut |clause| {
            let decisive = deciding.iter().any(|known| std::ptr::eq(*known, clause));
            out.clauses
                .push(explained(identifier, clause, &view, decisive));
        });
    }
}

/// What one way to be of the log source asks of the event.
fn way(
    identifier: &str,
    stated: &LogSource,
    reading: &Reading,
    view: &View<'_>,
    out: &mut Explanation,
) {
    let mut put = |field: &str, value: Option<String>, patterns: Vec<String>, matched| {
        out.clauses.push(ClauseExplanation {
            identifier: identifier.to_owned(),
            field: Some(field.to_owned()),
            source_field: None,
            value,
            modifiers: String::new(),
            hits: if matched && patterns.len() == 1 {
                patterns.clone()
            } else {
                Vec::new()
            },
            patterns,
            matched,
            decisive: false,
        });
    };
    let found = &view.event.logsource;
    match reading {
        Reading::Words => {
            let words = [
                ("category", &stated.category, &found.category),
                ("product", &stated.product, &found.product),
                ("service", &stated.service, &found.service),
            ];
            for (field, wanted, found) in words {
                if let Some(wanted) = wanted {
                    let matched = found.as_ref() == Some(wanted);
                    put(field, found.clone(), vec![wanted.clone()], matched);
                }
            }
        }
        Reading::Mapped {
            product,
            conditions,
            ..
        } => {
            if let (Some(wanted), Some(own)) = (product, &found.product) {
                put(
                    "product",
                    Some(own.clone()),
                    vec![wanted.clone()],
                    own == wanted,
                );
            }
            for condition in conditions {
                let value = view.event.get(&condition.field);
                let matched = condition.holds(value, view);
                let shown = value.and_then(shown);
                put(&condition.field, shown, condition.values.clone(), matched);
            }
        }
    }
}

struct Walk<'a> {
    matcher: &'a Matcher,
    view: View<'a>,
    /// Selections that the condition names.
    named: Vec<bool>,
    deciding: Vec<&'a Clause>,
}

impl<'a> Walk<'a> {
    fn names(&mut self, expr: &Expr) {
        match expr {
            Expr::Selection(at) => {
                if let Some(named) = self.named.get_mut(*at) {
                    *named = true;
                }
            }
            Expr::Not(inner) => self.names(inner),
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                parts.iter().for_each(|part| self.names(part));
            }
            Expr::Clause(_) => {}
        }
    }

    /// Collects the clauses by which `expr` is what it is.
    fn decide(&mut self, expr: &'a Expr) {
        let holds = self.matcher.holds(expr, &self.view);
        match expr {
            Expr::Clause(clause) => self.deciding.push(clause),
            Expr::Selection(at) => {
                if let Some((_, selection)) = self.matcher.selections.get(*at) {
                    self.decide(selection);
                }
            }
            Expr::Not(inner) => self.decide(inner),
            Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
                for part in parts {
                    if self.matcher.holds(part, &self.view) == holds {
                        self.decide(part);
                    }
                }
            }
        }
    }
}

fn explained(
    identifier: &str,
    clause: &Clause,
    view: &View<'_>,
    decisive: bool,
) -> ClauseExplanation {
    let field = clause.field.as_deref();
    let value = match field {
        None => text_of(clause, view),
        Some(field) => match view.get(field) {
            None if view.is_message(field) => Some(cut(&view.event.message)),
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

/// Whether the event meets one of the clause's values.
fn meets(clause: &Clause, test: &Test, view: &View<'_>) -> bool {
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

/// The first text that has one of a clause's keywords, with the name of its field.
fn text_of(clause: &Clause, view: &View<'_>) -> Option<String> {
    let holds = |text: &str| clause.tests.iter().any(|test| test.holds_text(text));
    if holds(&view.event.message) {
        return Some(cut(&view.event.message));
    }
    let mut fields = view.event.fields.iter();
    let (name, value) = fields.find(|(_, value)| any_text(value, &holds))?;
    shown(value).map(|value| format!("{name}: {value}"))
}

fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(values) => {
            let texts: Vec<String> = values.iter().filter_map(shown).collect();
            Some(cut(&format!("[{}]", texts.join(", "))))
        }
        value => value.as_text().map(|text| cut(&text)),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
