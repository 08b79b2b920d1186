//! Reads query strings strictly: a misspelt or repeated parameter is an error.

use actix_web::{HttpRequest, web};
use weir_schema::Level;

use crate::problem::ProblemDetails;

/// Parameters that may occur several times.
const REPEATABLE: [&str; 2] = ["group", "remove"];

/// The parameters of one request, in the order in which they occur.
pub(crate) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    /// Reads the parameters of a request; every name must be in `known`.
    pub(crate) fn read(request: &HttpRequest, known: &[&str]) -> Result<Self, ProblemDetails> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| ProblemDetails::bad_request("the query string cannot be read"))?
            .into_inner();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                };
                let detail = format!("unknown parameter {name:?}; known here: {known}");
                return Err(ProblemDetails::bad_request(detail));
            }
            let repeated = pairs.iter().take(at).any(|(other, _)| other == name);
            if repeated && !REPEATABLE.contains(&name.as_str()) {
                return Err(ProblemDetails::bad_request(format!(
                    "parameter {name:?} comes twice"
                )));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter that occurs at most once.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(other, _)| other == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter().filter(move |(other, _)| other == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// Parses a parameter with `read`; `expected` describes valid values in the error.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ProblemDetails> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        match read(text) {
            Some(value) => Ok(Some(value)),
            None => {
                let detail = format!("parameter {name:?} is not {expected}");
                Err(ProblemDetails::bad_request(detail))
            }
        }
    }

    /// Reads `level=`, the lowest level to include.
    pub(crate) fn level(&self) -> Result<Option<Level>, ProblemDetails> {
        const LEVELS: [Level; 5] = [
            Level::Informational,
            Level::Low,
            Level::Medium,
            Level::High,
            Level::Critical,
        ];
        self.parsed(
            "level",
            "one of informational, low, medium, high, critical",
            |text| LEVELS.into_iter().find(|level| level.name() == text),
        )
    }
}
