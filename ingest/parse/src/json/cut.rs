//! Objects whose middle was left out: the members of the head are read, and those of the tail from the
//! first one whose start is sure.
//!
//! ```text
//!  {"a":1,"b":{"c":"xxxxxx[weir left out 1234 bytes]xxxxxx","d":2},"e":3}
//!  └ head ───────────────┘                         └ tail ─┬────────────┘
//!    c holds the text that is there                        reading resumes: b.d, e
//! ```
//!
//! The brackets that the tail closes and does not open say at which level it resumes.

use super::repair::string_len;
use super::{JsonError, JsonReader, JsonResult};

/// Longest name of the member at which the reading resumes. Longer names are text.
const NAME_BYTES_MAX: usize = 64;

/// The part of a text behind the bytes that were left out.
#[derive(Default)]
pub(super) struct Cut<'a> {
    tail: Option<&'a str>,
    /// The depth of the object in which the reading resumes, once the head is at its end.
    depth: Option<usize>,
    /// Number of objects around this place whose members have no names of their own.
    pub unnamed: usize,
}

impl<'a> JsonReader<'a> {
    /// Creates a reader of an object without its middle.
    pub fn of_parts(head: &'a str, tail: &'a str) -> Self {
        let mut reader = Self::new(head);
        reader.cut.tail = Some(tail);
        reader
    }

    /// Continues behind the cut if the head ended, and if the tail continues in the object of this
    /// depth. Otherwise returns the error.
    #[cold]
    pub(super) fn resume_behind_cut(&mut self, depth: usize, error: JsonError) -> JsonResult<()> {
        if self.cut.unnamed > 0 {
            return Err(error);
        }
        if self.at >= self.text.len()
            && let Some(tail) = self.cut.tail.take()
            && let Some((at, levels)) = place_to_resume(tail, depth)
        {
            (self.text, self.at) = (tail, at);
            self.cut.depth = Some(levels);
        }
        if self.cut.depth != Some(depth) {
            return Err(error);
        }
        self.cut.depth = None;
        self.depth = depth;
        Ok(())
    }
}

/// Returns where the tail continues an object, and the depth of that object, at most `depth`.
fn place_to_resume(tail: &str, depth: usize) -> Option<(usize, usize)> {
    let bytes = tail.as_bytes();
    let first = first_member(bytes)?;
    let closed = closed_levels(bytes, first);
    let levels = closed.len();
    // Nothing says what the levels are called that began in the gap: go on behind them.
    let unknown = levels.saturating_sub(depth);
    let at = match unknown.checked_sub(1) {
        None => first,
        Some(last) => {
            let rest = bytes.get(*closed.get(last)?..)?;
            let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
            let next = tail.len() - rest.len() + space.count();
            next + usize::from(bytes.get(next) == Some(&b','))
        }
    };
    (levels > 0).then_some((at, levels - unknown))
}

/// Returns the start of the first name behind a comma. `,"name":` is in no string, where a quote would
/// be escaped.
fn first_member(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b',', bytes).find_map(|comma| {
        let rest = bytes.get(comma + 1..)?.trim_ascii_start();
        let name = rest.strip_prefix(b"\"")?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.@#$/ ".contains(byte);
        let length = name
            .iter()
            .take(NAME_BYTES_MAX)
            .take_while(|byte| is_name(byte));
        let length = length.count();
        let after = name.get(length..)?.strip_prefix(b"\"")?.trim_ascii_start();
        (length > 0 && after.starts_with(b":")).then_some(bytes.len() - rest.len())
    })
}

/// Returns the places behind the brackets that close a level open at `from`.
fn closed_levels(bytes: &[u8], from: usize) -> Vec<usize> {
    let (mut at, mut open, mut closed) = (from, 0_usize, Vec::new());
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' if open > 0 => open -= 1,
            b'}' | b']' => closed.push(at),
            b'"' => at += string_len(bytes.get(at..).unwrap_or_default()),
            _ => {}
        }
    }
    closed
}
