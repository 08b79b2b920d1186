//! Splits `{"Records": [...]}`, the format of AWS CloudTrail files, into one frame per record.
//!
//! A frame is the unchanged bytes of a record. Files, request bodies and agents split alike, so an
//! event has the same identity however it arrives.

use std::io::{self, BufRead, ErrorKind};

/// The tokens at the start of a document of records, with optional whitespace between them.
const PREFIX: [&[u8]; 4] = [b"{", b"\"Records\"", b":", b"["];

/// Most bytes of the prefix with its whitespace; real documents have far fewer.
const PREFIX_BYTES_MAX: usize = 256;

/// Reads the records of one or more documents at the start of an input.
#[derive(Debug, Default)]
pub struct RecordsReader {
    state: State,
    /// Open brackets around the current byte, within a record or after the list.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
    /// Bytes taken from the input that may be a document's prefix.
    unmatched: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A document may begin.
    #[default]
    Start,
    /// Between records.
    Between,
    Record,
    /// After the list, up to the end of the document.
    Tail,
    /// The rest of the input is no document of records.
    Done,
}

enum PrefixMatch {
    /// The prefix is complete and has this many bytes.
    Complete(usize),
    /// More bytes may complete it.
    Partial,
    None,
}

impl RecordsReader {
    /// Reads the next record into `record`, unchanged but cut at `bytes_max` bytes.
    ///
    /// Returns whether the record was cut. `None`: no document continues or begins here. The caller
    /// then reads the bytes of [`RecordsReader::take_unmatched`], followed by the rest of the
    /// input, as lines. At the end of input an incomplete record is returned as far as it goes.
    pub fn read(
        &mut self,
        input: &mut impl BufRead,
        record: &mut Vec<u8>,
        bytes_max: usize,
    ) -> io::Result<Option<bool>> {
        record.clear();
        let mut cut = false;
        loop {
            if self.state == State::Start && !self.read_prefix(input)? {
                self.state = State::Done;
            }
            if self.state == State::Done {
                return Ok(None);
            }
            let chunk = match input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                let last = std::mem::replace(&mut self.state, State::Done);
                return Ok((last == State::Record).then_some(cut));
            }
            let (mut used, mut is_complete) = (0, false);
            for byte in chunk {
                let step = self.step(*byte);
                used += 1;
                if step.in_record && record.len() < bytes_max {
                    record.push(*byte);
                } else {
                    cut |= step.in_record;
                }
                is_complete = step.ends_record;
                if is_complete || self.state == State::Start {
                    break;
                }
            }
            input.consume(used);
            if is_complete {
                while record.last().is_some_and(u8::is_ascii_whitespace) {
                    record.pop();
                }
                return Ok(Some(cut));
            }
        }
    }

    /// Takes the bytes that looked like a document's prefix but are none. They precede the rest of
    /// the input.
    pub fn take_unmatched(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unmatched)
    }

    /// Consumes a document's prefix; false if the input does not start with one.
    fn read_prefix(&mut self, input: &mut impl BufRead) -> io::Result<bool> {
        loop {
            let chunk = match input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let before = self.unmatched.len();
            let wanted = PREFIX_BYTES_MAX.saturating_sub(before).min(chunk.len());
            let (start, _) = chunk.split_at(wanted);
            self.unmatched.extend_from_slice(start);
            match match_prefix(&self.unmatched) {
                PrefixMatch::Complete(length) => {
                    input.consume(length.saturating_sub(before));
                    self.unmatched.clear();
                    self.state = State::Between;
                    self.depth = 0;
                    return Ok(true);
                }
                PrefixMatch::Partial if !start.is_empty() => input.consume(wanted),
                PrefixMatch::Partial | PrefixMatch::None => {
                    // The bytes of this chunk were not consumed.
                    self.unmatched.truncate(before);
                    return Ok(false);
                }
            }
        }
    }

    /// Advances by one byte.
    fn step(&mut self, byte: u8) -> ByteStep {
        let outside = ByteStep {
            in_record: false,
            ends_record: false,
        };
        let end = ByteStep {
            in_record: false,
            ends_record: true,
        };
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return ByteStep {
                in_record: self.state == State::Record,
                ends_record: false,
            };
        }
        match (self.state, byte) {
            (State::Between, b',' | b' ' | b'\t' | b'\n' | b'\r') => return outside,
            (State::Between, b']') => {
                self.state = State::Tail;
                return outside;
            }
            (State::Between, _) => self.state = State::Record,
            (State::Record, b',') if self.depth == 0 => {
                self.state = State::Between;
                return end;
            }
            (State::Record, b']') if self.depth == 0 => {
                self.state = State::Tail;
                return end;
            }
            (State::Tail, b'}') if self.depth == 0 => {
                self.state = State::Start;
                return outside;
            }
            _ => {}
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        ByteStep {
            in_record: self.state == State::Record,
            ends_record: false,
        }
    }
}

/// The place of one byte in a document.
struct ByteStep {
    in_record: bool,
    /// A comma or bracket of the list, which ends the record before it.
    ends_record: bool,
}

fn match_prefix(bytes: &[u8]) -> PrefixMatch {
    let mut rest = bytes;
    for token in PREFIX {
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(token) {
            Some(after) => rest = after,
            None if token.starts_with(rest) => return PrefixMatch::Partial,
            None => return PrefixMatch::None,
        }
    }
    PrefixMatch::Complete(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::RecordsReader;

    /// The records of an input that arrives in reads of `read_bytes`, and the rest of the input.
    fn split(text: &str, read_bytes: usize) -> (Vec<String>, String) {
        let mut input = BufReader::with_capacity(read_bytes, text.as_bytes());
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
    fn split_documents_into_records() {
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
            for read_bytes in [1, 2, 7, 64, 4096] {
                let (all, rest) = split(text, read_bytes);
                assert_eq!(all, *records, "{text:?} in reads of {read_bytes}");
                assert_eq!(rest, *left, "{text:?} in reads of {read_bytes}");
            }
        }
    }
}
