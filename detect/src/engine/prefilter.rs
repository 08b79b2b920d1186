//! A quick search of a whole event for keywords, before each value is searched.

use aho_corasick::AhoCorasick;
use aho_corasick::packed::{Config, MatchKind, Searcher};
use weir_schema::{Event, Value};

use crate::sigma::number::IntText;

/// The separator between two values. No needle contains it, since none spans lines.
const SEPARATOR: u8 = b'\n';

/// Finds events none of whose values contains a needle.
#[derive(Debug)]
pub(crate) struct Prefilter {
    search: Search,
    /// The needles are valid for ASCII text only. Other texts always pass.
    ascii: bool,
    /// Whether an integer can contain a needle.
    numbers: bool,
    text: Vec<u8>,
}

#[derive(Debug)]
enum Search {
    /// SIMD searches, [`PACKED_NEEDLES`] needles each, on processors that support them.
    Packed(Vec<Searcher>),
    Automaton(AhoCorasick),
}

/// Number of needles of one packed search. With more it has too many false candidates.
const PACKED_NEEDLES: usize = 64;

/// Maximum number of packed searches. More of them take longer than one automaton.
const PACKED_MAX: usize = 4;

fn packed(needles: &[Vec<u8>]) -> Option<Vec<Searcher>> {
    if needles.len() > PACKED_NEEDLES * PACKED_MAX {
        return None;
    }
    let mut sorted: Vec<&Vec<u8>> = needles.iter().collect();
    // Needles with a common prefix share a search.
    sorted.sort();
    let parts = sorted.chunks(PACKED_NEEDLES);
    let searcher = |part: &[&Vec<u8>]| {
        let mut config = Config::new();
        let mut builder = config.match_kind(MatchKind::LeftmostFirst).builder();
        builder.extend(part).build()
    };
    parts.map(searcher).collect()
}

impl Prefilter {
    /// `needles` are in ASCII lower case and span no lines. `ascii`: they are valid for ASCII only.
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

    /// Whether a value, or the message, may contain a needle.
    pub(crate) fn passes(&mut self, event: &Event<'_>) -> bool {
        self.text.clear();
        for (_, value) in &event.fields {
            append_texts(value, self.numbers, &mut self.text);
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

/// Appends the texts of a value. The reader of events limits the depth of lists.
fn append_texts(value: &Value<'_>, numbers: bool, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) | Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::Int(n) if numbers => out.extend_from_slice(IntText::new(*n).as_str().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::List(values) => {
            values
                .iter()
                .for_each(|value| append_texts(value, numbers, out));
        }
        Value::Int(_) | Value::Null => return,
    }
    out.push(SEPARATOR);
}
