//! An issue in a document: a message, an optional hint, and where it is.

use std::fmt;

/// Something wrong with a document, before its origin and its line are known.
///
/// As an error it refuses the document; it may also be a remark on one that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub message: String,
    pub hint: Option<String>,
    pub place: IssuePlace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuePlace {
    /// Line and column, from 1.
    At(u32, u32),
    /// The steps from the outermost key to the value; empty for the whole document.
    Path(Vec<PathStep>),
}

/// A step from a value of the YAML tree to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathStep {
    /// The entry with this key.
    Key(String),
    /// The entry or element with this index; for a scalar, the scalar itself.
    Nth(usize),
}

/// The result of reading a part of a document.
pub(crate) type SigmaResult<T> = Result<T, Issue>;

impl Issue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            place: IssuePlace::Path(Vec::new()),
        }
    }

    /// A feature that is not implemented. It is always reported, never ignored.
    pub(crate) fn unsupported(feature: impl fmt::Display) -> Self {
        Self::new(format!("{feature}: not supported yet"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Places the issue within the entry with this key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.within(PathStep::Key(key.to_owned()))
    }

    /// Places the issue within the entry or element with this index.
    pub(crate) fn nth(self, index: usize) -> Self {
        self.within(PathStep::Nth(index))
    }

    fn within(mut self, step: PathStep) -> Self {
        if let IssuePlace::Path(path) = &mut self.place {
            path.insert(0, step);
        }
        self
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> Self {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.place = IssuePlace::At(small(line), small(column));
        self
    }
}
