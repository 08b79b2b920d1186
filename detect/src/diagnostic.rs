//! What is wrong with a rule, where, and what its author can do about it.

use std::fmt;

use crate::span::{self, Step};
use crate::yaml::Node;

/// One finding in a rule document. A broken rule is never an error of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where the text came from, as its bearer named it.
    pub origin: String,
    /// Line and column in the document, from 1.
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub message: String,
    pub hint: Option<String>,
    /// True where the document (or the plan of a correlation) is not in force because of it;
    /// false for a remark on a document that is.
    pub refused: bool,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A reason to refuse, before it is known which document it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub message: String,
    pub hint: Option<String>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(u32, u32),
    /// What it is about, from the outermost key on; empty: the document.
    Path(Vec<Step>),
}

pub(crate) type Checked<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            place: Place::Path(Vec::new()),
        }
    }

    /// What a later version will do; said so, and never ignored.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(format!("{what}: not supported yet"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that it is about something within the entry of this key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.within(Step::Key(key.to_owned()))
    }

    /// Says that it is about something within the entry or element at this place.
    pub(crate) fn nth(self, place: usize) -> Self {
        self.within(Step::Nth(place))
    }

    fn within(mut self, step: Step) -> Self {
        if let Place::Path(path) = &mut self.place {
            path.insert(0, step);
        }
        self
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> Self {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.place = Place::At(small(line), small(column));
        self
    }

    /// Finds the place in the text, where the text can be read.
    pub(crate) fn into_diagnostic(self, origin: &str, text: &str, refused: bool) -> Diagnostic {
        let place = match &self.place {
            Place::At(line, column) => (*line, *column),
            Place::Path(path) => {
                let tree = crate::yaml::read(text).unwrap_or(Node::Null);
                span::find(text, &tree, path)
            }
        };
        self.into_diagnostic_at(origin, Some(place), refused)
    }

    pub(crate) fn into_diagnostic_at(
        self,
        origin: &str,
        place: Option<(u32, u32)>,
        refused: bool,
    ) -> Diagnostic {
        Diagnostic {
            origin: origin.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: self.message,
            hint: self.hint,
            refused,
        }
    }
}
