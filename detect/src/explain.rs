//! Why a rule matches an event, clause by clause, or why it does not.

use weir_schema::{Event, RuleId, Value};

use crate::about::each_clause;
use crate::document::{Body, Detection};
use crate::matcher::{Clause, Expr, MESSAGE, Matcher, View};
use crate::plans::Catalog;

/// Longer values are cut in explanations, which people read; the event has the whole.
const SHOWN_CHARS_MAX: usize = 512;

/// The answer for one rule and one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub rule: RuleId,
    pub title: String,
    /// For a correlation: whether one of its members matches.
    pub matched: bool,
    /// Log source first, then all clauses of selections that the condition names.
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
    /// Name of the selection in the rule, or `logsource`.
    pub identifier: String,
    /// `None`: keywords.
    pub field: Option<String>,
    /// The event's value; `None` where it has none, or for keywords.
    pub value: Option<String>,
    pub modifiers: String,
    pub patterns: Vec<String>,
    pub matched: bool,
    /// Whether the outcome of the whole rests on it.
    pub decisive: bool,
}

pub(crate) fn explain(catalog: &Catalog, rule: &str, event: &Event<'_>) -> Option<Explanation> {
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
        Body::Rule(detection, _) => clauses(detection, event, &mut explanation),
        Body::Filter(_) => {} // It matches nothing; its rules name its clauses.
        Body::Correlation(correlation) => {
            let members = correlation.members.iter();
            // Members that are correlations are refused, so that this goes one level deep.
            explanation.members = members
                .filter_map(|member| catalog.resolve(member))
                .filter(|member| !catalog.is_correlation(member))
                .filter_map(|member| explain(catalog, member, event))
                .collect();
            explanation.matched = explanation.members.iter().any(|member| member.matched);
        }
    }
    Some(explanation)
}

fn clauses(detection: &Detection, event: &Event<'_>, out: &mut Explanation) {
    let stated = &detection.logsource;
    let words = [
        ("category", &stated.category, &event.logsource.category),
        ("product", &stated.product, &event.logsource.product),
        ("service", &stated.service, &event.logsource.service),
    ];
    for (field, stated, found) in words {
        if let Some(wanted) = stated {
            out.clauses.push(ClauseExplanation {
                identifier: "logsource".to_owned(),
                field: Some(field.to_owned()),
                value: found.clone(),
                modifiers: String::new(),
                patterns: vec![wanted.clone()],
                matched: found.as_ref() == Some(wanted),
                decisive: false,
            });
        }
    }
    let routed = out.clauses.iter().all(|clause| clause.matched);
    let matcher = &detection.matcher;
    let view = View::new(event, None);
    let matches = matcher.matches(&view);
    out.matched = routed && matches;
    for clause in &mut out.clauses {
        clause.decisive = clause.matched == out.matched;
    }
    let mut walk = Walk {
        matcher,
        view,
        named: vec![false; matcher.selections.len()],
        deciding: Vec::new(),
    };
    walk.names(&matcher.condition);
    // Of a match that only the log source prevents, no clause has to change.
    if matches == out.matched {
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
    let value = clause
        .field
        .as_deref()
        .and_then(|field| match view.get(field) {
            None if field == MESSAGE => Some(cut(&view.event.message)),
            value => value.and_then(shown),
        });
    ClauseExplanation {
        identifier: identifier.to_owned(),
        field: clause.field.clone(),
        value,
        modifiers: clause.modifiers.clone(),
        patterns: clause.patterns.clone(),
        matched: clause.holds(view),
        decisive,
    }
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
