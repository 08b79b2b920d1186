//! Comma-separated values, of which those in double quotes may contain commas.

use std::borrow::Cow;

/// Most columns. PAN-OS writes some 120.
const COLUMNS_MAX: usize = 200;

/// The columns of a line.
pub(crate) struct Columns<'a>(Vec<Cow<'a, str>>);

impl<'a> Columns<'a> {
    pub fn of(line: &'a str) -> Self {
        let mut columns = Vec::new();
        let mut rest = Some(line);
        while let Some(text) = rest.filter(|_| columns.len() < COLUMNS_MAX) {
            let (value, tail) = column(text);
            columns.push(value);
            rest = tail;
        }
        Self(columns)
    }

    /// Returns a column that is not empty.
    pub fn at(&self, at: usize) -> Option<&Cow<'a, str>> {
        self.0.get(at).filter(|value| !value.is_empty())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Splits the first column from the rest.
fn column(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let Some(quoted) = text.strip_prefix('"') else {
        return match text.split_once(',') {
            Some((value, rest)) => (Cow::Borrowed(value), Some(rest)),
            None => (Cow::Borrowed(text), None),
        };
    };
    let mut value = Cow::Borrowed("");
    let mut rest = quoted;
    loop {
        let (plain, tail) = rest.split_once('"').unwrap_or((rest, ""));
        if value.is_empty() {
            value = Cow::Borrowed(plain);
        } else {
            value.to_mut().push_str(plain);
        }
        match tail.strip_prefix('"') {
            Some(after) => {
                value.to_mut().push('"');
                rest = after;
            }
            None => return (value, tail.strip_prefix(',')),
        }
    }
}
