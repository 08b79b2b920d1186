//! A diagnostic: an issue in a rule document, with its origin, line and column.

use std::fmt;

use crate::sigma::issue::{Issue, IssuePlace};
use crate::sigma::span;
use crate::sigma::yaml::{self, YamlNode};

/// One issue in a rule document. A broken rule is never an error of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where the text came from, as its sender named it.
    pub origin: String,
    /// Line and column in the document, from 1.
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub message: String,
    pub hint: Option<String>,
    /// True if the document (or the plan of a correlation) is not in force because of it.
    /// False for a remark on a document that is in force.
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

impl Issue {
    /// Locates the issue in `text`, as far as the text can be read.
    pub(crate) fn into_diagnostic(self, origin: &str, text: &str, refused: bool) -> Diagnostic {
        let place = match &self.place {
            IssuePlace::At(line, column) => (*line, *column),
            IssuePlace::Path(path) => {
                let tree = yaml::read(text).unwrap_or(YamlNode::Null);
                span::locate(text, &tree, path)
            }
        };
        self.into_diagnostic_at(origin, Some(place), refused)
    }

    /// `place`: line and column, from 1.
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
