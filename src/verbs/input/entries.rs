//! Reads logs that have entries instead of lines: Windows event logs (EVTX), and journald's export
//! format. Each entry becomes one JSON object, in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, Read, Seek};
use std::sync::Arc;

use evtx::{EvtxParser, IntoIterChunks, ParserSettings};
use weir_schema::JournaldExport;

/// First bytes of an EVTX file.
const EVTX_MAGIC: &[u8] = b"ElfFile\0";

/// First bytes of journald's export format.
const EXPORT_PREFIX: &[u8] = b"__CURSOR=";

/// Largest event log that is spooled: a packed or piped one is first written to a temporary file,
/// since its parser seeks. Windows limits its logs far below.
const SPOOL_BYTES_MAX: u64 = 8 << 30;

/// Number of bytes of an export that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// The format of log entries, recognised by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryFormat {
    Evtx,
    JournaldExport,
}

impl EntryFormat {
    /// The format of the input, if it has entries. Consumes nothing.
    pub fn of(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let start = input.fill_buf()?;
        Ok(if start.starts_with(EVTX_MAGIC) {
            Some(Self::Evtx)
        } else if start.starts_with(EXPORT_PREFIX) {
            Some(Self::JournaldExport)
        } else {
            None
        })
    }
}

/// The entries of a file.
pub enum LogEntries {
    Evtx(Box<EvtxLog>),
    JournaldExport(ExportLog),
}

/// The next entry of a file.
pub enum NextEntry {
    Entry(Vec<u8>),
    /// A part that cannot be read, with the reason. Reading continues after it.
    Unreadable(String),
    End,
}

impl LogEntries {
    /// Opens the entries of `input`, or of `file`, which is the same input if it is seekable.
    pub fn open(
        format: EntryFormat,
        file: Option<File>,
        input: Box<dyn BufRead>,
    ) -> io::Result<Self> {
        Ok(match (format, file) {
            (EntryFormat::JournaldExport, _) => Self::JournaldExport(ExportLog {
                input,
                export: JournaldExport::default(),
                ended: false,
            }),
            (EntryFormat::Evtx, Some(file)) => Self::Evtx(Box::new(EvtxLog::open(file)?)),
            (EntryFormat::Evtx, None) => Self::Evtx(Box::new(EvtxLog::open(spool(input)?)?)),
        })
    }

    /// Reads the next entry.
    pub fn next(&mut self) -> io::Result<NextEntry> {
        match self {
            Self::Evtx(log) => Ok(log.next()),
            Self::JournaldExport(export) => export.next(),
        }
    }
}

fn spool(input: Box<dyn BufRead>) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut input.take(SPOOL_BYTES_MAX + 1), &mut file)?;
    if copied > SPOOL_BYTES_MAX {
        return Err(io::Error::other(
            "a packed or piped event log may have at most 8 GiB",
        ));
    }
    file.rewind()?;
    Ok(file)
}

/// A Windows event log, read in chunks of 64 KiB.
pub struct EvtxLog {
    chunks: IntoIterChunks<File>,
    settings: Arc<ParserSettings>,
    /// Entries of the current chunk that were not returned yet.
    pending: VecDeque<Result<Vec<u8>, String>>,
    chunk: u64,
}

impl EvtxLog {
    fn open(file: File) -> io::Result<Self> {
        // One thread, since the graph uses the others.
        let settings = ParserSettings::default().num_threads(1).indent(false);
        let parser = EvtxParser::from_read_seek(file).map_err(io::Error::other)?;
        Ok(Self {
            chunks: parser.with_configuration(settings.clone()).into_chunks(),
            settings: Arc::new(settings),
            pending: VecDeque::new(),
            chunk: 0,
        })
    }

    fn next(&mut self) -> NextEntry {
        loop {
            match self.pending.pop_front() {
                Some(Ok(entry)) => return NextEntry::Entry(entry),
                Some(Err(part)) => return NextEntry::Unreadable(part),
                None => {}
            }
            let Some(chunk) = self.chunks.next() else {
                return NextEntry::End;
            };
            self.chunk += 1;
            let part = |error: &dyn std::fmt::Display| format!("chunk {}: {error}", self.chunk);
            let mut chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return NextEntry::Unreadable(part(&error)),
            };
            let mut chunk = match chunk.parse(Arc::clone(&self.settings)) {
                Ok(chunk) => chunk,
                Err(error) => return NextEntry::Unreadable(part(&error)),
            };
            for record in chunk.iter() {
                let record = record.and_then(|record| record.into_json_bytes());
                let record = record.map(|record| record.data);
                self.pending.push_back(record.map_err(|error| part(&error)));
            }
        }
    }
}

/// A log in journald's export format, read as a stream.
pub struct ExportLog {
    input: Box<dyn BufRead>,
    export: JournaldExport,
    ended: bool,
}

impl ExportLog {
    fn next(&mut self) -> io::Result<NextEntry> {
        loop {
            match self.export.next_entry() {
                Ok(Some(entry)) => return Ok(NextEntry::Entry(entry)),
                Ok(None) if self.ended => {
                    let last = self.export.finish().map_err(io::Error::other)?;
                    return Ok(last.map_or(NextEntry::End, NextEntry::Entry));
                }
                Ok(None) => {}
                // After an error it is unknown where the next entry begins.
                Err(fault) => return Err(io::Error::other(fault)),
            }
            let buffered = match self.input.fill_buf() {
                Ok(buffered) => buffered,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.ended = buffered.is_empty();
            let buffered = buffered.get(..READ_BYTES).unwrap_or(buffered);
            self.export.push(buffered);
            let used = buffered.len();
            self.input.consume(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: EntryFormat, bytes: Vec<u8>) -> io::Result<(Vec<Vec<u8>>, Vec<String>)> {
        let mut entries = LogEntries::open(format, None, Box::new(io::Cursor::new(bytes)))?;
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        loop {
            match entries.next()? {
                NextEntry::Entry(entry) => whole.push(entry),
                NextEntry::Unreadable(part) => broken.push(part),
                NextEntry::End => return Ok((whole, broken)),
            }
        }
    }

    #[test]
    fn an_export_is_read_to_its_end() {
        let text = b"__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE=2\n".to_vec();
        assert_eq!(
            EntryFormat::of(&mut text.as_slice()).unwrap(),
            Some(EntryFormat::JournaldExport)
        );
        let (entries, broken) = read(EntryFormat::JournaldExport, text).unwrap();
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(entry))
            .collect();
        let of = |c, m| format!(r#"{{"__CURSOR":"{c}","MESSAGE":"{m}"}}"#);
        assert_eq!(entries, [of("a", "1"), of("b", "2")]);
        assert!(broken.is_empty());
        assert!(read(EntryFormat::JournaldExport, b"__CURSOR=a\nB".to_vec()).is_err());
    }

    #[test]
    fn a_damaged_event_log_is_an_error() {
        assert_eq!(
            EntryFormat::of(&mut &b"ElfFile\0x"[..]).unwrap(),
            Some(EntryFormat::Evtx)
        );
        assert_eq!(EntryFormat::of(&mut &b"ElfFile"[..]).unwrap(), None);
        for bytes in [
            &b"ElfFile\0"[..],
            &[b"ElfFile\0".to_vec(), vec![0xff; 9_000]].concat(),
        ] {
            let result = read(EntryFormat::Evtx, bytes.to_vec());
            assert!(result.is_err() || result.is_ok_and(|(entries, _)| entries.is_empty()));
        }
    }
}
