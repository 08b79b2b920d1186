//! Metadata of a rule for people and tools. It does not affect results.

use std::collections::BTreeSet;

use weir_schema::LogSource;

use crate::sigma::matcher::{Clause, Expr, Matcher};
use crate::sigma::value_test::ValueTest;
use crate::sigma::yaml::YamlNode;

/// Maximum number of tags, and of false positives, of one rule; the rest is ignored.
const TEXTS_MAX: usize = 256;

/// Descriptive keys of a document. Keys in an unusable form are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleMetadata {
    pub tags: Vec<String>,
    pub status: Option<String>,
    pub falsepositives: Vec<String>,
    /// Names of all fields that the detection reads, in order, as the rule writes them.
    pub fields: Vec<String>,
    pub logsource: Option<LogSource>,
}

impl RuleMetadata {
    pub(crate) fn new(node: &YamlNode, detection: Option<(&LogSource, &Matcher)>) -> Self {
        let texts = |key: &str| {
            let texts = node.get(key).and_then(YamlNode::texts).unwrap_or_default();
            texts.into_iter().take(TEXTS_MAX).collect()
        };
        Self {
            tags: texts("tags"),
            falsepositives: texts("falsepositives"),
            status: node
                .get("status")
                .and_then(YamlNode::text)
                .map(str::to_owned),
            fields: detection.map_or_else(Vec::new, |(_, matcher)| fields(matcher)),
            logsource: detection.map(|(logsource, _)| logsource.clone()),
        }
    }
}

/// The names of all fields that a matcher reads, in order.
fn fields(matcher: &Matcher) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (_, selection) in &matcher.selections {
        for_each_clause(selection, &mut |clause| {
            names.extend(clause.field.as_deref());
            names.extend(clause.tests.iter().filter_map(|test| match test {
                ValueTest::Field(other) => Some(other.name.as_str()),
                _ => None, // The other tests only read the clause's field.
            }));
        });
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Calls `f` for each clause of a selection, in order.
pub(crate) fn for_each_clause<'a>(expr: &'a Expr, f: &mut impl FnMut(&'a Clause)) {
    match expr {
        Expr::Clause(clause) => f(clause),
        Expr::Not(inner) => for_each_clause(inner, f),
        Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().for_each(|part| for_each_clause(part, f));
        }
        Expr::Selection(_) => {} // Only conditions refer to selections.
    }
}
