//! Rewrites the expectations of a story: effects and rows, never narration, steps or spacing.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::StoryOutput;
use crate::story::{AtLine, StepKind, Story};

/// Returns the text of `story` with its expectations replaced by `output`. Lines that are already
/// correct keep the author's spacing.
#[must_use]
pub fn rewrite(text: &str, story: &Story, output: &StoryOutput) -> String {
    let mut dropped: BTreeSet<usize> = BTreeSet::new();
    let mut added: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut rows = |line: usize, written: &[AtLine<String>]| {
        let none = Vec::new();
        let got = output.rows.get(&line).unwrap_or(&none);
        if !written.iter().map(|row| &row.value).eq(got) {
            dropped.extend(written.iter().map(|row| row.line));
            let shown = got.iter().map(|row| format!("| {row}"));
            added.insert(line, shown.collect());
        }
    };
    for chapter in &story.chapters {
        for step in &chapter.steps {
            if let StepKind::RefusedChange(_, written) = &step.value {
                rows(step.line, written);
            }
        }
        for ask in &chapter.questions {
            rows(ask.line, &ask.rows);
        }
    }
    for chapter in &story.chapters {
        let none = Vec::new();
        let got = output.effects.get(&chapter.line).unwrap_or(&none);
        if !chapter.effects.iter().map(|effect| &effect.value).eq(got) {
            dropped.extend(chapter.effects.iter().map(|effect| effect.line));
            let shown = got.iter().map(ToString::to_string);
            added.insert(chapter.line, shown.collect());
        }
    }
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        if !dropped.contains(&number) {
            out.push_str(line);
        }
        let Some(lines) = added.get(&number) else {
            continue;
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        for line in lines {
            out.push_str("    ");
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
