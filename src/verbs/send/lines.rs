//! Reads the lines that `weir send` sends, and cuts those that are too long.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result};
use weir_schema::{FrameBuffer, RecordsReader, ZeekLog};

/// Longest line; longer ones keep head and tail, and are reported. An event of the protocol has at most 1 MiB.
pub const LINE_BYTES_MAX: usize = 512 << 10;

/// Longest text that is sent: a line with the header of a Zeek log before it. With what the
/// protocol adds, it is below the 1 MiB of an event.
const TEXT_BYTES_MAX: usize = LINE_BYTES_MAX + weir_schema::ZEEK_HEADER_BYTES_MAX;

/// Most lines that are read before they are sent.
const LINES_READ_MAX: usize = 1_000;

/// Counts of lines that were changed before they were sent.
#[derive(Default)]
pub struct ChangedLines {
    pub cut: u64,
    pub not_utf8: u64,
}

/// A line without its line end. A line of a Zeek log has the log's header before it.
#[derive(Debug, PartialEq, Eq)]
pub struct SendLine {
    bytes: Vec<u8>,
    cut: bool,
}

impl SendLine {
    /// The line as UTF-8 text, no longer than the protocol allows. Counts what that changes.
    pub fn text(&self, changed: &mut ChangedLines) -> Cow<'_, str> {
        let mut text = String::from_utf8_lossy(&self.bytes);
        changed.not_utf8 += u64::from(matches!(text, Cow::Owned(_)));
        // U+FFFD may be longer than the bytes it replaces.
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        changed.cut += u64::from(self.cut || end < text.len());
        if end < text.len() {
            text.to_mut().truncate(end);
        }
        text
    }
}

/// The lines of one input.
pub struct SendInput {
    pub name: String,
    input: BufReader<Box<dyn Read + Send>>,
    records: RecordsReader,
    zeek: ZeekLog,
}

impl SendInput {
    /// Opens a file; `-` is standard input.
    pub fn open(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let input: Box<dyn Read + Send> = if name == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(file).with_context(|| format!("cannot read {name}"))?)
        };
        Ok(Self::new(&name, input))
    }

    pub(super) fn new(name: &str, input: Box<dyn Read + Send>) -> Self {
        Self {
            name: name.into(),
            input: BufReader::with_capacity(256 << 10, input),
            records: RecordsReader::default(),
            zeek: ZeekLog::default(),
        }
    }

    /// Waits for one line, and reads all that are buffered after it. Empty at the end of the input.
    ///
    /// Skips blank lines. The header of a Zeek log becomes a prefix of the log's lines.
    pub fn next_lines(&mut self) -> std::io::Result<Vec<SendLine>> {
        let mut lines = Vec::new();
        while lines.is_empty()
            || (lines.len() < LINES_READ_MAX && self.input.buffer().contains(&b'\n'))
        {
            let Some(mut line) = self.line()? else {
                break;
            };
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            if let Some(prefix) = self.zeek.prefix(&line.bytes) {
                line.bytes.splice(..0, prefix.iter().copied());
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// Reads a line, or a record of a document of records.
    fn line(&mut self) -> std::io::Result<Option<SendLine>> {
        let mut bytes = Vec::new();
        let record = self
            .records
            .read(&mut self.input, &mut bytes, LINE_BYTES_MAX)?;
        if let Some(cut) = record {
            return Ok(Some(SendLine { bytes, cut }));
        }
        let unmatched = self.records.take_unmatched();
        if !unmatched.is_empty() {
            let nothing: Box<dyn Read + Send> = Box::new(std::io::empty());
            let rest = std::mem::replace(&mut self.input, BufReader::new(nothing));
            self.input = BufReader::new(Box::new(std::io::Cursor::new(unmatched).chain(rest)));
        }
        self.whole_line()
    }

    /// Reads a line; of one that is too long, head and tail.
    fn whole_line(&mut self) -> std::io::Result<Option<SendLine>> {
        let mut buffer = FrameBuffer::new(LINE_BYTES_MAX);
        let mut any = false;
        loop {
            let read = match self.input.fill_buf() {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', read);
            buffer.push(&read[..end.unwrap_or(read.len())]);
            let used = end.map_or(read.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        buffer.strip_last(b'\r');
        let mut bytes = Vec::new();
        let left_out = buffer.finish(|line| bytes.extend_from_slice(line));
        let cut = left_out > 0;
        Ok(any.then_some(SendLine { bytes, cut }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_records_is_split_into_records() {
        for (text, expected) in [
            ("{\"Records\":[{\"a\":\n1} ,2]}", vec!["{\"a\":\n1}", "2"]),
            ("{\n\"Records\":5}\nb", vec!["{", "\"Records\":5}", "b"]),
        ] {
            let mut lines = SendInput::new("test", Box::new(text.as_bytes()));
            let mut read = Vec::new();
            loop {
                let next = lines.next_lines().expect("memory can be read");
                if next.is_empty() {
                    break;
                }
                let texts = next.into_iter().map(|line| String::from_utf8(line.bytes));
                read.extend(texts.map(|text| text.expect("the input is text")));
            }
            assert_eq!(read, expected);
        }
    }

    /// W24: of a line that is too long, the tail is sent, too.
    #[test]
    fn lines_are_cut_at_the_limit_and_at_their_ends() {
        let mut text = b"one\r\n\ntwo\n".to_vec();
        text.extend(vec![b'x'; LINE_BYTES_MAX]);
        text.push(b'\n');
        text.extend(vec![b'y'; LINE_BYTES_MAX + 300_000]);
        text.extend(b"the tail\nlast");
        let mut lines = SendInput::new("test", Box::new(std::io::Cursor::new(text)));
        let mut read = Vec::new();
        loop {
            let next = lines.next_lines().expect("memory can be read");
            if next.is_empty() {
                break;
            }
            for line in next {
                assert!(!line.cut || line.bytes.ends_with(b"the tail"));
                assert!(!line.cut || line.bytes.len() > LINE_BYTES_MAX - 64);
                let length = if line.cut {
                    LINE_BYTES_MAX
                } else {
                    line.bytes.len()
                };
                read.push((length, line.cut));
            }
        }
        let max = LINE_BYTES_MAX;
        assert_eq!(
            read,
            [
                (3, false),
                (3, false),
                (max, false),
                (max, true),
                (4, false)
            ]
        );
    }

    #[test]
    fn a_line_that_grows_as_text_is_cut_at_the_protocols_limit() {
        for (bytes, length, cut) in [
            (b"a\xff".to_vec(), 4, 0),
            (vec![0xff; LINE_BYTES_MAX], TEXT_BYTES_MAX / 3 * 3, 1),
        ] {
            let (line, mut changed) = (SendLine { bytes, cut: false }, ChangedLines::default());
            assert_eq!(line.text(&mut changed).len(), length);
            assert_eq!((changed.cut, changed.not_utf8), (cut, 1));
        }
    }

    #[test]
    fn lines_of_a_zeek_log_carry_its_header() {
        let log = b"#separator \\x09\n#path\tx\n#fields\ta\n1\n2\n#close\tnow\n";
        let mut lines = SendInput::new("test", Box::new(std::io::Cursor::new(log.to_vec())));
        let read = lines.next_lines().expect("memory can be read");
        let read: Vec<_> = read.into_iter().map(|line| line.bytes).collect();
        assert_eq!(
            read,
            ["#path\tx\n#fields\ta\n1", "#path\tx\n#fields\ta\n2"].map(str::as_bytes)
        );
    }
}
