//! A case: a question, a small function that runs it, and the verdict over its facts.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

/// Settings that all cases share.
#[derive(Clone, Debug)]
pub struct Setting {
    pub weir: PathBuf,
    /// Parent of the servers' folders.
    pub folder: PathBuf,
    pub quick: bool,
}

impl Setting {
    /// Length of a fault that lasts "a minute": longer than the limits that it must reach.
    #[must_use]
    pub fn minute(&self) -> Duration {
        Duration::from_secs(if self.quick { 8 } else { 75 })
    }

    /// Observation of a fault that never ends: until a stalled server has ended itself.
    #[must_use]
    pub fn observed(&self) -> Duration {
        Duration::from_secs(if self.quick { 12 } else { 100 })
    }

    /// `whole` rounds, or a fifth of them in a quick run.
    #[must_use]
    pub fn rounds(&self, whole: usize) -> usize {
        if self.quick { whole.div_ceil(5) } else { whole }
    }
}

/// The judgement over one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// The machine lacks something that the case needs.
    Skipped,
}

impl Verdict {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "BAD",
            Self::Skipped => "skipped",
        }
    }
}

/// Measured facts of a case, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Facts {
    pub measured: Vec<(&'static str, String)>,
    pub wrong: Vec<String>,
    pub skipped: Option<String>,
}

impl Facts {
    /// Facts of a case that cannot run here.
    #[must_use]
    pub fn skip(reason: impl Into<String>) -> Self {
        Self {
            skipped: Some(reason.into()),
            ..Self::default()
        }
    }

    pub fn note(&mut self, name: &'static str, value: impl ToString) {
        self.measured.push((name, value.to_string()));
    }

    /// Notes a value, and that it is wrong unless `holds`.
    pub fn judge(&mut self, name: &'static str, value: impl ToString, holds: bool) {
        let value = value.to_string();
        if !holds {
            self.wrong.push(format!("{name}: {value}"));
        }
        self.measured.push((name, value));
    }
}

/// Runs a case.
type RunCase = Box<dyn Fn(&Setting) -> Result<Facts> + Send + Sync>;

/// One case.
pub struct Case {
    /// Such as `W9/agents` or `journal-write/stalls`.
    pub name: String,
    pub question: String,
    run: RunCase,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        question: impl Into<String>,
        run: impl Fn(&Setting) -> Result<Facts> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            question: question.into(),
            run: Box::new(run),
        }
    }

    /// Runs the case. An error is a bad verdict: the server did not do what the case needs.
    #[must_use]
    pub fn run(&self, setting: &Setting) -> CaseReport {
        let began = Instant::now();
        let facts = (self.run)(setting).unwrap_or_else(|error| Facts {
            wrong: vec![format!("{error:#}")],
            ..Facts::default()
        });
        let verdict = match (&facts.skipped, facts.wrong.is_empty()) {
            (Some(_), _) => Verdict::Skipped,
            (None, true) => Verdict::Good,
            (None, false) => Verdict::Bad,
        };
        CaseReport {
            name: self.name.clone(),
            question: self.question.clone(),
            facts,
            verdict,
            took: began.elapsed(),
        }
    }
}

/// The result of one case.
#[derive(Debug)]
pub struct CaseReport {
    pub name: String,
    pub question: String,
    pub facts: Facts,
    pub verdict: Verdict,
    pub took: Duration,
}

impl CaseReport {
    #[must_use]
    pub fn json(&self) -> Value {
        let measured = self.facts.measured.iter();
        let measured: serde_json::Map<_, _> = measured
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        json!({
            "case": self.name,
            "question": self.question,
            "measured": measured,
            "wrong": self.facts.wrong,
            "skipped": self.facts.skipped,
            "verdict": self.verdict.name(),
            "seconds": self.took.as_secs_f64(),
        })
    }
}
