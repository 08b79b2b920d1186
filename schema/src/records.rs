//! Cuts `{"Records": [...]}`, as AWS delivers CloudTrail's files, into frames of one record each.
//!
//! A frame is a record's bytes as they stand: files, bodies and agents cut alike, so that an event
//! has one identity whichever way it came.

use std::io::{self, BufRead, ErrorKind};

/// What a document of records begins with, whatever space is between.
const BEGINNING: [&[u8]; 4] = [b"{", b"\"Records\"", b":", b"["];

/// Space before or in the beginning beyond which it is none: documents are not indented so far.
const BEGINNING_BYTES_MAX: usize = 256;

/// Reads the records of an input that begins with a document of them, and of further such documents
/// after it.
#[derive(Debug, Default)]
pub struct RecordsReader {
    state: State,
    /// Brackets open around the place.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
    /// Bytes that were read and are no beginning after all.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A document may begin.
    #[default]
    Start,
    /// Between records.
    Between,
    Record,
    /// Behind the list, up to the end of the document.
    Behind,
    /// What comes is no document of records.
    Over,
}

enum Beginning {
    /// So many bytes are one.
    Whole(usize),
    /// It may become one.
    Part,
    None,
}

impl RecordsReader {
    /// Reads the next record into `record`, as it stands; what is longer than `most` bytes is cut,
    /// and `true` says so. `None` where no document of records goes on or begins: what is left of
    /// the input then is lines, after the bytes of [`Records::take_held`].
    ///
    /// A record that the end of input cuts off is given as far as it goes.
    pub fn read(
        &mut self,
        input: &mut impl BufRead,
        record: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<Option<bool>> {
        record.clear();
        let mut cut = false;
        loop {
            if self.state == State::Start && !self.begin(input)? {
                self.state = State::Over;
            }
            if self.state == State::Over {
                return Ok(None);
            }
            let some = match input.fill_buf() {
                Ok(some) => some,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if some.is_empty() {
                let was = std::mem::replace(&mut self.state, State::Over);
                return Ok((was == State::Record).then_some(cut));
            }
            let (mut used, mut is_whole) = (0, false);
            for byte in some {
                // The mark after a number, word or record belongs to the list.
                let (taken, ended) = self.step(*byte);
                used += 1;
                if taken && record.len() < most {
                    record.push(*byte);
                } else {
                    cut |= taken;
                }
                is_whole = ended;
                if ended || self.state == State::Start {
                    break;
                }
            }
            input.consume(used);
            if is_whole {
                while record.last().is_some_and(u8::is_ascii_whitespace) {
                    record.pop();
                }
                return Ok(Some(cut));
            }
        }
    }

    /// What was read to see whether a document begins, and was none: it comes before what is left.
    pub fn take_unmatched(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Reads over a document's beginning, if one is there.
    fn begin(&mut self, input: &mut impl BufRead) -> io::Result<bool> {
        loop {
            let some = match input.fill_buf() {
                Ok(some) => some,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let before = self.held.len();
            let room = BEGINNING_BYTES_MAX.saturating_sub(before).min(some.len());
            let (seen, _) = some.split_at(room);
            self.held.extend_from_slice(seen);
            match beginning(&self.held) {
                Beginning::Whole(length) => {
                    input.consume(length.saturating_sub(before));
                    self.held.clear();
                    self.state = State::Between;
                    self.depth = 0;
                    return Ok(true);
                }
                Beginning::Part if !seen.is_empty() => input.consume(room),
                Beginning::Part | Beginning::None => {
                    // What this look added was not taken from the input.
                    self.held.truncate(before);
                    return Ok(false);
                }
            }
        }
    }

    /// Goes over a byte: whether it is of a record, and whether a record ends with it or before it.
    fn step(&mut self, byte: u8) -> (bool, bool) {
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return (self.state == State::Record, false);
        }
        match (self.state, byte) {
            (State::Between, b',' | b' ' | b'\t' | b'\n' | b'\r') => return (false, false),
            (State::Between, b']') => {
                self.state = State::Behind;
                return (false, false);
            }
            (State::Between, _) => self.state = State::Record,
            (State::Record, b',') if self.depth == 0 => {
                self.state = State::Between;
                return (false, true);
            }
            (State::Record, b']') if self.depth == 0 => {
                self.state = State::Behind;
                return (false, true);
            }
            (State::Behind, b'}') if self.depth == 0 => {
                self.state = State::Start;
                return (false, false);
            }
            _ => {}
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        (self.state == State::Record, false)
    }
}

fn beginning(bytes: &[u8]) -> Beginning {
    let mut rest = bytes;
    for part in BEGINNING {
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(part) {
            Some(after) => rest = after,
            None if part.starts_with(rest) => return Beginning::Part,
            None => return Beginning::None,
        }
    }
    Beginning::Whole(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::RecordsReader;

    /// The records, and what is left, of an input that comes in reads of so many bytes.
    fn cut(text: &str, reads: usize) -> (Vec<String>, String) {
        let mut input = BufReader::with_capacity(reads, text.as_bytes());
        let mut records = RecordsReader::default();
        let (mut record, mut all) = (Vec::new(), Vec::new());
        while let Some(cut) = records.read(&mut input, &mut record, 30).unwrap() {
            let text = String::from_utf8_lossy(&record);
            all.push(format!("{text}{}", if cut { "..." } else { "" }));
        }
        let mut left = String::from_utf8(records.take_unmatched()).unwrap();
        input.read_to_string(&mut left).unwrap();
        assert!(input.fill_buf().unwrap().is_empty());
        (all, left)
    }

    #[test]
    fn documents_are_cut_into_their_records() {
        let none: &[&str] = &[];
        let table: &[(&str, &[&str], &str)] = &[
            ("", none, ""),
            ("{\"Records\":[]}", none, ""),
            ("{\"Records\":[{}]}\n", &["{}"], "\n"),
            (
                " {\n \"Records\" : [\n {\"a\": [1, {}]} ,\n{\"b\":\"]},\\\"\"}\n ]\n}",
                &["{\"a\": [1, {}]}", "{\"b\":\"]},\\\"\"}"],
                "",
            ),
            (
                "{\"Records\":[1 ,\"a,b\",[2]],\"x\":{\"y\":[\"}\"]}}",
                &["1", "\"a,b\"", "[2]"],
                "",
            ),
            (
                "{\"Records\":[{\"a\":1}]}\n{\"Records\":[2]}",
                &["{\"a\":1}", "2"],
                "",
            ),
            (
                "{\"Records\":[{\"a\":1}]}\n{\"b\":2}\n",
                &["{\"a\":1}"],
                "\n{\"b\":2}\n",
            ),
            ("{\"Records\":[{\"a\":1", &["{\"a\":1"], ""),
            ("{\"Records\":[{\"a\":1},", &["{\"a\":1}"], ""),
            (
                "{\"Records\":[{\"long\":\"0123456789012345678901234567890\"},{}]}",
                &["{\"long\":\"012345678901234567890...", "{}"],
                "",
            ),
            ("{\n  \"Records\": 5}\n", none, "{\n  \"Records\": 5}\n"),
            ("{\"Record\":[1]}", none, "{\"Record\":[1]}"),
            ("{\"Records\"", none, "{\"Records\""),
            ("<13>line\nline", none, "<13>line\nline"),
        ];
        for (text, records, left) in table {
            for reads in [1, 2, 7, 64, 4096] {
                let (all, rest) = cut(text, reads);
                assert_eq!(all, *records, "{text:?} in reads of {reads}");
                assert_eq!(rest, *left, "{text:?} in reads of {reads}");
            }
        }
    }
}
