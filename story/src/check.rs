//! Compares the output of a run with the expectations of the story.

use std::collections::BTreeMap;
use std::fmt;

use crate::effect::Effect;
use crate::story::{AtLine, Chapter, StepKind, Story};
use crate::variant::RunVariant;

/// The output of a run: effects by chapter, and answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoryOutput {
    /// By the line that closes the chapter.
    pub effects: BTreeMap<usize, Vec<Effect>>,
    /// Answers to questions and diagnostics of refused changes, by the line of the `?` or `!`.
    pub rows: BTreeMap<usize, Vec<String>>,
}

/// The first failure of a run, at its line. Its text shows the expected and the actual line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryFailure {
    pub file: String,
    pub line: usize,
    pub variant: RunVariant,
    pub kind: FailureKind,
}

/// The kind of failure, with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A step could not run, or the output breaks an invariant of all systems.
    Invalid(String),
    /// The output differs from the expectations.
    Mismatch(Box<StoryMismatch>),
}

/// The expected line, the actual one, and the most similar one or an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryMismatch {
    pub expected: Option<String>,
    pub got: Option<String>,
    pub nearest: Option<String>,
}

impl fmt::Display for StoryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}  run on {}", self.file, self.line, self.variant)?;
        match &self.kind {
            FailureKind::Invalid(message) => write!(f, "\n  {message}"),
            FailureKind::Mismatch(mismatch) => {
                let StoryMismatch {
                    expected,
                    got,
                    nearest,
                } = mismatch.as_ref();
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

impl std::error::Error for StoryFailure {}

/// Fails with the first mismatch between `output` and the story, as far as the story ran.
pub fn check(
    story: &Story,
    output: &StoryOutput,
    variant: &RunVariant,
) -> Result<(), StoryFailure> {
    for chapter in &story.chapters {
        let Some(got) = output.effects.get(&chapter.line) else {
            return Ok(());
        };
        for step in &chapter.steps {
            if let StepKind::RefusedChange(_, rows) = &step.value {
                let got = output.rows.get(&step.line).unwrap_or(&Vec::new()).clone();
                check_rows(story, variant, step.line, rows, &got)?;
            }
        }
        check_effects(story, variant, chapter, got)?;
        for ask in &chapter.questions {
            let got = output.rows.get(&ask.line).unwrap_or(&Vec::new()).clone();
            check_rows(story, variant, ask.line, &ask.rows, &got)?;
        }
    }
    Ok(())
}

fn check_effects(
    story: &Story,
    variant: &RunVariant,
    chapter: &Chapter,
    got: &[Effect],
) -> Result<(), StoryFailure> {
    let differs = |line, expected: Option<&Effect>, got: Option<&Effect>, near: Option<&Effect>| {
        Err(StoryFailure {
            file: story.file.clone(),
            line,
            variant: *variant,
            kind: FailureKind::Mismatch(Box::new(StoryMismatch {
                expected: expected.map(Effect::to_string),
                got: got.map(Effect::to_string),
                nearest: near.map(Effect::to_string),
            })),
        })
    };
    let mut extra: Vec<&Effect> = got.iter().collect();
    let mut missing: Vec<&AtLine<Effect>> = Vec::new();
    for written in &chapter.effects {
        match extra.iter().position(|effect| **effect == written.value) {
            Some(at) => drop(extra.remove(at)),
            None => missing.push(written),
        }
    }
    if let Some(written) = missing.first() {
        let similarity = |effect: &&&Effect| written.value.similarity(effect);
        let nearest = extra
            .iter()
            .filter(|effect| similarity(effect) > 0)
            .max_by_key(similarity);
        let same = nearest.filter(|effect| effect.fields == written.value.fields);
        let near = nearest.filter(|_| same.is_none());
        return differs(
            written.line,
            Some(&written.value),
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
        .find(|(w, got)| w.value != **got);
    match unordered {
        // The same effects in another order. The order of keys is name, fields, first event.
        Some((written, got)) => differs(written.line, Some(&written.value), Some(got), None),
        None => Ok(()),
    }
}

fn check_rows(
    story: &Story,
    variant: &RunVariant,
    line: usize,
    rows: &[AtLine<String>],
    got: &[String],
) -> Result<(), StoryFailure> {
    for at in 0..rows.len().max(got.len()) {
        let (row, got) = (rows.get(at), got.get(at));
        if row.map(|row| &row.value) == got {
            continue;
        }
        let show = |text: &String| format!("| {text}");
        return Err(StoryFailure {
            file: story.file.clone(),
            line: row.map_or(line, |row| row.line),
            variant: *variant,
            kind: FailureKind::Mismatch(Box::new(StoryMismatch {
                expected: row.map(|row| show(&row.value)),
                got: got.map(show),
                nearest: None,
            })),
        });
    }
    Ok(())
}
