//! All that rules ask of one field, answered for a value in one pass.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use foldhash::fast::FixedState;
use weir_schema::Value;

use crate::engine::lines::{Lines, Told};
use crate::engine::needles;
use crate::engine::sieve::Sieve;
use crate::number::IntText;
use crate::pattern::{Dashed, Outline, Pattern, Token, lower};
use crate::test::Test;

/// A question about one value that rules share: a clause, or one test of a clause that wants all.
pub(crate) type Atom = u32;

/// Needles of up to so many bytes in all make an automaton of the fastest kind; it takes about
/// 200 times as many bytes as they do.
const DFA_BYTES_MAX: usize = 512;

/// Texts of so many bytes and more are always looked at.
const LENGTHS: usize = 256;

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
    whole_bytes_max: usize,
    /// A bit for each length, below [`LENGTHS`], that a whole text or a needle's text can have.
    lengths: [u64; LENGTHS / 64],
    automaton: Option<AhoCorasick>,
    /// What each needle tells.
    needles: Vec<Needle>,
    guarded: Vec<Guarded>,
    /// Tests that only a text with letters beyond ASCII can pass.
    foreign: Vec<(Pattern, Atom)>,
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

/// Longer texts are looked at line by line.
pub(crate) const LINES_BYTES_MIN: usize = 1_024;

/// So many findings of lines are gathered before those that repeat are left out: a text of a
/// million lines may show the same in each.
const GATHERED_MAX: usize = 4_096;

/// Leaves out what repeats, whenever there may be much of it.
fn thin(found: &mut Vec<u32>, bound: &mut usize) {
    if found.len() > *bound {
        found.sort_unstable();
        found.dedup();
        *bound = GATHERED_MAX.max(2 * found.len());
    }
}

/// What a value is looked at with.
pub(crate) type Buffers<'b> = (&'b mut Scratch, &'b mut Lines);

/// Buffers for one value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    told: Told,
    lower: Vec<u8>,
    guards: Vec<u32>,
    /// By needle: the search in which it was last found.
    seen: Vec<u32>,
    search: u32,
}

