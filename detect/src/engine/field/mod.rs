//! All tests of one field, evaluated on a value in one pass.

mod builder;

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use foldhash::fast::FixedState;
use weir_schema::{Stopwatch, Value};

use crate::engine::hits::{Atom, NeedleHits};
use crate::engine::lines::LineMemo;
use crate::sigma::number::IntText;
use crate::sigma::pattern::{Pattern, to_lower};
use crate::sigma::value_test::ValueTest;

pub(crate) use builder::FieldBuilder;

/// Length from which texts are always searched.
const LENGTHS: usize = 256;

/// The compiled tests of one field.
#[derive(Debug, Default)]
pub(crate) struct FieldMatcher {
    whole: HashMap<Box<[u8]>, Vec<Atom>, FixedState>,
    whole_bytes_max: usize,
    /// A bit for each length below [`LENGTHS`]: set if a text of that length can pass `whole` or
    /// contain a needle.
    lengths: [u64; LENGTHS / 64],
    automaton: Option<AhoCorasick>,
    /// The meanings of each needle.
    needles: Vec<Needle>,
    guarded: Vec<GuardedTest>,
    /// Tests that only a text with letters outside ASCII can pass.
    non_ascii: Vec<(Pattern, Atom)>,
    /// Tests that no needle guards.
    others: Vec<(ValueTest, Atom)>,
}

#[derive(Debug, Default)]
struct Needle {
    within: Vec<Atom>,
    guards: Vec<u32>,
    start: Vec<Atom>,
    end: Vec<Atom>,
}

/// A test that runs only if one of its needles is found.
#[derive(Debug)]
struct GuardedTest {
    test: ValueTest,
    atom: Atom,
    /// The needles are valid for ASCII texts only.
    ascii: bool,
}

/// Longer texts are searched line by line.
pub(crate) const LINES_BYTES_MIN: usize = 1_024;

/// Number of hits after which duplicates are removed: a text of a million lines may have the same
/// hits in each.
const DEDUP_HITS: usize = 4_096;

/// Removes duplicates once there are more than `bound` hits, and raises the bound.
fn dedup_beyond(found: &mut Vec<u32>, bound: &mut usize) {
    if found.len() > *bound {
        found.sort_unstable();
        found.dedup();
        *bound = DEDUP_HITS.max(2 * found.len());
    }
}

/// Buffers for the search of one value.
#[derive(Debug, Default)]
pub(crate) struct FieldScratch {
    hits: NeedleHits,
    lower: Vec<u8>,
    guards: Vec<u32>,
    /// For each needle, the number of the search in which it was last found.
    last_found: Vec<u32>,
    search: u32,
    /// Present while the event is measured.
    pub meter: Option<TestMeter>,
}

/// Measures the tests and rules that an event evaluates one by one.
///
/// Tests that all rules share, in one pass over a value, are not measured: they belong to no rule.
#[derive(Debug)]
pub(crate) struct TestMeter {
    stopwatch: Stopwatch,
    /// Nanoseconds of single tests, by atom.
    pub tests: Vec<(Atom, u64)>,
    /// Nanoseconds by instance of the scope.
    pub instances: Vec<(u32, u64)>,
    lap: u64,
}

impl TestMeter {
    pub(crate) fn new(stopwatch: Stopwatch) -> Self {
        Self {
            stopwatch,
            tests: Vec::new(),
            instances: Vec::new(),
            lap: 0,
        }
    }

    /// Begins to measure.
    pub(crate) fn start(&mut self) {
        self.lap = self.stopwatch.read();
    }

    /// The nanoseconds since the last reading.
    pub(crate) fn lap(&mut self) -> u64 {
        let now = self.stopwatch.read();
        now.saturating_sub(std::mem::replace(&mut self.lap, now))
    }
}

impl FieldScratch {
    /// Runs the test of an atom, and measures it if the event is measured.
    fn run_test(&mut self, test: &ValueTest, atom: Atom, value: &Value<'_>) -> bool {
        if let Some(meter) = &mut self.meter {
            meter.start();
        }
        let holds = test.holds_single(value);
        if let Some(meter) = &mut self.meter {
            let nanos = meter.lap();
            meter.tests.push((atom, nanos));
        }
        holds
    }

    fn begin(&mut self, text: &str, needles: usize) {
        self.lower.clear();
        self.lower.extend_from_slice(text.as_bytes());
        self.lower.make_ascii_lowercase();
        if self.last_found.len() < needles {
            self.last_found.resize(needles, 0);
        }
        self.search = self.search.checked_add(1).unwrap_or_else(|| {
            self.last_found.fill(0);
            1
        });
    }

    /// Whether this is the needle's first hit in this search.
    fn is_first(&mut self, needle: usize) -> bool {
        let search = self.search;
        let last = self.last_found.get_mut(needle);
        last.is_some_and(|last| std::mem::replace(last, search) != search)
    }
}

