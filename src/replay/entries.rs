//! Files that hold entries and no lines: event logs of Windows (EVTX), and journald's export format;
//! each entry becomes one JSON object, in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek};
use std::sync::Arc;

use evtx::{EvtxParser, IntoIterChunks, ParserSettings};
use weir_schema::JournalExport;

/// What an EVTX file begins with.
const EVTX: &[u8] = b"ElfFile\0";

/// What journald's export format begins with.
const EXPORT: &[u8] = b"__CURSOR=";

/// A log that cannot be read at any place, since it is packed or piped, is written to a temporary
/// file first; the largest that Windows keeps is far smaller.
const SPOOL_BYTES_MAX: u64 = 8 << 30;

/// Bytes of an export that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Which kind of entries an input holds, by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Evtx,
    Export,
}

impl Kind {
    /// Looks at what comes next; nothing is taken from the input.
    pub fn of(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let start = input.fill_buf()?;
        Ok(if start.starts_with(EVTX) {
            Some(Self::Evtx)
        } else if start.starts_with(EXPORT) {
            Some(Self::Export)
        } else {
            None
        })
    }
}

/// The entries of a file.
pub enum Entries {
    Evtx(Box<EventLog>),
    Export(Export),
}

/// What comes next of a file.
pub enum Next {
    Entry(Vec<u8>),
    /// What cannot be read is told and passed over; what stands behind it is read.
    Broken(String),
    End,
}

impl Entries {
    /// `file` is the input itself, where it can be read at any place.
    pub fn open(kind: Kind, file: Option<File>, input: Box<dyn BufRead>) -> io::Result<Self> {
        Ok(match (kind, file) {
            (Kind::Export, _) => Self::Export(Export {
                input,
                export: JournalExport::default(),
                ended: false,
            }),
            (Kind::Evtx, Some(file)) => Self::Evtx(Box::new(EventLog::open(file)?)),
            (Kind::Evtx, None) => Self::Evtx(Box::new(EventLog::open(spool(input)?)?)),
        })
    }

    pub fn next(&mut self) -> io::Result<Next> {
        match self {
            Self::Evtx(log) => Ok(log.next()),
            Self::Export(export) => export.next(),
        }
    }
}

fn spool(input: Box<dyn BufRead>) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut input.take(SPOOL_BYTES_MAX + 1), &mut file)?;
    if copied > SPOOL_BYTES_MAX {
        return Err(io::Error::other("an event log here has at most 8 GiB"));
    }
    file.rewind()?;
    Ok(file)
}

/// An event log of Windows, read chunk by chunk: 64 KiB of the file each.
pub struct EventLog {
    chunks: IntoIterChunks<File>,
    settings: Arc<ParserSettings>,
    /// What was read of the chunk at hand.
    read: VecDeque<Result<Vec<u8>, String>>,
    chunk: u64,
}

impl EventLog {
    fn open(file: File) -> io::Result<Self> {
        // One thread: the graph needs the others.
        let settings = ParserSettings::default().num_threads(1).indent(false);
        let parser = EvtxParser::from_read_seek(file).map_err(io::Error::other)?;
        Ok(Self {
            chunks: parser.with_configuration(settings.clone()).into_chunks(),
            settings: Arc::new(settings),
            read: VecDeque::new(),
            chunk: 0,
        })
    }

    fn next(&mut self) -> Next {
        loop {
            match self.read.pop_front() {
                Some(Ok(entry)) => return Next::Entry(entry),
                Some(Err(broken)) => return Next::Broken(broken),
                None => {}
            }
            let Some(chunk) = self.chunks.next() else {
                return Next::End;
            };
            self.chunk += 1;
            let told = |error: &dyn std::fmt::Display| format!("chunk {}: {error}", self.chunk);
            let mut chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Next::Broken(told(&error)),
            };
            let mut chunk = match chunk.parse(Arc::clone(&self.settings)) {
                Ok(chunk) => chunk,
                Err(error) => return Next::Broken(told(&error)),
            };
            for record in chunk.iter() {
                let record = record.and_then(|record| record.into_json_bytes());
                let record = record.map(|record| record.data);
                self.read.push_back(record.map_err(|error| told(&error)));
            }
        }
    }
}

/// journald's export format, as it streams.
pub struct Export {
    input: Box<dyn BufRead>,
    export: JournalExport,
    ended: bool,
}

impl Export {
    fn next(&mut self) -> io::Result<Next> {
        loop {
            match self.export.next_entry() {
                Ok(Some(entry)) => return Ok(Next::Entry(entry)),
                Ok(None) if self.ended => {
                    let last = self.export.finish().map_err(io::Error::other)?;
                    return Ok(last.map_or(Next::End, Next::Entry));
                }
                Ok(None) => {}
                // Nobody could say where the next entry begins.
                Err(fault) => return Err(io::Error::other(fault)),
            }
            let some = match self.input.fill_buf() {
                Ok(some) => some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.ended = some.is_empty();
            let some = some.get(..READ_BYTES).unwrap_or(some);
            self.export.push(some);
            let used = some.len();
            self.input.consume(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, bytes: Vec<u8>) -> io::Result<(Vec<Vec<u8>>, Vec<String>)> {
        let mut entries = Entries::open(kind, None, Box::new(io::Cursor::new(bytes)))?;
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        loop {
            match entries.next()? {
                Next::Entry(entry) => whole.push(entry),
                Next::Broken(told) => broken.push(told),
                Next::End => return Ok((whole, broken)),
            }
        }
    }

    #[test]
    fn an_export_is_read_to_its_end() {
        let text = b"__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE=2\n".to_vec();
        assert_eq!(Kind::of(&mut text.as_slice()).unwrap(), Some(Kind::Export));
        let (entries, broken) = read(Kind::Export, text).unwrap();
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(entry))
            .collect();
        let of = |c, m| format!(r#"{{"__CURSOR":"{c}","MESSAGE":"{m}"}}"#);
        assert_eq!(entries, [of("a", "1"), of("b", "2")]);
        assert!(broken.is_empty());
        assert!(read(Kind::Export, b"__CURSOR=a\nB".to_vec()).is_err());
    }

    #[test]
    fn what_is_no_event_log_is_told() {
        assert_eq!(Kind::of(&mut &b"ElfFile\0x"[..]).unwrap(), Some(Kind::Evtx));
        assert_eq!(Kind::of(&mut &b"ElfFile"[..]).unwrap(), None);
        for bytes in [
            &b"ElfFile\0"[..],
            &[b"ElfFile\0".to_vec(), vec![0xff; 9_000]].concat(),
        ] {
            let told = read(Kind::Evtx, bytes.to_vec());
            assert!(told.is_err() || told.is_ok_and(|(entries, _)| entries.is_empty()));
        }
    }
}
