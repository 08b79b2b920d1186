//! All that rules ask of one field, answered for a value in one pass.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use foldhash::fast::FixedState;
use weir_schema::Value;

use crate::engine::needles;
use crate::number::IntText;
use crate::pattern::{Outline, Pattern, Token};
use crate::test::Test;

/// A question about one value that rules share: a clause, or one test of a clause that wants all.
pub(crate) type Atom = u32;

/// Needles of up to so many bytes in all make an automaton of the fastest kind; it takes about
/// 200 times as many bytes as they do.
const DFA_BYTES_MAX: usize = 8 * 1024;

/// What a needle in the text tells.
#[derive(Clone, Copy, Debug)]
enum Use {
    Within(Atom),
    /// It must begin the text.
    Start(Atom),
    /// It must end the text.
    End(Atom),
    /// The test at this place of `guarded` may hold.
    Guard(u32),
}

#[derive(Debug, Default)]
pub(crate) struct FieldMatcher {
    whole: HashMap<Box<[u8]>, Vec<Atom>, FixedState>,
    automaton: Option<AhoCorasick>,
    /// What each needle tells.
    needles: Vec<Needle>,
    guarded: Vec<Guarded>,
    /// Tests that nothing foretells.
    others: Vec<(Test, Atom)>,
}

#[derive(Debug, Default)]
struct Needle {
    within: Vec<Atom>,
    guards: Vec<u32>,
    start: Vec<Atom>,
    end: Vec<Atom>,
}

#[derive(Debug)]
struct Guarded {
    test: Test,
    atom: Atom,
    /// The needles speak for ASCII texts alone.
    ascii: bool,
}

/// Buffers for one value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    lower: Vec<u8>,
    guards: Vec<u32>,
    /// By needle: the search in which it was last found.
    seen: Vec<u32>,
    search: u32,
}

impl Scratch {
    fn begin(&mut self, text: &str, needles: usize) {
        self.guards.clear();
        self.lower.clear();
        self.lower.extend_from_slice(text.as_bytes());
        self.lower.make_ascii_lowercase();
        if self.seen.len() < needles {
            self.seen.resize(needles, 0);
        }
        self.search = self.search.checked_add(1).unwrap_or_else(|| {
            self.seen.fill(0);
            1
        });
    }

    /// Whether the needle is found for the first time in this search.
    fn first(&mut self, needle: usize) -> bool {
        let search = self.search;
        let seen = self.seen.get_mut(needle);
        seen.is_some_and(|seen| std::mem::replace(seen, search) != search)
    }
}

/// What a field is asked, while it is gathered.
#[derive(Debug, Default)]
pub(crate) struct FieldBuilder {
    matcher: FieldMatcher,
    needles: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, usize>,
}

impl FieldBuilder {
    /// Whether the test asks for nothing but one value.
    pub(crate) fn can_ask(test: &Test) -> bool {
        match test {
            Test::Text(_) | Test::Number(_) | Test::Compare(..) => true,
            Test::Regex(_) | Test::Network(_) => true,
            Test::Any(tests) => tests.iter().all(Self::can_ask),
            // These ask whether there is a value, or for another one.
            _ => false,
        }
    }

    /// Adds a test that, where it holds, answers `atom`.
    pub(crate) fn ask(&mut self, test: &Test, atom: Atom) {
        match test {
            Test::Any(tests) => tests.iter().for_each(|test| self.ask(test, atom)),
            Test::Text(pattern) => match pattern.outline() {
                Some(Outline::Whole(text)) => {
                    let atoms = self.matcher.whole.entry(text.into()).or_default();
                    atoms.push(atom);
                }
                Some(Outline::Start(text)) => self.needle(text, Use::Start(atom)),
                Some(Outline::End(text)) => self.needle(text, Use::End(atom)),
                Some(Outline::Within(text)) => self.needle(text, Use::Within(atom)),
                Some(Outline::Part(text)) if !text.is_empty() => {
                    let guard = self.guarded(test, atom, false);
                    self.needle(&text.to_ascii_lowercase(), guard);
                }
                Some(Outline::Part(_)) | None => self.other(test, atom),
            },
            Test::Regex(regex) => match needles::required(regex.as_str()) {
                Some(texts) => {
                    let guard = self.guarded(test, atom, true);
                    texts.iter().for_each(|text| self.needle(text, guard));
                }
                None => self.other(test, atom),
            },
            _ => self.other(test, atom),
        }
    }

