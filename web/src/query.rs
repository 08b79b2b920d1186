//! Reads query strings: known names only, each at most once, so that a misspelt filter is an error.

use actix_web::{HttpRequest, web};
use weir_schema::Level;

use crate::problem::Problem;

/// The parameters that may come several times.
const REPEATABLE: [&str; 2] = ["group", "remove"];

pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of a request, all of them in `known`.
    pub(crate) fn read(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| Problem::bad_request("the query string cannot be read"))?
            .into_inner();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                };
                let detail = format!("unknown parameter {name:?}; known here: {known}");
                return Err(Problem::bad_request(detail));
            }
            let twice = pairs.iter().take(at).any(|(other, _)| other == name);
            if twice && !REPEATABLE.contains(&name.as_str()) {
                return Err(Problem::bad_request(format!(
                    "parameter {name:?} comes twice"
                )));
            }
        }
        Ok(Self(pairs))
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(other, _)| other == name);
        pair.map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter().filter(move |(other, _)| other == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// A parameter through its reader; `wanted` says what is expected.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        match read(text) {
            Some(value) => Ok(Some(value)),
            None => {
                let detail = format!("parameter {name:?} is not {wanted}");
                Err(Problem::bad_request(detail))
            }
        }
    }

    /// `level=`: the least level wanted.
    pub(crate) fn level(&self) -> Result<Option<Level>, Problem> {
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
