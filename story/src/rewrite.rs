//! Rewrites what a story expects: effects and rows, never narration, steps or spacing.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Told;
use crate::page::{Story, What, Written};

/// The text of `story` with what was `told` in place of what was expected. Where both agree, the
/// author's lines stay as they are.
#[must_use]
pub fn rewrite(text: &str, story: &Story, told: &Told) -> String {
    let mut dropped: BTreeSet<usize> = BTreeSet::new();
    let mut added: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut rows = |line: usize, written: &[Written<String>]| {
        let nothing = Vec::new();
        let got = told.rows.get(&line).unwrap_or(&nothing);
        if !written.iter().map(|row| &row.it).eq(got) {
            dropped.extend(written.iter().map(|row| row.line));
            let shown = got.iter().map(|row| format!("| {row}"));
            added.insert(line, shown.collect());
        }
    };
    for chapter in &story.chapters {
        for step in &chapter.steps {
            if let What::Refused(_, written) = &step.it {
                rows(step.line, written);
            }
        }
        for ask in &chapter.asks {
            rows(ask.line, &ask.rows);
        }
    }
    for chapter in &story.chapters {
        let nothing = Vec::new();
        let got = told.effects.get(&chapter.line).unwrap_or(&nothing);
        if !chapter.effects.iter().map(|effect| &effect.it).eq(got) {
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
