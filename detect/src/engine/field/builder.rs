//! Builds the matcher of one field from tests.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::engine::hits::Atom;
use crate::engine::needles;
use crate::engine::prefilter::Prefilter;
use crate::sigma::pattern::{Pattern, PatternOutline, PatternToken, TextPlace};
use crate::sigma::value_test::ValueTest;

use super::{FieldMatcher, GuardedTest, LENGTHS, Needle};

/// Maximum size of all needles of an automaton of the fastest kind, which takes about 200 times as
/// much memory.
const DFA_BYTES_MAX: usize = 512;

/// The meaning of a needle in the text.
#[derive(Clone, Copy, Debug)]
enum NeedleUse {
    Within(Atom),
    /// Passes the atom at the start of the text.
    Start(Atom),
    /// Passes the atom at the end of the text.
    End(Atom),
    /// The guarded test with this number may pass.
    Guard(u32),
}

/// Collects the tests of one field.
#[derive(Debug, Default)]
pub(crate) struct FieldBuilder {
    matcher: FieldMatcher,
    needles: Vec<Vec<u8>>,
    /// Index into `needles`.
    needle_index: HashMap<Vec<u8>, usize>,
}

impl FieldBuilder {
    /// Whether the test depends on a single value only.
    pub(crate) fn supports(test: &ValueTest) -> bool {
        match test {
            ValueTest::Text(_) | ValueTest::Number(_) | ValueTest::Compare(..) => true,
            ValueTest::Regex(_) | ValueTest::Network(_) => true,
            ValueTest::Any(tests) => tests.iter().all(Self::supports),
            // These depend on the presence of the field, or on another field.
            _ => false,
        }
    }

    /// Adds a test of `atom`. The atom passes if one of its tests does.
    pub(crate) fn add(&mut self, test: &ValueTest, atom: Atom) {
        match test {
            // Long texts are searched line by line.
            ValueTest::Text(pattern) if pattern.outline().is_some_and(spans_lines) => {
                self.add_other(test, atom);
            }
            ValueTest::Any(tests) => tests.iter().for_each(|test| self.add(test, atom)),
            ValueTest::Text(pattern) => match pattern.outline() {
                Some(PatternOutline::Whole(text)) => self.add_whole(text, atom),
                Some(PatternOutline::Start(text)) => self.add_needle(text, NeedleUse::Start(atom)),
                Some(PatternOutline::End(text)) => self.add_needle(text, NeedleUse::End(atom)),
                Some(PatternOutline::Anywhere(text)) => {
                    self.add_needle(text, NeedleUse::Within(atom))
                }
                Some(PatternOutline::Part(text)) if !text.is_empty() => {
                    let guard = self.add_guarded(test, atom, false);
                    self.add_needle(&text.to_ascii_lowercase(), guard);
                }
                Some(PatternOutline::NonAscii) => {
                    self.matcher.non_ascii.push((pattern.clone(), atom))
                }
                Some(PatternOutline::Dashed(place, texts)) => {
                    self.matcher.non_ascii.push((pattern.clone(), atom));
                    texts
                        .iter()
                        .for_each(|text| self.add_dashed(place, text, atom));
                }
                Some(PatternOutline::Part(_)) | None => self.add_other(test, atom),
            },
            ValueTest::Regex(regex) => match needles::required(regex.as_str()) {
                Some(texts) if !texts.iter().any(|text| text.contains(&b'\n')) => {
                    let guard = self.add_guarded(test, atom, true);
                    texts.iter().for_each(|text| self.add_needle(text, guard));
                }
                Some(_) | None => self.add_other(test, atom),
            },
            _ => self.add_other(test, atom),
        }
    }

    fn add_dashed(&mut self, place: TextPlace, text: &[u8], atom: Atom) {
        match place {
            TextPlace::Whole => self.add_whole(text, atom),
            TextPlace::Start => self.add_needle(text, NeedleUse::Start(atom)),
            TextPlace::End => self.add_needle(text, NeedleUse::End(atom)),
            TextPlace::Anywhere => self.add_needle(text, NeedleUse::Within(atom)),
        }
    }

