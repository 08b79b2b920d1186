//! Filters: what is added to the conditions of many rules, and which rules these are.

use std::collections::BTreeSet;
use std::sync::Arc;

use rsigma_parser::FilterRule;
use weir_schema::LogSource;

use crate::clause::Workshop;
use crate::condition;
use crate::diagnostic::{Checked, Refusal};
use crate::document::{Body, Detection, Document, Shape, own_shape};
use crate::matcher::{Expr, Matcher};
use crate::sources;
use crate::yaml::Node;

/// More filters in force or past are refused.
pub(crate) const FILTERS_MAX: usize = 1_000;

/// More filters for one rule are refused: each is compiled into it.
pub(crate) const RULE_FILTERS_MAX: usize = 32;

/// More rules listed in one filter are refused.
const RULES_LISTED_MAX: usize = 10_000;

/// A filter: it holds, or the rule does not match.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Ids or names; `None`: any rule.
    rules: Option<BTreeSet<String>>,
    pub logsource: LogSource,
    pub matcher: Matcher,
    /// Of selections, condition, log source and rules.
    pub shape: Shape,
    excludes: bool,
}

pub(crate) fn compile(node: &Node, parsed: FilterRule, shop: &mut Workshop<'_>) -> Checked<Filter> {
    let section = node.get("filter").unwrap_or(&Node::Null);
    let rules = rules(section).map_err(|refusal| refusal.key("filter"))?;
    let matcher = condition::compile(&parsed.detection, shop);
    let matcher = matcher.map_err(|refusal| refusal.key("filter"))?;
    let stated = parsed.logsource.unwrap_or_default();
    let mut bytes = Vec::new();
    section.canonical(&mut bytes);
    let logsource = node.get("logsource").unwrap_or(&Node::Null);
    for word in ["category", "product", "service"] {
        let word = logsource.get(word).unwrap_or(&Node::Null);
        word.canonical(&mut bytes);
    }
    Ok(Filter {
        rules,
        logsource: LogSource {
            category: stated.category,
            product: stated.product,
            service: stated.service,
        },
        excludes: negates(&matcher.condition),
        matcher,
        shape: Shape::of(&[b"filter", &bytes]),
    })
}

fn rules(section: &Node) -> Checked<Option<BTreeSet<String>>> {
    let hint = "list ids or names of rules, or write `rules: any`";
    let Some(node) = section.get("rules") else {
        return Err(Refusal::new("the filter does not say for which `rules` it is").hint(hint));
    };
    if node
        .text()
        .is_some_and(|text| text.eq_ignore_ascii_case("any"))
    {
        return Ok(None);
    }
    match node.texts() {
        Some(texts) if !texts.is_empty() && texts.len() <= RULES_LISTED_MAX => {
            Ok(Some(texts.into_iter().collect()))
        }
        _ => {
            let message = format!("`rules` is no list of 1 to {RULES_LISTED_MAX} rules");
            Err(Refusal::new(message).hint(hint).key("rules"))
        }
    }
}

/// Whether there is a `not` in the condition.
fn negates(expr: &Expr) -> bool {
    match expr {
        Expr::Not(_) => true,
        Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => parts.iter().any(negates),
        Expr::Clause(_) | Expr::Selection(_) => false,
    }
}

impl Filter {
    /// Filters are written the wrong way round easily.
    pub(crate) fn remark(&self) -> Option<Refusal> {
        (!self.excludes).then(|| {
            Refusal::new("its rules match only where this condition holds")
                .hint("to leave out what it describes, write `condition: not selection`")
                .key("condition")
                .key("filter")
        })
    }

    /// The rules that it names, where it is not for any.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().flatten()
    }

    /// Whether the rule is one that it is for.
    pub(crate) fn is_for(&self, rule: &Document) -> bool {
        let Body::Rule(detection, _) = &rule.body else {
            return false;
        };
        let listed = |rules: &BTreeSet<String>| {
            let name = rule.name.as_ref();
            rules.contains(&*rule.id) || name.is_some_and(|name| rules.contains(name))
        };
        sources::has_words(&self.logsource, &detection.logsource)
            && self.rules.as_ref().is_none_or(listed)
    }
}

/// The rule with the filters that are for it: `rule and (filter) and (filter)`.
pub(crate) fn combine(rule: &Document, filters: &[Arc<Document>]) -> Option<Document> {
    let Body::Rule(detection, grouping) = &rule.body else {
        return None;
    };
    let mut selections = detection.matcher.selections.clone();
    let mut conditions = vec![detection.matcher.condition.clone()];
    let mut shapes = vec![detection.shape.0.to_le_bytes()];
    for document in filters {
        let Body::Filter(filter) = &document.body else {
            continue;
        };
        let first = selections.len();
        let named = filter.matcher.selections.iter().map(|(name, expr)| {
            let name = format!("filter `{}`: {name}", document.title);
            (name, expr.clone())
        });
        selections.extend(named);
        conditions.push(moved(&filter.matcher.condition, first));
        shapes.push(filter.shape.0.to_le_bytes());
    }
    let shapes: Vec<&[u8]> = shapes.iter().map(<[u8; 8]>::as_slice).collect();
    let shape = Shape::of(&[b"filtered", &shapes.concat()]);
    let filtered = Detection {
        logsource: detection.logsource.clone(),
        matcher: Matcher {
            selections,
            condition: Expr::All(conditions),
        },
        shape,
    };
    Some(Document {
        id: rule.id.clone(),
        name: rule.name.clone(),
        title: rule.title.clone(),
        level: rule.level,
        version: rule.version,
        origin: rule.origin.clone(),
        shape: own_shape(shape, grouping),
        written: rule.written,
        refers_at: rule.refers_at,
        recipe: None,
        about: rule.about.clone(),
        body: Body::Rule(Arc::new(filtered), grouping.clone()),
    })
}

/// The condition with its selections `by` places further on.
fn moved(expr: &Expr, by: usize) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|part| moved(part, by)).collect();
    match expr {
        Expr::Clause(clause) => Expr::Clause(clause.clone()),
        Expr::Selection(at) => Expr::Selection(at + by),
        Expr::Not(inner) => Expr::Not(Box::new(moved(inner, by))),
        Expr::All(parts) => Expr::All(all(parts)),
        Expr::Any(parts) => Expr::Any(all(parts)),
        Expr::AtLeast(least, parts) => Expr::AtLeast(*least, all(parts)),
    }
}
