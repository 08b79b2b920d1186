//! What a rule says about itself, for people and for tools; none of it bears on results.

use std::collections::BTreeSet;

use weir_schema::LogSource;

use crate::matcher::{Clause, Expr, Matcher};
use crate::test::Test;
use crate::yaml::Node;

/// More tags or false positives of one rule are not kept.
const WORDS_MAX: usize = 256;

/// Words for people, as far as the document has them in a usable form.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub tags: Vec<String>,
    pub status: Option<String>,
    pub falsepositives: Vec<String>,
    /// Names of all fields that the detection reads, in order, as the rule writes them.
    pub fields: Vec<String>,
    pub logsource: Option<LogSource>,
}

impl About {
    pub(crate) fn new(node: &Node, detection: Option<(&LogSource, &Matcher)>) -> Self {
        let words = |key: &str| {
            let words = node.get(key).and_then(Node::texts).unwrap_or_default();
            words.into_iter().take(WORDS_MAX).collect()
        };
        Self {
            tags: words("tags"),
            falsepositives: words("falsepositives"),
            status: node.get("status").and_then(Node::text).map(str::to_owned),
            fields: detection.map_or_else(Vec::new, |(_, matcher)| fields(matcher)),
            logsource: detection.map(|(logsource, _)| logsource.clone()),
        }
    }
}

/// The names of all fields that a matcher reads, in order.
fn fields(matcher: &Matcher) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (_, selection) in &matcher.selections {
        each_clause(selection, &mut |clause| {
            names.extend(clause.field.as_deref());
            names.extend(clause.tests.iter().filter_map(|test| match test {
                Test::Field(other) => Some(other.name.as_str()),
                _ => None, // All others read the clause's field alone.
            }));
        });
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Calls `f` for each clause of a selection, in order.
pub(crate) fn each_clause<'a>(expr: &'a Expr, f: &mut impl FnMut(&'a Clause)) {
    match expr {
        Expr::Clause(clause) => f(clause),
        Expr::Not(inner) => each_clause(inner, f),
        Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().for_each(|part| each_clause(part, f));
        }
        Expr::Selection(_) => {} // Only conditions have these.
    }
}
