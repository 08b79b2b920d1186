//! Reads input files: unpacks them, and splits them into lines, records or log entries.
//!
//! It needs bounded memory, however long a file or a line is.

mod entries;
#[doc(hidden)]
pub mod fuzz;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_schema::{FrameBuffer, RecordsReader, ZeekLog};

use crate::exit::ExitError;
use entries::{EntryFormat, LogEntries, NextEntry};

/// Longest line; longer ones are cut and reported. The journal has the same limit over HTTP.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Number of bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// The name that stands for standard input.
pub const STDIN: &str = "-";

/// Checks that a file exists, before hours are spent on the files before it.
///
/// It does not open the file, since a pipe can be opened only once.
pub fn check_exists(file: &Path) -> Result<()> {
    if file.as_os_str() == STDIN {
        return Ok(());
    }
    let metadata = std::fs::metadata(file);
    let metadata = metadata.with_context(|| format!("cannot read {}", file.display()))?;
    if metadata.is_dir() {
        let folder = io::Error::from(io::ErrorKind::IsADirectory);
        let message = format!("cannot read {}; name the files in it", file.display());
        return Err(folder).context(message);
    }
    Ok(())
}

/// The lines of a file.
pub struct InputLines {
    name: String,
    input: BufReader<Box<dyn Read>>,
    records: RecordsReader,
    zeek: ZeekLog,
    /// The entries of a file that has no lines.
    entries: Option<LogEntries>,
    /// The part that could not be read, since the last `take_unreadable`.
    unreadable: Option<String>,
    /// The number of the last line that was read, from 1.
    number: u64,
}

/// A line without its line end. A line of a Zeek log has the log's header before it.
pub struct InputLine<'l> {
    pub number: u64,
    pub bytes: &'l [u8],
    /// Whether it was longer than [`LINE_BYTES_MAX`].
    pub cut: bool,
}

impl InputLines {
    /// Opens a file, and unpacks it if its name ends in `.gz` or `.zst`; `-` is standard input.
    pub fn open(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let unreadable = || format!("cannot read {name}");
        let (opened, seekable) = unpacked(file).with_context(unreadable)?;
        let mut lines = Self::new(&name, opened);
        let format = EntryFormat::of(&mut lines.input).map_err(|error| lines.failed(error))?;
        if let Some(format) = format {
            let nothing: Box<dyn Read> = Box::new(io::empty());
            let input = std::mem::replace(&mut lines.input, BufReader::new(nothing));
            // A seekable file is opened a second time, from its start.
            let again = if seekable {
                Some(File::open(file).with_context(unreadable)?)
            } else {
                None
            };
            let entries = LogEntries::open(format, again, Box::new(input));
            lines.entries = Some(entries.map_err(|error| lines.failed(error))?);
        }
        Ok(lines)
    }

    fn new(name: &str, opened: Box<dyn Read>) -> Self {
        Self {
            name: name.into(),
            input: BufReader::with_capacity(READ_BYTES, opened),
            records: RecordsReader::default(),
            zeek: ZeekLog::default(),
            entries: None,
            unreadable: None,
            number: 0,
        }
    }

    /// Reads the next line or record into `buffer`; `None` at the end, or at an unreadable part.
    ///
    /// Skips blank lines and the headers of Zeek logs.
    pub fn next<'l>(&mut self, buffer: &'l mut Vec<u8>) -> Result<Option<InputLine<'l>>> {
        loop {
            let cut = match self.read(buffer) {
                Ok(Some(cut)) => cut,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.failed(error)),
            };
            self.number += 1;
            if buffer.trim_ascii().is_empty() {
                continue;
            }
            let Some(prefix) = self.zeek.prefix(buffer) else {
                continue;
            };
            buffer.splice(..0, prefix.iter().copied());
            break Ok(Some(InputLine {
                number: self.number,
                bytes: buffer,
                cut,
            }));
        }
    }

    /// Whether the file has log entries, which are returned as JSON, instead of lines.
    pub fn is_json(&self) -> bool {
        self.entries.is_some()
    }

    /// The unreadable part at which `next` stopped; reading continues after it.
    pub fn take_unreadable(&mut self) -> Option<String> {
        self.unreadable.take()
    }

    /// Reads the next entry. Returns whether it was cut; `None` at the end, or at an unreadable
    /// part.
    fn entry(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let next = self
            .entries
            .as_mut()
            .map_or(Ok(NextEntry::End), LogEntries::next)?;
        match next {
            NextEntry::End => Ok(None),
            NextEntry::Entry(entry) => {
                *buffer = entry;
                let cut = buffer.len() > LINE_BYTES_MAX;
                buffer.truncate(LINE_BYTES_MAX);
                Ok(Some(cut))
            }
            NextEntry::Unreadable(part) => {
                self.unreadable = Some(format!("{part} of {}", self.name));
                Ok(None)
            }
        }
    }

    /// Reads a line, or a record of a document of records. Returns whether it was cut; `None` at
    /// the end.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        if self.entries.is_some() {
            return self.entry(buffer);
        }
        if let Some(cut) = self.records.read(&mut self.input, buffer, LINE_BYTES_MAX)? {
            return Ok(Some(cut));
        }
        let unmatched = self.records.take_unmatched();
        if !unmatched.is_empty() {
            let nothing: Box<dyn Read> = Box::new(io::empty());
            let rest = std::mem::replace(&mut self.input, BufReader::new(nothing));
            self.input = BufReader::new(Box::new(io::Cursor::new(unmatched).chain(rest)));
        }
        read_line(&mut self.input, buffer, LINE_BYTES_MAX)
    }

    /// The error of a read. One without a system code is of the unpacker: the file is damaged.
    fn failed(&self, error: io::Error) -> anyhow::Error {
        let place = format!("after line {} of {}", self.number, self.name);
        if error.raw_os_error().is_none() {
            ExitError::BadData(format!("cannot unpack the input {place}: {error}")).into()
        } else {
            anyhow::Error::new(error).context(format!("cannot read on {place}"))
        }
    }
}

