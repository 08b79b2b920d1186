//! Patterns with several wildcards, matched segment by segment.

use memchr::memchr2_iter;

use super::{DASHES, PatternOutline, PatternToken, TextPlace, ends_with, starts_with};

/// Maximum number of dashes in a pattern that the search expands. Each doubles its texts.
const DASHES_MAX: usize = 4;

/// A pattern split at its stars. The text must contain the segments in order.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    pub(super) segments: Vec<Vec<PatternToken>>,
    open_start: bool,
    open_end: bool,
}

impl Glob {
    pub(super) fn new(tokens: &[PatternToken]) -> Self {
        Self {
            segments: tokens
                .split(|token| *token == PatternToken::Star)
                .filter(|segment| !segment.is_empty())
                .map(<[PatternToken]>::to_vec)
                .collect(),
            open_start: tokens.first() == Some(&PatternToken::Star),
            open_end: tokens.last() == Some(&PatternToken::Star),
        }
    }

    /// The ASCII texts that a pattern of literals and a few dashes matches.
    pub(super) fn dashed(&self) -> Option<Vec<Vec<u8>>> {
        let [segment] = self.segments.as_slice() else {
            return None;
        };
        let is_dash = |token: &&PatternToken| **token == PatternToken::Dash;
        if segment.iter().filter(is_dash).count() > DASHES_MAX {
            return None;
        }
        let mut texts = vec![Vec::new()];
        for token in segment {
            match token {
                PatternToken::Literal(more) => {
                    texts.iter_mut().for_each(|text| text.extend(more.bytes()));
                }
                PatternToken::Dash => {
                    let ascii = DASHES.iter().filter(|dash| dash.is_ascii());
                    let with = |dash: &char| {
                        let texts = texts.iter().cloned();
                        let dash = *dash as u8; // The filter passes ASCII only.
                        texts.map(move |mut text| {
                            text.push(dash);
                            text
                        })
                    };
                    texts = ascii.flat_map(with).collect();
                }
                PatternToken::One | PatternToken::Star => return None,
            }
        }
        Some(texts)
    }

    pub(super) fn dashed_outline(&self, texts: Vec<Vec<u8>>) -> PatternOutline<'_> {
        let place = match (self.open_start, self.open_end) {
            (false, false) => TextPlace::Whole,
            (false, true) => TextPlace::Start,
            (true, false) => TextPlace::End,
            (true, true) => TextPlace::Anywhere,
        };
        PatternOutline::Dashed(place, texts)
    }

    pub(super) fn longest_literal(&self) -> Option<&str> {
        let tokens = self.segments.iter().flatten();
        let literals = tokens.filter_map(|token| match token {
            PatternToken::Literal(text) => Some(text.as_str()),
            PatternToken::One | PatternToken::Dash | PatternToken::Star => None,
        });
        literals.max_by_key(|text| text.len())
    }

    /// Tries only the leftmost match of each segment: a later one leaves less text for the rest.
    pub(super) fn matches(&self, text: &str, cased: bool) -> bool {
        let mut rest = text;
        let mut middle = self.segments.as_slice();
        if !self.open_start {
            let Some((first, others)) = middle.split_first() else {
                return text.is_empty();
            };
            let Some(after) = strip_front(first, rest, cased) else {
                return false;
            };
            if others.is_empty() && !self.open_end {
                return after.is_empty();
            }
            (rest, middle) = (after, others);
        }
        if !self.open_end {
            let Some((last, others)) = middle.split_last() else {
                return rest.is_empty();
            };
            let Some(before) = strip_back(last, rest, cased) else {
                return false;
            };
            (rest, middle) = (before, others);
        }
        middle
            .iter()
            .all(|segment| match find_after(segment, rest, cased) {
                Some(after) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }
}

/// Finds the leftmost match of `segment` and returns the text after it.
fn find_after<'t>(segment: &[PatternToken], text: &'t str, cased: bool) -> Option<&'t str> {
    if let Some(PatternToken::Literal(literal)) = segment.first()
        && let Some(&first) = literal.as_bytes().first()
    {
        let other = if cased {
            first
        } else {
            first.to_ascii_uppercase()
        };
        let mut places = memchr2_iter(first, other, text.as_bytes());
        return places.find_map(|at| strip_front(segment, text.get(at..)?, cased));
    }
    text.char_indices()
        .find_map(|(at, _)| strip_front(segment, &text[at..], cased))
        .or_else(|| strip_front(segment, "", cased).map(|_| ""))
}

fn strip_front<'t>(segment: &[PatternToken], text: &'t str, cased: bool) -> Option<&'t str> {
    segment.iter().try_fold(text, |rest, token| match token {
        PatternToken::Literal(literal) => starts_with(rest.as_bytes(), literal.as_bytes(), cased)
            .then(|| rest.get(literal.len()..))
            .flatten(),
        PatternToken::One => rest.chars().next().map(|c| &rest[c.len_utf8()..]),
        PatternToken::Dash => {
            let dash = rest.chars().next().filter(|c| DASHES.contains(c))?;
            Some(&rest[dash.len_utf8()..])
        }
        PatternToken::Star => Some(rest), // Segments have no stars.
    })
}

fn strip_back<'t>(segment: &[PatternToken], text: &'t str, cased: bool) -> Option<&'t str> {
    segment.iter().rev().try_fold(text, |rest, token| {
        let last = rest.chars().next_back();
        match token {
            PatternToken::Literal(literal) => ends_with(rest.as_bytes(), literal.as_bytes(), cased)
                .then(|| rest.get(..rest.len() - literal.len()))
                .flatten(),
            PatternToken::One => last.map(|c| &rest[..rest.len() - c.len_utf8()]),
            PatternToken::Dash => {
                let dash = last.filter(|c| DASHES.contains(c))?;
                Some(&rest[..rest.len() - dash.len_utf8()])
            }
            PatternToken::Star => Some(rest), // Segments have no stars.
        }
    })
}
