//! Files to lines: opens what was named, unpacks it, and cuts it at line ends, or into the records
//! or entries that it holds, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use weir_schema::{Records, ZeekLog};

use super::entries::{Entries, Kind, Next};
use crate::cli::Failure;

/// A longer line is kept up to here, and said to be cut: what the journal takes over HTTP, too.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes that are read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// The name that stands for standard input.
pub const STDIN: &str = "-";

/// Tells a mistyped name before hours are spent on those before it. Nothing is opened: a pipe can
/// be opened only once.
pub fn check(file: &Path) -> Result<()> {
    if file.as_os_str() == STDIN {
        return Ok(());
    }
    let metadata = std::fs::metadata(file);
    let metadata = metadata.with_context(|| format!("cannot read {}", file.display()))?;
    if metadata.is_dir() {
        let folder = io::Error::from(io::ErrorKind::IsADirectory);
        let told = format!("cannot read {}; name the files in it", file.display());
        return Err(folder).context(told);
    }
    Ok(())
}

/// The lines of a file.
pub struct Lines {
    name: String,
    input: BufReader<Box<dyn Read>>,
    records: Records,
    zeek: ZeekLog,
    /// Of a file that holds these and no lines.
    entries: Option<Entries>,
    /// What could not be read since it was asked last.
    broken: Option<String>,
    /// The number of the last line that was read, from 1.
    number: u64,
}

/// A line without its end, behind the header that it needs to be read where it is of a Zeek log.
pub struct Line<'l> {
    pub number: u64,
    pub bytes: &'l [u8],
    /// It was longer than [`LINE_BYTES_MAX`].
    pub cut: bool,
}

impl Lines {
    /// Opens a file; what ends in `.gz` or `.zst` is unpacked, `-` is standard input.
    pub fn open(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let told = || format!("cannot read {name}");
        let (opened, plain) = unpacked(file).with_context(told)?;
        let mut lines = Self::new(&name, opened);
        let kind = Kind::of(&mut lines.input).map_err(|error| lines.failed(error))?;
        if let Some(kind) = kind {
            let nothing: Box<dyn Read> = Box::new(io::empty());
            let input = std::mem::replace(&mut lines.input, BufReader::new(nothing));
            // What can be read at any place is opened once more, from its start.
            let again = if plain {
                Some(File::open(file).with_context(told)?)
            } else {
                None
            };
            let entries = Entries::open(kind, again, Box::new(input));
            lines.entries = Some(entries.map_err(|error| lines.failed(error))?);
        }
        Ok(lines)
    }

    fn new(name: &str, opened: Box<dyn Read>) -> Self {
        Self {
            name: name.into(),
            input: BufReader::with_capacity(READ_BYTES, opened),
            records: Records::default(),
            zeek: ZeekLog::default(),
            entries: None,
            broken: None,
            number: 0,
        }
    }

    /// Reads the next line or record that is neither blank nor header of a Zeek log into `buffer`; `None` at
    /// the end.
    pub fn next<'l>(&mut self, buffer: &'l mut Vec<u8>) -> Result<Option<Line<'l>>> {
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
            break Ok(Some(Line {
                number: self.number,
                bytes: buffer,
                cut,
            }));
        }
    }

    /// Whether it holds entries, which come as JSON, and no lines.
    pub fn is_json(&self) -> bool {
        self.entries.is_some()
    }

    /// What was passed over, since it cannot be read.
    pub fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// Reads the next entry. Tells whether it was cut; `None` at the end of input, or where one is
    /// broken.
    fn entry(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let next = self.entries.as_mut().map_or(Ok(Next::End), Entries::next)?;
        match next {
            Next::End => Ok(None),
            Next::Entry(entry) => {
                *buffer = entry;
                let cut = buffer.len() > LINE_BYTES_MAX;
                buffer.truncate(LINE_BYTES_MAX);
                Ok(Some(cut))
            }
            Next::Broken(told) => {
                self.broken = Some(format!("{told} of {}", self.name));
                Ok(None)
            }
        }
    }

    /// Reads a line, or a record of a file that is one document of them. Tells whether it was cut;
    /// `None` at the end of input.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        if self.entries.is_some() {
            return self.entry(buffer);
        }
        if let Some(cut) = self.records.read(&mut self.input, buffer, LINE_BYTES_MAX)? {
            return Ok(Some(cut));
        }
        let held = self.records.take_held();
        if !held.is_empty() {
            let nothing: Box<dyn Read> = Box::new(io::empty());
            let rest = std::mem::replace(&mut self.input, BufReader::new(nothing));
            self.input = BufReader::new(Box::new(io::Cursor::new(held).chain(rest)));
        }
        read_line(&mut self.input, buffer, LINE_BYTES_MAX)
    }

    /// What the system did not refuse, the unpacker did: then the file is at fault.
    fn failed(&self, error: io::Error) -> anyhow::Error {
        let place = format!("after line {} of {}", self.number, self.name);
        if error.raw_os_error().is_none() {
            Failure::BadData(format!("cannot unpack what stands {place}: {error}")).into()
        } else {
            anyhow::Error::new(error).context(format!("cannot read on {place}"))
        }
    }
}

/// The file's bytes, and whether they are those of a file that can be read at any place.
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

/// Reads a line of at most `most` bytes, without its LF and the CR before it; what is longer is
/// passed over. Tells whether it was cut; `None` at the end of input.
fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    most: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let (mut cut, mut any) = (false, false);
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
        // One byte more than is kept may be held: it may be the CR of the line's end.
        let room = (most + 1).saturating_sub(line.len()).min(part.len());
        cut |= room < part.len();
        line.extend_from_slice(&part[..room]);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            break true;
        }
    };
    if ended && !cut && line.last() == Some(&b'\r') {
        line.pop();
    }
    cut |= line.len() > most;
    line.truncate(most);
    Ok(any.then_some(cut))
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
    fn a_document_of_records_is_read_as_its_records() {
        for (text, expected) in [
            (
                &b"{\"Records\":[{\"a\":\n1} ,2]}\n{}"[..],
                &["1 {\"a\":\n1}", "2 2", "4 {}"][..],
            ),
            (b"{\n\"Records\":5}", &["1 {", "2 \"Records\":5}"]),
        ] {
            let mut lines = Lines::new("test", Box::new(text));
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            while let Some(line) = lines.next(&mut buffer).unwrap() {
                let bytes = String::from_utf8_lossy(line.bytes);
                read.push(format!("{} {bytes}", line.number));
            }
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn lines_are_kept_byte_for_byte_and_cut_at_the_limit() {
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
    fn lines_of_a_zeek_log_stand_behind_its_header_and_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        let log = "#separator \\x09\n#path\tx\n#fields\ta\n1\n\n2\n#close\tnow\nplain\n";
        std::fs::write(&file, log).unwrap();
        let mut lines = Lines::open(&file).unwrap();
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
