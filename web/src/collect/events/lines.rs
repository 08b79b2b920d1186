//! Checks the lines of a body and puts the accepted ones into batches.

use std::borrow::Cow;

use weir_schema::{Batch, Format, Frames, ReceiveTime, RecordsReader, Transport, ZeekLog};

use crate::bodies::{BodyError, split_lines};
use crate::collect::batcher::mark_deliveries;
use crate::collect::json_check::check_json_object;

/// Maximum number of lines in a body: each costs an allocation, even a short one.
const LINES_MAX: usize = 100_000;
/// Longest line: the journal's limit for one frame.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Maximum number of bytes that Zeek headers add to a body; each line gets its log's header.
///
/// This is enough for 60,000 usual lines. With the body, the journal's queue still accepts the entry.
const HEADERS_BYTES_MAX: usize = 32 << 20;
/// Maximum number of refused lines that an answer lists; others are only counted.
const ERRORS_MAX: usize = 1_000;
/// Maximum number of frames in a batch.
const BATCH_FRAMES_MAX: usize = 10_000;
/// Size at which a batch ends.
///
/// Batches depend only on the body: a repeated request has equal parts.
const BATCH_BYTES: usize = 1 << 20;

/// The origin of the lines of a body.
pub(super) struct LineOrigin {
    pub(super) tenant: String,
    pub(super) source: String,
    pub(super) format: Format,
    pub(super) peer: Option<String>,
    /// The idempotency key.
    pub(super) key: Option<String>,
    pub(super) received: ReceiveTime,
}

/// A refused line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineError {
    /// Number of the line in the body, from 1.
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The accepted lines of a body in batches, and its refused lines.
#[derive(Default)]
pub(super) struct CheckedLines {
    pub(super) batches: Vec<Batch>,
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// The first [`ERRORS_MAX`] refused lines.
    pub(super) errors: Vec<LineError>,
}

/// Checks every line and puts the accepted ones into batches; skips blank lines.
pub(super) fn check_lines(body: &[u8], origin: &LineOrigin) -> Result<CheckedLines, BodyError> {
    let mut checked = CheckedLines::default();
    let mut zeek = ZeekLog::default();
    let mut headers_bytes = 0;
    let mut frames = Frames::new();
    for (at, line) in records_and_lines(body, origin.format).enumerate() {
        let line = line.as_ref();
        if line.trim_ascii().is_empty() {
            continue;
        }
        if checked.accepted + checked.refused == LINES_MAX {
            let detail = format!("the body has more than {LINES_MAX} lines");
            return Err(BodyError::TooMany(detail));
        }
        if let Err(reason) = check_line(line, origin.format) {
            checked.refuse(LineError {
                line: at + 1,
                reason,
            });
            continue;
        }
        // A header line is not an event; it is prepended to each line under it.
        let Some(header) = zeek.prefix(line) else {
            continue;
        };
        headers_bytes += header.len();
        if headers_bytes > HEADERS_BYTES_MAX {
            let detail = "the body has too many lines of Zeek logs, each of which gets its header; \
                          send half of the lines at a time, with the header";
            return Err(BodyError::TooMany(detail.to_owned()));
        }
        checked.accepted += 1;
        frames.push_parts(&[header, line]);
        if frames.len() == BATCH_FRAMES_MAX || frames.bytes() >= BATCH_BYTES {
            let batch = origin.batch(std::mem::take(&mut frames));
            checked.batches.push(batch);
        }
    }
    if !frames.is_empty() {
        checked.batches.push(origin.batch(frames));
    }
    mark_deliveries(origin.key.as_deref(), body, &mut checked.batches);
    Ok(checked)
}

impl CheckedLines {
    fn refuse(&mut self, error: LineError) {
        self.refused += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }
}

/// Returns the records of leading documents such as `{"Records": [...]}`, then the lines.
///
/// Only JSON bodies have documents of records.
fn records_and_lines(body: &[u8], format: Format) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = body;
    let mut records = (format == Format::Json).then(RecordsReader::default);
    let mut lines = None;
    std::iter::from_fn(move || {
        if let Some(reader) = &mut records {
            let mut record = Vec::new();
            // One byte above the limit of a line: such a record is refused as too long.
            let read = reader.read(&mut rest, &mut record, LINE_BYTES_MAX + 1);
            if let Ok(Some(_)) = read {
                return Some(Cow::Owned(record));
            }
            // The bytes directly before `rest` matched no record; they belong to the lines.
            let unmatched = reader.take_unmatched().len();
            rest = body
                .get(body.len() - rest.len() - unmatched..)
                .unwrap_or(rest);
            records = None;
        }
        let lines = lines.get_or_insert_with(|| split_lines(rest));
        lines.next().map(Cow::Borrowed)
    })
}

impl LineOrigin {
    fn batch(&self, frames: Frames) -> Batch {
        Batch {
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            transport: Transport::Http,
            format: self.format,
            peer: self.peer.clone(),
            zone: None,
            logsource: None,
            received: self.received,
            delivery: None,
            frames,
        }
    }
}