    fn other(&mut self, test: &Test, atom: Atom) {
        self.matcher.others.push((test.clone(), atom));
    }

    fn guarded(&mut self, test: &Test, atom: Atom, ascii: bool) -> Use {
        let guarded = &mut self.matcher.guarded;
        let place = guarded.len() as u32; // Far fewer tests than that are ever compiled.
        guarded.push(Guarded {
            test: test.clone(),
            atom,
            ascii,
        });
        Use::Guard(place)
    }

    fn needle(&mut self, text: &[u8], found: Use) {
        let at = *self.known.entry(text.to_vec()).or_insert_with(|| {
            self.needles.push(text.to_vec());
            self.matcher.needles.push(Needle::default());
            self.needles.len() - 1
        });
        if let Some(needle) = self.matcher.needles.get_mut(at) {
            match found {
                Use::Within(atom) => needle.within.push(atom),
                Use::Start(atom) => needle.start.push(atom),
                Use::End(atom) => needle.end.push(atom),
                Use::Guard(place) => needle.guards.push(place),
            }
        }
    }

    pub(crate) fn build(mut self) -> FieldMatcher {
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
            // More states than ids: then each test is asked by itself, slow and right.
            Err(_) => self.without_automaton(),
        }
        self.matcher
    }

    fn without_automaton(&mut self) {
        let told = std::mem::take(&mut self.matcher.needles);
        let others = &mut self.matcher.others;
        for (text, needle) in self.needles.iter().zip(told) {
            let literal = Token::Literal(String::from_utf8_lossy(text).into_owned());
            let forms = [
                (needle.within, vec![Token::Star, literal.clone(), Token::Star]),
                (needle.start, vec![literal.clone(), Token::Star]),
                (needle.end, vec![Token::Star, literal]),
            ];
            for (atoms, tokens) in forms {
                let test = Test::Text(Pattern::new(tokens, false));
                others.extend(atoms.into_iter().map(|atom| (test.clone(), atom)));
            }
        }
        let guarded = std::mem::take(&mut self.matcher.guarded);
        others.extend(guarded.into_iter().map(|one| (one.test, one.atom)));
    }
}

impl FieldMatcher {
    /// Adds the atoms that a single value answers, in order, each once.
    pub(crate) fn find(&self, value: &Value<'_>, scratch: &mut Scratch, out: &mut Vec<Atom>) {
        out.clear();
        match value {
            Value::Text(text) | Value::Number(text) => self.text(text, value, scratch, out),
            Value::Int(n) => self.text(IntText::new(*n).as_str(), value, scratch, out),
            Value::Bool(true) => self.text("true", value, scratch, out),
            Value::Bool(false) => self.text("false", value, scratch, out),
            Value::Null | Value::List(_) => {}
        }
        for (test, atom) in &self.others {
            if test.holds_single(value) {
                out.push(*atom);
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    fn text(&self, text: &str, value: &Value<'_>, scratch: &mut Scratch, out: &mut Vec<Atom>) {
        scratch.begin(text, self.needles.len());
        let lower = std::mem::take(&mut scratch.lower);
        if let Some(atoms) = self.whole.get(lower.as_slice()) {
            out.extend(atoms);
        }
        let hits = self.automaton.iter();
        for hit in hits.flat_map(|automaton| automaton.find_overlapping_iter(&lower)) {
            let at = hit.pattern().as_usize();
            let Some(needle) = self.needles.get(at) else {
                continue; // Patterns are needles.
            };
            if scratch.first(at) {
                out.extend(&needle.within);
                scratch.guards.extend(&needle.guards);
            }
            if hit.start() == 0 {
                out.extend(&needle.start);
            }
            if hit.end() == lower.len() {
                out.extend(&needle.end);
            }
        }
        scratch.lower = lower;
        if self.guarded.is_empty() {
            return;
        }
        if !text.is_ascii() {
            let places = (0..).zip(&self.guarded);
            let regexes = places.filter(|(_, guarded)| guarded.ascii);
            scratch.guards.extend(regexes.map(|(place, _)| place));
        }
        scratch.guards.sort_unstable();
        scratch.guards.dedup();
        for place in &scratch.guards {
            if let Some(guarded) = self.guarded.get(*place as usize)
                && guarded.test.holds_single(value)
            {
                out.push(guarded.atom);
            }
        }
    }
}
