//! One quick look at all values of an event, before keywords are searched for in each of them.

use aho_corasick::AhoCorasick;
use aho_corasick::packed::{Config, MatchKind, Searcher};
use weir_schema::{Event, Value};

use crate::number::IntText;

/// Between two values; no needle holds it, since none spans lines.
const BETWEEN: u8 = b'\n';

/// Tells of an event that no value of it holds a needle.
#[derive(Debug)]
pub(crate) struct Sieve {
    search: Search,
    /// Texts with letters beyond ASCII pass, whatever they hold.
    ascii: bool,
    /// A whole number may hold a needle.
    numbers: bool,
    text: Vec<u8>,
}

#[derive(Debug)]
enum Search {
    /// Compares many bytes at once, for so many needles each; on processors that can.
    Packed(Vec<Searcher>),
    Automaton(AhoCorasick),
}

/// So many needles one packed search takes without looking twice too often.
const PACKED_NEEDLES: usize = 64;

/// More packed searches one behind the other take longer than one automaton.
const PACKED_MAX: usize = 4;

fn packed(needles: &[Vec<u8>]) -> Option<Vec<Searcher>> {
    if needles.len() > PACKED_NEEDLES * PACKED_MAX {
        return None;
    }
    let mut sorted: Vec<&Vec<u8>> = needles.iter().collect();
    // Those that begin alike are told apart by the same look.
    sorted.sort();
    let parts = sorted.chunks(PACKED_NEEDLES);
    let searcher = |part: &[&Vec<u8>]| {
        let mut config = Config::new();
        let mut builder = config.match_kind(MatchKind::LeftmostFirst).builder();
        builder.extend(part).build()
    };
    parts.map(searcher).collect()
}

impl Sieve {
    /// `needles` are in ASCII lower case and span no lines. `ascii`: they speak for ASCII alone.
    pub(crate) fn new(needles: &[Vec<u8>], ascii: bool) -> Option<Self> {
        let search = match packed(needles) {
            Some(searchers) => Search::Packed(searchers),
            None => Search::Automaton(AhoCorasick::new(needles).ok()?),
        };
        let in_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
        Some(Self {
            search,
            ascii,
            numbers: needles.iter().any(|needle| needle.iter().all(in_number)),
            text: Vec::new(),
        })
    }

    /// Whether some value, or the message, may hold a needle.
    pub(crate) fn passes(&mut self, event: &Event<'_>) -> bool {
        self.text.clear();
        for (_, value) in &event.fields {
            gather(value, self.numbers, &mut self.text);
        }
        self.text.extend_from_slice(event.message.as_bytes());
        if self.ascii && !self.text.is_ascii() {
            return true;
        }
        self.text.make_ascii_lowercase();
        match &self.search {
            Search::Packed(searchers) => {
                let mut searchers = searchers.iter();
                searchers.any(|searcher| searcher.find(&self.text).is_some())
            }
            Search::Automaton(automaton) => automaton.is_match(&self.text),
        }
    }
}

/// As deep as the reader of events lets lists be.
fn gather(value: &Value<'_>, numbers: bool, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) | Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::Int(n) if numbers => out.extend_from_slice(IntText::new(*n).as_str().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::List(values) => {
            values.iter().for_each(|value| gather(value, numbers, out));
        }
        Value::Int(_) | Value::Null => return,
    }
    out.push(BETWEEN);
}
