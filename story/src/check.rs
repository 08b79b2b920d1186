//! Compares what was said with what is written, and shows the difference as the page in place.

use std::collections::BTreeMap;
use std::fmt;

use crate::effect::Effect;
use crate::page::{Chapter, Story, What, Written};
use crate::way::Way;

/// What was said under each line, and answered to each question and refused change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// By the number of the line in the file.
    pub effects: BTreeMap<usize, Vec<Effect>>,
    /// By the number of the `?` or `!` in the file.
    pub rows: BTreeMap<usize, Vec<String>>,
}

/// Where and how a telling went wrong; shown, it is the page in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub file: String,
    pub line: usize,
    pub way: Way,
    pub what: Wrong,
}

/// The two kinds of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The step could not be told, or the system said what no system may say.
    Broken(String),
    /// Something else was said than is written.
    Differs(Box<Difference>),
}

/// What was to be said, what was said in its place, and what came nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub expected: Option<String>,
    pub got: Option<String>,
    pub nearest: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}  told on {}", self.file, self.line, self.way)?;
        match &self.what {
            Wrong::Broken(message) => write!(f, "\n  {message}"),
            Wrong::Differs(difference) => {
                let Difference {
                    expected,
                    got,
                    nearest,
                } = difference.as_ref();
                let show = |text: &Option<String>| text.clone().unwrap_or("(nothing)".to_owned());
                write!(
                    f,
                    "\n  expected  {}\n  got       {}",
                    show(expected),
                    show(got)
                )?;
                match nearest {
                    Some(nearest) => write!(f, "\n  nearest   {nearest}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Failure {}

/// Compares what was said with what is written, as far as it was told: the first difference, if
/// there is one.
pub fn check(story: &Story, told: &Told, way: &Way) -> Result<(), Failure> {
    for chapter in &story.chapters {
        let Some(got) = told.effects.get(&chapter.line) else {
            return Ok(());
        };
        for step in &chapter.steps {
            if let What::Refused(_, rows) = &step.it {
                let got = told.rows.get(&step.line).unwrap_or(&Vec::new()).clone();
                rows_alike(story, way, step.line, rows, &got)?;
            }
        }
        effects_alike(story, way, chapter, got)?;
        for ask in &chapter.asks {
            let got = told.rows.get(&ask.line).unwrap_or(&Vec::new()).clone();
            rows_alike(story, way, ask.line, &ask.rows, &got)?;
        }
    }
    Ok(())
}

fn effects_alike(
    story: &Story,
    way: &Way,
    chapter: &Chapter,
    got: &[Effect],
) -> Result<(), Failure> {
    let differs = |line, expected: Option<&Effect>, got: Option<&Effect>, near: Option<&Effect>| {
        Err(Failure {
            file: story.file.clone(),
            line,
            way: *way,
            what: Wrong::Differs(Box::new(Difference {
                expected: expected.map(Effect::to_string),
                got: got.map(Effect::to_string),
                nearest: near.map(Effect::to_string),
            })),
        })
    };
    let mut extra: Vec<&Effect> = got.iter().collect();
    let mut missing: Vec<&Written<Effect>> = Vec::new();
    for written in &chapter.effects {
        match extra.iter().position(|effect| **effect == written.it) {
            Some(at) => drop(extra.remove(at)),
            None => missing.push(written),
        }
    }
    if let Some(written) = missing.first() {
        let like = |effect: &&&Effect| written.it.likeness(effect);
        let nearest = extra
            .iter()
            .filter(|effect| like(effect) > 0)
            .max_by_key(like);
        let same = nearest.filter(|effect| effect.fields == written.it.fields);
        let near = nearest.filter(|_| same.is_none());
        return differs(
            written.line,
            Some(&written.it),
            same.copied(),
            near.copied(),
        );
    }
    if let Some(effect) = extra.first() {
        return differs(chapter.line, None, Some(effect), None);
    }
    let unordered = chapter
        .effects
        .iter()
        .zip(got)
        .find(|(w, got)| w.it != **got);
    match unordered {
        // The same effects in another order: that of keys is name, fields, first.
        Some((written, got)) => differs(written.line, Some(&written.it), Some(got), None),
        None => Ok(()),
    }
}

fn rows_alike(
    story: &Story,
    way: &Way,
    line: usize,
    rows: &[Written<String>],
    got: &[String],
) -> Result<(), Failure> {
    for at in 0..rows.len().max(got.len()) {
        let (row, got) = (rows.get(at), got.get(at));
        if row.map(|row| &row.it) == got {
            continue;
        }
        let show = |text: &String| format!("| {text}");
        return Err(Failure {
            file: story.file.clone(),
            line: row.map_or(line, |row| row.line),
            way: *way,
            what: Wrong::Differs(Box::new(Difference {
                expected: row.map(|row| show(&row.it)),
                got: got.map(show),
                nearest: None,
            })),
        });
    }
    Ok(())
}