fn check_line(line: &[u8], format: Format) -> Result<(), String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line has more than {LINE_BYTES_MAX} bytes"));
    }
    match format {
        Format::Json => check_json_object(line),
        // Every syslog line is data; one that cannot be parsed becomes an event with a problem.
        Format::Syslog | Format::Auto | Format::Agent => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use weir_schema::Delivery;

    use super::*;

    fn origin(format: Format, key: Option<&str>) -> LineOrigin {
        LineOrigin {
            tenant: "default".into(),
            source: "http".into(),
            format,
            peer: None,
            key: key.map(Into::into),
            received: ReceiveTime(7),
        }
    }

    #[test]
    fn accept_any_syslog_line() {
        let body = b"<13>one\r\n\n\xff\xfe\0three\n<13>four";
        let checked = check_lines(body, &origin(Format::Syslog, None)).unwrap();
        let frames: Vec<_> = checked.batches.iter().flat_map(|b| &b.frames).collect();
        assert_eq!(frames, [&b"<13>one"[..], b"\xff\xfe\0three", b"<13>four"]);
    }

    #[test]
    fn prepend_zeek_headers_to_lines() {
        let frames = |checked: &CheckedLines| -> Vec<_> {
            let frames = checked.batches.iter().flat_map(|b| &b.frames);
            frames.map(<[u8]>::to_vec).collect()
        };
        let log = b"#separator \\x09\n#path\tx\n#fields\ta\n1\n2\n#close\tnow\n<13>three";
        let checked = check_lines(log, &origin(Format::Syslog, None)).unwrap();
        assert_eq!(
            frames(&checked),
            [
                &b"#path\tx\n#fields\ta\n1"[..],
                b"#path\tx\n#fields\ta\n2",
                b"<13>three"
            ]
        );

        let fields = "#separator \\x09\n#fields\t".to_owned() + &"a".repeat(16_000);
        let body = |lines: usize| fields.clone() + &"\n1".repeat(lines);
        assert!(check_lines(body(2_000).as_bytes(), &origin(Format::Syslog, None)).is_ok());
        assert!(check_lines(body(2_100).as_bytes(), &origin(Format::Syslog, None)).is_err());
    }

    #[test]
    fn split_documents_of_records() {
        let body = b" {\"Records\": [{\"a\":\n1}, {\"b\":\"]\"},7]}\n{\"c\":3}\nno";
        let checked = check_lines(body, &origin(Format::Json, None)).unwrap();
        let frames: Vec<_> = checked.batches.iter().flat_map(|b| &b.frames).collect();
        assert_eq!(
            frames,
            [&b"{\"a\":\n1}"[..], b"{\"b\":\"]\"}", b"{\"c\":3}"]
        );
        // The record `7` and the last line are refused; records and lines are counted together.
        let lines: Vec<_> = checked.errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [3, 6]);

        for body in ["{\"Records\"\n:5}", "{\n\"Recordings\":[1]}"] {
            let checked = check_lines(body.as_bytes(), &origin(Format::Json, None)).unwrap();
            assert_eq!((checked.accepted, checked.refused), (0, 2), "{body}");
        }
        let long = format!("{{\"Records\":[\"{}\"]}}", "x".repeat(LINE_BYTES_MAX));
        let checked = check_lines(long.as_bytes(), &origin(Format::Json, None)).unwrap();
        assert_eq!((checked.accepted, checked.refused), (0, 1));
        let syslog = check_lines(b"{\"Records\":[1,2]}", &origin(Format::Syslog, None)).unwrap();
        assert_eq!(syslog.accepted, 1);
    }

    #[test]
    fn split_a_body_into_the_same_parts_each_time() {
        let body = "{\"a\":1}\n".repeat(25_000) + "no\n" + &"{}\n".repeat(3);
        let parts = || {
            let checked = check_lines(body.as_bytes(), &origin(Format::Json, Some("k"))).unwrap();
            assert_eq!((checked.accepted, checked.refused), (25_003, 1));
            assert_eq!(checked.errors[0].line, 25_001);
            checked.batches
        };
        assert_eq!(parts(), parts());
        let deliveries: Vec<_> = parts()
            .iter()
            .map(|batch| match &batch.delivery {
                Some(Delivery::Http { part, last, .. }) => (*part, *last, batch.frames.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            deliveries,
            [(0, false, 10_000), (1, false, 10_000), (2, true, 5_003)]
        );
    }

    #[test]
    fn limit_lines_and_errors() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let checked = check_lines(&long, &origin(Format::Syslog, None)).unwrap();
        assert_eq!((checked.accepted, checked.refused), (0, 1));
        let checked = check_lines(&long[1..], &origin(Format::Syslog, None)).unwrap();
        assert_eq!((checked.accepted, checked.refused), (1, 0));

        let broken = "x\n".repeat(ERRORS_MAX + 5);
        let checked = check_lines(broken.as_bytes(), &origin(Format::Json, None)).unwrap();
        assert_eq!(
            (checked.refused, checked.errors.len()),
            (ERRORS_MAX + 5, ERRORS_MAX)
        );

        let many = "x\n".repeat(LINES_MAX + 1);
        assert!(check_lines(many.as_bytes(), &origin(Format::Syslog, None)).is_err());
    }
}