impl FieldMatcher {
    /// Whether no text of this length passes a test.
    pub(crate) fn excludes_length_of(&self, text: &str) -> bool {
        let word = self.lengths.get(text.len() / 64);
        let by_length = word.is_some_and(|word| word >> (text.len() % 64) & 1 == 0);
        by_length
            && self.others.is_empty()
            && (self.non_ascii.is_empty() && self.guarded.is_empty() || text.is_ascii())
    }

    /// Replaces `out` by the atoms that a single value passes, in order, without duplicates.
    pub(crate) fn find(
        &self,
        value: &Value<'_>,
        scratch: &mut FieldScratch,
        lines: &mut LineMemo,
        out: &mut Vec<Atom>,
    ) {
        out.clear();
        let mut find_in = |text: &str| self.find_in_text(text, value, scratch, lines, out);
        match value {
            Value::Text(text) | Value::Number(text) => find_in(text),
            Value::Int(n) => find_in(IntText::new(*n).as_str()),
            Value::Bool(true) => find_in("true"),
            Value::Bool(false) => find_in("false"),
            Value::Null | Value::List(_) => {}
        }
        for (test, atom) in &self.others {
            if scratch.run_test(test, *atom, value) {
                out.push(*atom);
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    fn find_in_text(
        &self,
        text: &str,
        value: &Value<'_>,
        scratch: &mut FieldScratch,
        lines: &mut LineMemo,
        out: &mut Vec<Atom>,
    ) {
        scratch.guards.clear();
        if text.len() <= LINES_BYTES_MIN {
            let mut hits = std::mem::take(&mut scratch.hits);
            self.scan(text, scratch, &mut hits);
            out.extend(hits.within.iter().chain(&hits.start).chain(&hits.end));
            scratch.guards.extend(&hits.guards);
            scratch.hits = hits;
        } else {
            self.find_by_line(text, scratch, lines, out);
        }
        if text.len() <= self.whole_bytes_max {
            let lower = text.to_ascii_lowercase();
            out.extend(self.whole.get(lower.as_bytes()).into_iter().flatten());
        }
        if (!self.non_ascii.is_empty() || !self.guarded.is_empty()) && !text.is_ascii() {
            let lowered = to_lower(text);
            let tests = self.non_ascii.iter();
            let passed = tests.filter(|(pattern, _)| pattern.matches_lowered(text, &lowered));
            out.extend(passed.map(|(_, atom)| *atom));
            let numbered = (0..).zip(&self.guarded);
            let regexes = numbered.filter(|(_, guarded)| guarded.ascii);
            scratch.guards.extend(regexes.map(|(number, _)| number));
        }
        scratch.guards.sort_unstable();
        scratch.guards.dedup();
        let guards = std::mem::take(&mut scratch.guards);
        for number in &guards {
            if let Some(guarded) = self.guarded.get(*number as usize)
                && scratch.run_test(&guarded.test, guarded.atom, value)
            {
                out.push(guarded.atom);
            }
        }
        scratch.guards = guards;
    }

    /// Searches a long text line by line. Most lines repeat, and no needle spans lines.
    fn find_by_line(
        &self,
        text: &str,
        scratch: &mut FieldScratch,
        lines: &mut LineMemo,
        out: &mut Vec<Atom>,
    ) {
        let mut rest = Some(text);
        let mut is_first = true;
        let (mut atoms_bound, mut guards_bound) = (DEDUP_HITS, DEDUP_HITS);
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
            let hits = lines.get_or_scan(line, |hits| self.scan(line, scratch, hits));
            out.extend(&hits.within);
            if is_first {
                out.extend(&hits.start);
            }
            if rest.is_none() {
                out.extend(&hits.end);
            }
            scratch.guards.extend(&hits.guards);
            dedup_beyond(out, &mut atoms_bound);
            dedup_beyond(&mut scratch.guards, &mut guards_bound);
            is_first = false;
        }
    }

    /// Replaces `hits` by the needles in a stretch of text.
    fn scan(&self, text: &str, scratch: &mut FieldScratch, hits: &mut NeedleHits) {
        hits.clear();
        let Some(automaton) = &self.automaton else {
            return;
        };
        scratch.begin(text, self.needles.len());
        let lower = std::mem::take(&mut scratch.lower);
        for hit in automaton.find_overlapping_iter(&lower) {
            let at = hit.pattern().as_usize();
            let Some(needle) = self.needles.get(at) else {
                continue; // Unreachable: the patterns are the needles.
            };
            if scratch.is_first(at) {
                hits.within.extend(&needle.within);
                hits.guards.extend(&needle.guards);
            }
            if hit.start() == 0 {
                hits.start.extend(&needle.start);
            }
            if hit.end() == lower.len() {
                hits.end.extend(&needle.end);
            }
        }
        scratch.lower = lower;
    }
}