/// Opens a file, unpacked. Also returns whether the file is seekable.
fn unpacked(file: &Path) -> io::Result<(Box<dyn Read>, bool)> {
    if file.as_os_str() == STDIN {
        return Ok((Box::new(io::stdin()), false));
    }
    let opened = File::open(file)?;
    let is_file = opened.metadata()?.is_file();
    let ending = file.extension().unwrap_or_default();
    Ok(if ending.eq_ignore_ascii_case("gz") {
        (Box::new(flate2::read::MultiGzDecoder::new(opened)), false)
    } else if ending.eq_ignore_ascii_case("zst") {
        (Box::new(zstd::stream::read::Decoder::new(opened)?), false)
    } else {
        (Box::new(opened), is_file)
    })
}

/// Reads a line without its LF and the CR before it. Of a line of more than `most` bytes, it keeps
/// head and tail.
///
/// Returns whether the line was cut; `None` at the end of input.
fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    most: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let mut any = false;
    let mut buffer = FrameBuffer::new(most);
    let ended = loop {
        let read = match input.fill_buf() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read.is_empty() {
            break false;
        }
        any = true;
        let end = memchr::memchr(b'\n', read);
        let part = &read[..end.unwrap_or(read.len())];
        buffer.push(part);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            break true;
        }
    };
    if ended {
        buffer.strip_last(b'\r');
    }
    let left_out = buffer.finish(|bytes| line.extend_from_slice(bytes));
    Ok(any.then_some(left_out > 0))
}

/// The texts of rule files, joined as documents of one text.
pub fn read_rule_texts(files: &[PathBuf]) -> Result<String> {
    let mut texts = Vec::new();
    for file in files {
        let read = std::fs::read_to_string(file);
        texts.push(read.with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(texts.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], reads: usize) -> Vec<(Vec<u8>, bool)> {
        let mut input = BufReader::with_capacity(reads, text);
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        while let Some(cut) = read_line(&mut input, &mut line, 4).unwrap() {
            lines.push((line.clone(), cut));
        }
        lines
    }

    #[test]
    fn a_document_of_records_is_split_into_records() {
        for (text, expected) in [
            (
                &b"{\"Records\":[{\"a\":\n1} ,2]}\n{}"[..],
                &["1 {\"a\":\n1}", "2 2", "4 {}"][..],
            ),
            (b"{\n\"Records\":5}", &["1 {", "2 \"Records\":5}"]),
        ] {
            let mut lines = InputLines::new("test", Box::new(text));
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            while let Some(line) = lines.next(&mut buffer).unwrap() {
                let bytes = String::from_utf8_lossy(line.bytes);
                read.push(format!("{} {bytes}", line.number));
            }
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn lines_are_unchanged_up_to_the_limit_and_cut_there() {
        let whole = |line: &[u8]| (line.to_vec(), false);
        let cut = |line: &[u8]| (line.to_vec(), true);
        let table: [(&[u8], Vec<(Vec<u8>, bool)>); 9] = [
            (b"", vec![]),
            (b"ab\ncd", vec![whole(b"ab"), whole(b"cd")]),
            (
                b"ab\r\n\n\rc\n",
                vec![whole(b"ab"), whole(b""), whole(b"\rc")],
            ),
            (b"\0\xff\n", vec![whole(b"\0\xff")]),
            (
                b"abcd\nabcde\nf",
                vec![whole(b"abcd"), cut(b"abcd"), whole(b"f")],
            ),
            (b"abcd\r\nabcd\r", vec![whole(b"abcd"), cut(b"abcd")]),
            (b"abc\r\rde\nf\n", vec![cut(b"abc\r"), whole(b"f")]),
            (b"abcdefghijkl", vec![cut(b"abcd")]),
            (b"\n", vec![whole(b"")]),
        ];
        for (text, expected) in table {
            for reads in [1, 2, 3, 64] {
                assert_eq!(lines(text, reads), expected, "{text:?} in reads of {reads}");
            }
        }
    }

    #[test]
    fn lines_of_a_zeek_log_have_its_header_and_their_own_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        let log = "#separator \\x09\n#path\tx\n#fields\ta\n1\n\n2\n#close\tnow\nplain\n";
        std::fs::write(&file, log).unwrap();
        let mut lines = InputLines::open(&file).unwrap();
        let (mut read, mut buffer) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next(&mut buffer).unwrap() {
            read.push((line.number, String::from_utf8(line.bytes.to_vec()).unwrap()));
        }
        let expected = [
            (4, "#path\tx\n#fields\ta\n1"),
            (6, "#path\tx\n#fields\ta\n2"),
            (8, "plain"),
        ];
        assert_eq!(
            read,
            expected.map(|(number, line)| (number, line.to_owned()))
        );
    }
}
