//! What is wrong with a rule, where, and what its author can do about it.

use std::fmt;

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
    Document,
    At(u32, u32),
    /// The first line that has this word as its key.
    Key(String),
}

pub(crate) type Checked<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            place: Place::Document,
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

    /// Names the key that it is about, unless a place is known already.
    pub(crate) fn key(mut self, key: &str) -> Self {
        if self.place == Place::Document {
            self.place = Place::Key(key.to_owned());
        }
        self
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> Self {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.place = Place::At(small(line), small(column));
        self
    }

    pub(crate) fn into_diagnostic(self, origin: &str, text: &str, refused: bool) -> Diagnostic {
        let place = match &self.place {
            Place::Document => None,
            Place::At(line, column) => Some((*line, *column)),
            Place::Key(key) => locate(text, key),
        };
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

/// Line and column, from 1, of the first line whose key is `key`.
fn locate(text: &str, key: &str) -> Option<(u32, u32)> {
    (1..).zip(text.lines()).find_map(|(number, line)| {
        let word = line.trim_start_matches(['-', ' ', '\t', '\'', '"', '{']);
        let after = word.strip_prefix(key)?;
        let ends = after.is_empty() || after.starts_with([':', '|', '\'', '"', ' ']);
        let column = line.len().saturating_sub(word.len()).saturating_add(1);
        ends.then(|| (number, u32::try_from(column).unwrap_or(u32::MAX)))
    })
}
