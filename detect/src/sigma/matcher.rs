//! A compiled detection: selections of clauses, and a condition over them.

use std::borrow::Cow;

use weir_schema::Value;

use crate::sigma::value_test::{ValueTest, any_text};
use crate::sigma::view::EventView;

/// One `field|modifiers: values` of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    /// `None`: a keyword search over the message and the text of every field.
    pub field: Option<String>,
    pub modifiers: String,
    /// One test for each value that the rule lists.
    pub tests: Vec<ValueTest>,
    /// The values as the rule writes them, for explanations.
    pub patterns: Vec<String>,
    /// All tests must pass; otherwise any one of them.
    pub all: bool,
    /// The clause holds if the tests do not pass.
    pub negated: bool,
}

/// A boolean expression over clauses.
///
/// The limits on the depth of documents and conditions bound its depth.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Clause(Box<Clause>),
    /// Index into [`Matcher::selections`].
    Selection(usize),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    AtLeast(usize, Vec<Expr>),
}

/// The compiled detection section of a rule or filter.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    /// In order of name.
    pub selections: Vec<(String, Expr)>,
    pub condition: Expr,
}

impl Matcher {
    /// Whether the rule lists this text as a value of the field, in any clause.
    pub(crate) fn names_value(&self, field: &str, text: &str) -> bool {
        let mut all = self.selections.iter().map(|(_, expr)| expr);
        all.any(|expr| expr.names_value(field, text)) || self.condition.names_value(field, text)
    }
}

impl Expr {
    fn names_value(&self, field: &str, text: &str) -> bool {
        match self {
            Self::Clause(clause) => {
                clause.field.as_deref() == Some(field)
                    && clause.patterns.iter().any(|p| p.eq_ignore_ascii_case(text))
            }
            Self::Selection(_) => false, // It is in the list of selections.
            Self::Not(inner) => inner.names_value(field, text),
            Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) => {
                parts.iter().any(|part| part.names_value(field, text))
            }
        }
    }
}

impl Clause {
    pub(crate) fn holds(&self, view: &EventView<'_>) -> bool {
        let passed = match &self.field {
            Some(field) => match view.get(field) {
                None if view.is_message(field) => {
                    let message = Value::Text(Cow::Borrowed(&*view.event.message));
                    self.combine(|test| test.holds(Some(&message), view))
                }
                value => self.combine(|test| test.holds(value, view)),
            },
            None => self.combine(|test| {
                let holds = |text: &str| test.holds_text(text);
                let in_field = || {
                    view.event
                        .fields
                        .iter()
                        .any(|(_, value)| any_text(value, &holds))
                };
                holds(&view.event.message) || in_field()
            }),
        };
        passed != self.negated
    }

    /// Joins the tests' outcomes by `all`, or by any.
    fn combine(&self, holds: impl FnMut(&ValueTest) -> bool) -> bool {
        if self.all {
            self.tests.iter().all(holds)
        } else {
            self.tests.iter().any(holds)
        }
    }
}

impl Matcher {
    pub(crate) fn matches(&self, view: &EventView<'_>) -> bool {
        self.holds(&self.condition, view)
    }

    pub(crate) fn holds(&self, expr: &Expr, view: &EventView<'_>) -> bool {
        match expr {
            Expr::Clause(clause) => clause.holds(view),
            Expr::Selection(at) => self
                .selections
                .get(*at)
                .is_some_and(|(_, expr)| self.holds(expr, view)),
            Expr::Not(inner) => !self.holds(inner, view),
            Expr::All(parts) => parts.iter().all(|part| self.holds(part, view)),
            Expr::Any(parts) => parts.iter().any(|part| self.holds(part, view)),
            Expr::AtLeast(least, parts) => {
                let passed = parts.iter().filter(|part| self.holds(part, view));
                passed.take(*least).count() == *least
            }
        }
    }
}