impl Scratch {
    fn begin(&mut self, text: &str, needles: usize) {
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
            // Long texts are searched line by line.
            Test::Text(pattern) if pattern.outline().is_some_and(spans_lines) => {
                self.other(test, atom);
            }
            Test::Any(tests) => tests.iter().for_each(|test| self.ask(test, atom)),
            Test::Text(pattern) => match pattern.outline() {
                Some(Outline::Whole(text)) => self.whole(text, atom),
                Some(Outline::Start(text)) => self.needle(text, Use::Start(atom)),
                Some(Outline::End(text)) => self.needle(text, Use::End(atom)),
                Some(Outline::Within(text)) => self.needle(text, Use::Within(atom)),
                Some(Outline::Part(text)) if !text.is_empty() => {
                    let guard = self.guarded(test, atom, false);
                    self.needle(&text.to_ascii_lowercase(), guard);
                }
                Some(Outline::Foreign) => self.matcher.foreign.push((pattern.clone(), atom)),
                Some(Outline::Dashed(place, texts)) => {
                    self.matcher.foreign.push((pattern.clone(), atom));
                    texts.iter().for_each(|text| self.dashed(place, text, atom));
                }
                Some(Outline::Part(_)) | None => self.other(test, atom),
            },
            Test::Regex(regex) => match needles::required(regex.as_str()) {
                Some(texts) if !texts.iter().any(|text| text.contains(&b'\n')) => {
                    let guard = self.guarded(test, atom, true);
                    texts.iter().for_each(|text| self.needle(text, guard));
                }
                Some(_) | None => self.other(test, atom),
            },
            _ => self.other(test, atom),
        }
    }

    fn dashed(&mut self, place: Dashed, text: &[u8], atom: Atom) {
        match place {
            Dashed::Whole => self.whole(text, atom),
            Dashed::Start => self.needle(text, Use::Start(atom)),
            Dashed::End => self.needle(text, Use::End(atom)),
            Dashed::Within => self.needle(text, Use::Within(atom)),
        }
    }

    fn whole(&mut self, text: &[u8], atom: Atom) {
        let matcher = &mut self.matcher;
        matcher.whole.entry(text.into()).or_default().push(atom);
        matcher.whole_bytes_max = matcher.whole_bytes_max.max(text.len());
        if let Some(word) = matcher.lengths.get_mut(text.len() / 64) {
            *word |= 1 << (text.len() % 64);
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

    /// A quick look at whole events for these tests, where needles foretell all of them.
    pub(crate) fn sieve(&self) -> Option<Sieve> {
        let told = self.matcher.others.is_empty() && self.matcher.whole.is_empty();
        let ascii = self.matcher.guarded.iter().any(|guarded| guarded.ascii);
        let ascii = ascii || !self.matcher.foreign.is_empty();
        if told {
            Sieve::new(&self.needles, ascii)
        } else {
            None
        }
    }

    pub(crate) fn build(mut self) -> FieldMatcher {
        // A text shorter than any needle holds none.
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
                (
                    needle.within,
                    vec![Token::Star, literal.clone(), Token::Star],
                ),
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

fn spans_lines(outline: Outline<'_>) -> bool {
    match outline {
        Outline::Whole(_) | Outline::Foreign => false,
        Outline::Start(text) | Outline::End(text) => text.contains(&b'\n'),
        Outline::Within(text) | Outline::Part(text) => text.contains(&b'\n'),
        Outline::Dashed(_, texts) => texts.iter().any(|text| text.contains(&b'\n')),
    }
}

impl FieldMatcher {
    /// Whether the text's length alone says that it answers nothing.
    pub(crate) fn is_out_of_reach(&self, text: &str) -> bool {
        let word = self.lengths.get(text.len() / 64);
        let by_length = word.is_some_and(|word| word >> (text.len() % 64) & 1 == 0);
        by_length
            && self.others.is_empty()
            && (self.foreign.is_empty() && self.guarded.is_empty() || text.is_ascii())
    }

    /// Puts the atoms that a single value answers in `out`, in order, each once.
    pub(crate) fn find(&self, value: &Value<'_>, buffers: Buffers<'_>, out: &mut Vec<Atom>) {
        out.clear();
        match value {
            Value::Text(text) | Value::Number(text) => self.text(text, value, buffers, out),
            Value::Int(n) => self.text(IntText::new(*n).as_str(), value, buffers, out),
            Value::Bool(true) => self.text("true", value, buffers, out),
            Value::Bool(false) => self.text("false", value, buffers, out),
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

    fn text(
        &self,
        text: &str,
        value: &Value<'_>,
        (scratch, lines): Buffers<'_>,
        out: &mut Vec<Atom>,
    ) {
        scratch.guards.clear();
        if text.len() <= LINES_BYTES_MIN {
            let mut told = std::mem::take(&mut scratch.told);
            self.scan(text, scratch, &mut told);
            out.extend(told.within.iter().chain(&told.start).chain(&told.end));
            scratch.guards.extend(&told.guards);
            scratch.told = told;
        } else {
            self.lines(text, (scratch, lines), out);
        }
        if text.len() <= self.whole_bytes_max {
            let lower = text.to_ascii_lowercase();
            out.extend(self.whole.get(lower.as_bytes()).into_iter().flatten());
        }
        if (!self.foreign.is_empty() || !self.guarded.is_empty()) && !text.is_ascii() {
            let lowered = lower(text);
            let foreign = self.foreign.iter();
            let held = foreign.filter(|(pattern, _)| pattern.matches_lowered(text, &lowered));
            out.extend(held.map(|(_, atom)| *atom));
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

    /// A long text line by line: of those, most have been seen. No needle has the mark between.
    fn lines(&self, text: &str, (scratch, lines): Buffers<'_>, out: &mut Vec<Atom>) {
        let mut rest = Some(text);
        let mut is_first = true;
        let mut bounds = (GATHERED_MAX, GATHERED_MAX);
        while let Some(here) = rest {
            let line = match memchr::memchr(b'\n', here.as_bytes()) {
                Some(at) => {
                    rest = here.get(at + 1..);
                    here.get(..at).unwrap_or(here)
                }
                None => {
                    rest = None;
                    here
                }
            };
            let told = lines.of(line, |told| self.scan(line, scratch, told));
            out.extend(&told.within);
            if is_first {
                out.extend(&told.start);
            }
            if rest.is_none() {
                out.extend(&told.end);
            }
            scratch.guards.extend(&told.guards);
            thin(out, &mut bounds.0);
            thin(&mut scratch.guards, &mut bounds.1);
            is_first = false;
        }
    }

    /// Puts the needles of a stretch of text in place of what `told` held.
    fn scan(&self, text: &str, scratch: &mut Scratch, told: &mut Told) {
        told.clear();
        let Some(automaton) = &self.automaton else {
            return;
        };
        scratch.begin(text, self.needles.len());
        let lower = std::mem::take(&mut scratch.lower);
        for hit in automaton.find_overlapping_iter(&lower) {
            let at = hit.pattern().as_usize();
            let Some(needle) = self.needles.get(at) else {
                continue; // Patterns are needles.
            };
            if scratch.first(at) {
                told.within.extend(&needle.within);
                told.guards.extend(&needle.guards);
            }
            if hit.start() == 0 {
                told.start.extend(&needle.start);
            }
            if hit.end() == lower.len() {
                told.end.extend(&needle.end);
            }
        }
        scratch.lower = lower;
    }
}
