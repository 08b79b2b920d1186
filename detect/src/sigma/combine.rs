//! Combines a rule with the filters that apply to it.

use std::sync::Arc;

use crate::sigma::detection::{Detection, ShapeHash, own_shape};
use crate::sigma::document::{RuleBody, RuleDocument};
use crate::sigma::matcher::{Expr, Matcher};

/// Returns the rule with its filters added: `rule and (filter) and (filter)`.
///
/// `None` if the document is not a rule.
pub(crate) fn combine(rule: &RuleDocument, filters: &[Arc<RuleDocument>]) -> Option<RuleDocument> {
    let RuleBody::Rule(detection, grouping) = &rule.body else {
        return None;
    };
    let mut selections = detection.matcher.selections.clone();
    let mut conditions = vec![detection.matcher.condition.clone()];
    let mut shapes = vec![detection.shape.0.to_le_bytes()];
    for document in filters {
        let RuleBody::Filter(filter) = &document.body else {
            continue;
        };
        let first = selections.len();
        let named = filter.matcher.selections.iter().map(|(name, expr)| {
            let name = format!("filter `{}`: {name}", document.title);
            (name, expr.clone())
        });
        selections.extend(named);
        conditions.push(shift_selections(&filter.matcher.condition, first));
        shapes.push(filter.shape.0.to_le_bytes());
    }
    let shapes: Vec<&[u8]> = shapes.iter().map(<[u8; 8]>::as_slice).collect();
    let shape = ShapeHash::of(&[b"filtered", &shapes.concat()]);
    let filtered = Detection {
        logsource: detection.logsource.clone(),
        matcher: Matcher {
            selections,
            condition: Expr::All(conditions),
        },
        shape,
    };
    Some(RuleDocument {
        id: rule.id.clone(),
        name: rule.name.clone(),
        title: rule.title.clone(),
        level: rule.level,
        version: rule.version,
        origin: rule.origin.clone(),
        shape: own_shape(shape, grouping),
        written_shape: rule.written_shape,
        references_at: rule.references_at,
        template: None,
        metadata: rule.metadata.clone(),
        body: RuleBody::Rule(Arc::new(filtered), grouping.clone()),
    })
}

/// Adds `by` to the index of every selection.
fn shift_selections(expr: &Expr, by: usize) -> Expr {
    let all = |parts: &[Expr]| {
        parts
            .iter()
            .map(|part| shift_selections(part, by))
            .collect()
    };
    match expr {
        Expr::Clause(clause) => Expr::Clause(clause.clone()),
        Expr::Selection(at) => Expr::Selection(at + by),
        Expr::Not(inner) => Expr::Not(Box::new(shift_selections(inner, by))),
        Expr::All(parts) => Expr::All(all(parts)),
        Expr::Any(parts) => Expr::Any(all(parts)),
        Expr::AtLeast(least, parts) => Expr::AtLeast(*least, all(parts)),
    }
}