    fn add_whole(&mut self, text: &[u8], atom: Atom) {
        let matcher = &mut self.matcher;
        matcher.whole.entry(text.into()).or_default().push(atom);
        matcher.whole_bytes_max = matcher.whole_bytes_max.max(text.len());
        if let Some(word) = matcher.lengths.get_mut(text.len() / 64) {
            *word |= 1 << (text.len() % 64);
        }
    }

    fn add_other(&mut self, test: &ValueTest, atom: Atom) {
        self.matcher.others.push((test.clone(), atom));
    }

    fn add_guarded(&mut self, test: &ValueTest, atom: Atom, ascii: bool) -> NeedleUse {
        let guarded = &mut self.matcher.guarded;
        let place = guarded.len() as u32; // The limits on rules allow far fewer tests.
        guarded.push(GuardedTest {
            test: test.clone(),
            atom,
            ascii,
        });
        NeedleUse::Guard(place)
    }

    fn add_needle(&mut self, text: &[u8], meaning: NeedleUse) {
        let at = *self.needle_index.entry(text.to_vec()).or_insert_with(|| {
            self.needles.push(text.to_vec());
            self.matcher.needles.push(Needle::default());
            self.needles.len() - 1
        });
        if let Some(needle) = self.matcher.needles.get_mut(at) {
            match meaning {
                NeedleUse::Within(atom) => needle.within.push(atom),
                NeedleUse::Start(atom) => needle.start.push(atom),
                NeedleUse::End(atom) => needle.end.push(atom),
                NeedleUse::Guard(place) => needle.guards.push(place),
            }
        }
    }

    /// A prefilter of whole events for these tests, if needles guard all of them.
    pub(crate) fn prefilter(&self) -> Option<Prefilter> {
        let guards_all = self.matcher.others.is_empty() && self.matcher.whole.is_empty();
        let ascii = self.matcher.guarded.iter().any(|guarded| guarded.ascii);
        let ascii = ascii || !self.matcher.non_ascii.is_empty();
        if guards_all {
            Prefilter::new(&self.needles, ascii)
        } else {
            None
        }
    }

    pub(crate) fn build(mut self) -> FieldMatcher {
        // A text that is shorter than all needles contains none.
        let least = self.needles.iter().map(Vec::len).min().unwrap_or(LENGTHS);
        for length in least..LENGTHS {
            self.matcher.lengths[length / 64] |= 1 << (length % 64);
        }
        let bytes: usize = self.needles.iter().map(Vec::len).sum();
        if self.needles.is_empty() {
            return self.matcher;
        }
        let kind = if bytes <= DFA_BYTES_MAX {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&self.needles);
        match built {
            Ok(automaton) => self.matcher.automaton = Some(automaton),
            // The automaton has too many states. Evaluate each test by itself: slow, but correct.
            Err(_) => self.drop_automaton(),
        }
        self.matcher
    }

    fn drop_automaton(&mut self) {
        let needles = std::mem::take(&mut self.matcher.needles);
        let others = &mut self.matcher.others;
        for (text, needle) in self.needles.iter().zip(needles) {
            let literal = PatternToken::Literal(String::from_utf8_lossy(text).into_owned());
            let forms = [
                (
                    needle.within,
                    vec![PatternToken::Star, literal.clone(), PatternToken::Star],
                ),
                (needle.start, vec![literal.clone(), PatternToken::Star]),
                (needle.end, vec![PatternToken::Star, literal]),
            ];
            for (atoms, tokens) in forms {
                let test = ValueTest::Text(Pattern::new(tokens, false));
                others.extend(atoms.into_iter().map(|atom| (test.clone(), atom)));
            }
        }
        let guarded = std::mem::take(&mut self.matcher.guarded);
        others.extend(guarded.into_iter().map(|one| (one.test, one.atom)));
    }
}

fn spans_lines(outline: PatternOutline<'_>) -> bool {
    match outline {
        PatternOutline::Whole(_) | PatternOutline::NonAscii => false,
        PatternOutline::Start(text) | PatternOutline::End(text) => text.contains(&b'\n'),
        PatternOutline::Anywhere(text) | PatternOutline::Part(text) => text.contains(&b'\n'),
        PatternOutline::Dashed(_, texts) => texts.iter().any(|text| text.contains(&b'\n')),
    }
}
