//! A compiled detection: which events it matches, and which clauses decided.

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_schema::{Event, Value};

use crate::test::{Test, any_text};

/// The field by which rules read the event's message, unless the event has a field of that name.
pub(crate) const MESSAGE: &str = "message";

/// What a rule calls a field, to what a source calls it.
pub(crate) type Renames = BTreeMap<String, String>;

/// An event as a rule of a certain log source reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'e> {
    pub event: &'e Event<'e>,
    pub renames: Option<&'e Renames>,
}

impl<'e> View<'e> {
    pub(crate) fn new(event: &'e Event<'e>, renames: Option<&'e Renames>) -> Self {
        Self { event, renames }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'e Value<'e>> {
        self.event.get(self.own_name(name))
    }

    /// What the source calls the field.
    fn own_name<'n>(&'n self, name: &'n str) -> &'n str {
        let renamed = self.renames.and_then(|renames| renames.get(name));
        renamed.map_or(name, String::as_str)
    }

    /// Whether the event's message stands for the field, where it has none of that name.
    pub(crate) fn is_message(&self, name: &str) -> bool {
        self.own_name(name) == MESSAGE
    }
}

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
    pub(crate) fn holds(&self, view: &View<'_>) -> bool {
        let passed = match &self.field {
            Some(field) => match view.get(field) {
                None if view.is_message(field) => {
                    let message = Value::Text(Cow::Borrowed(&*view.event.message));
                    self.count(|test| test.holds(Some(&message), view))
                }
                value => self.count(|test| test.holds(value, view)),
            },
            None => self.count(|test| {
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

    fn count(&self, holds: impl FnMut(&Test) -> bool) -> bool {
        if self.all {
            self.tests.iter().all(holds)
        } else {
            self.tests.iter().any(holds)
        }
    }
}

impl Matcher {
    pub(crate) fn matches(&self, view: &View<'_>) -> bool {
        self.holds(&self.condition, view)
    }

    pub(crate) fn holds(&self, expr: &Expr, view: &View<'_>) -> bool {
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
                let held = parts.iter().filter(|part| self.holds(part, view));
                held.take(*least).count() == *least
            }
        }
    }
}
