//! A compiled detection: which events it matches, and which clauses decided.

use std::borrow::Cow;

use weir_schema::{Event, LogSource, Value};

use crate::test::{Test, any_text};

/// The field by which rules read the event's message, unless the event has a field of that name.
pub(crate) const MESSAGE: &str = "message";

/// One `field|modifiers: values` of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    /// `None`: a keyword search over the message and the text of every field.
    pub field: Option<String>,
    pub modifiers: String,
    /// One for each value that the rule lists.
    pub tests: Vec<Test>,
    /// The values as the rule writes them, for people.
    pub patterns: Vec<String>,
    /// All tests must pass, not one.
    pub all: bool,
    /// The clause holds where the tests do not.
    pub negated: bool,
}

/// A boolean expression over clauses. Its depth is bounded by that of the document and condition.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Clause(Box<Clause>),
    /// The selection at this place of [`Matcher::selections`].
    Selection(usize),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    AtLeast(usize, Vec<Expr>),
}

#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    /// In order of name.
    pub selections: Vec<(String, Expr)>,
    pub condition: Expr,
}

impl Clause {
    pub(crate) fn holds(&self, event: &Event<'_>) -> bool {
        let passed = match &self.field {
            Some(field) => match event.get(field) {
                None if field == MESSAGE => {
                    let message = Value::Text(Cow::Borrowed(&event.message));
                    self.count(|test| test.holds(Some(&message), event))
                }
                value => self.count(|test| test.holds(value, event)),
            },
            None => self.count(|test| {
                let holds = |text: &str| test.holds_text(text);
                let in_field = || {
                    event
                        .fields
                        .iter()
                        .any(|(_, value)| any_text(value, &holds))
                };
                holds(&event.message) || in_field()
            }),
        };
        passed != self.negated
    }

    fn count(&self, holds: impl FnMut(&Test) -> bool) -> bool {
        if self.all {
            self.tests.iter().all(holds)
        } else {
            self.tests.iter().any(holds)
        }
    }
}

impl Matcher {
    pub(crate) fn matches(&self, event: &Event<'_>) -> bool {
        self.holds(&self.condition, event)
    }

    pub(crate) fn holds(&self, expr: &Expr, event: &Event<'_>) -> bool {
        match expr {
            Expr::Clause(clause) => clause.holds(event),
            Expr::Selection(at) => self
                .selections
                .get(*at)
                .is_some_and(|(_, expr)| self.holds(expr, event)),
            Expr::Not(inner) => !self.holds(inner, event),
            Expr::All(parts) => parts.iter().all(|part| self.holds(part, event)),
            Expr::Any(parts) => parts.iter().any(|part| self.holds(part, event)),
            Expr::AtLeast(least, parts) => {
                let held = parts.iter().filter(|part| self.holds(part, event));
                held.take(*least).count() == *least
            }
        }
    }
}

/// Whether an event's log source has each word that the rule states.
pub(crate) fn accepts(stated: &LogSource, found: &LogSource) -> bool {
    let word =
        |stated: &Option<String>, found: &Option<String>| stated.is_none() || stated == found;
    word(&stated.product, &found.product)
        && word(&stated.service, &found.service)
        && word(&stated.category, &found.category)
}
