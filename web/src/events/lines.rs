//! Judges the lines of a body and makes batches of those that are accepted.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use weir_schema::{Batch, Format, Frames, ReceiveTime, Records, Transport, ZeekLog};

use crate::collect::{self, Refusal, mark_deliveries};

/// Most lines of a body: each costs an allocation, however short it is.
const LINES_MAX: usize = 100_000;
/// Longest line: what the journal takes as one frame.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Most bytes that the headers of Zeek logs add to a body, each line under them having them: enough
/// for 60,000 usual ones, and with the body still an entry that the journal's queue takes.
const HEADERS_BYTES_MAX: usize = 32 << 20;
/// Most refused lines that an answer names; the rest is counted.
const FAULTS_MAX: usize = 1_000;
/// A batch is cut at so many frames ...
const BATCH_FRAMES_MAX: usize = 10_000;
/// ... or once it holds so many bytes. Cuts are a function of the body: a repeat has equal parts.
const BATCH_BYTES: usize = 1 << 20;

/// Whose lines they are.
pub(super) struct Origin {
    pub(super) tenant: String,
    pub(super) source: String,
    pub(super) format: Format,
    pub(super) peer: Option<String>,
    /// The idempotency key.
    pub(super) key: Option<String>,
    pub(super) received: ReceiveTime,
}

/// A refused line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) error: String,
}

pub(super) struct Judged {
    pub(super) batches: Vec<Batch>,
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// The first [`FAULTS_MAX`] refused lines.
    pub(super) faults: Vec<Fault>,
}

/// Judges every line; blank ones say nothing and are passed over.
pub(super) fn judge(body: &[u8], origin: &Origin) -> Result<Judged, Refusal> {
    let mut judged = Judged {
        batches: Vec::new(),
        accepted: 0,
        refused: 0,
        faults: Vec::new(),
    };
    let mut zeek = ZeekLog::default();
    let mut headers_bytes = 0;
    let mut frames = Frames::new();
    for (at, line) in pieces(body, origin.format).enumerate() {
        let line = line.as_ref();
        if line.trim_ascii().is_empty() {
            continue;
        }
        if judged.accepted + judged.refused == LINES_MAX {
            let detail = format!("a body here has at most {LINES_MAX} lines");
            return Err(Refusal::TooMany(detail));
        }
        if let Err(error) = judge_line(line, origin.format) {
            judged.refused += 1;
            if judged.faults.len() < FAULTS_MAX {
                judged.faults.push(Fault {
                    line: at + 1,
                    error,
                });
            }
            continue;
        }
        // A header line is no event; it goes with each line under it.
        let Some(prefix) = zeek.prefix(line) else {
            continue;
        };
        headers_bytes += prefix.len();
        if headers_bytes > HEADERS_BYTES_MAX {
            let detail = "the lines with the header of their Zeek log in front of each are too \
                          many for one body; send half of them, with the header, at a time";
            return Err(Refusal::TooMany(detail.to_owned()));
        }
        judged.accepted += 1;
        frames.push_parts(&[prefix, line]);
        if frames.len() == BATCH_FRAMES_MAX || frames.bytes() >= BATCH_BYTES {
            judged
                .batches
                .push(origin.batch(std::mem::take(&mut frames)));
        }
    }
    if !frames.is_empty() {
        judged.batches.push(origin.batch(frames));
    }
    mark_deliveries(origin.key.as_deref(), body, &mut judged.batches);
    Ok(judged)
}

/// The records of documents of them that a JSON body begins with, then its lines.
fn pieces(body: &[u8], format: Format) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = body;
    let mut records = (format == Format::Json).then(Records::default);
    let mut lines = None;
    std::iter::from_fn(move || {
        if let Some(reader) = &mut records {
            let mut record = Vec::new();
            // One byte more than a line may have: it is refused as longer than that.
            let read = reader.read(&mut rest, &mut record, LINE_BYTES_MAX + 1);
            if let Ok(Some(_)) = read {
                return Some(Cow::Owned(record));
            }
            // What was held is whatever stands before the rest.
            let held = reader.take_held().len();
            rest = body.get(body.len() - rest.len() - held..).unwrap_or(rest);
            records = None;
        }
        let lines = lines.get_or_insert_with(|| collect::lines_of(rest));
        lines.next().map(Cow::Borrowed)
    })
}

impl Origin {
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

fn judge_line(line: &[u8], format: Format) -> Result<(), String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line has more than {LINE_BYTES_MAX} bytes"));
    }
    match format {
        Format::Json => judge_json(line),
        // Whatever a line of syslog holds is data; what cannot be read is kept with a problem.
        Format::Syslog | Format::Auto | Format::Agent => Ok(()),
    }
}

pub(crate) fn judge_json(line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    if weir_schema::json::is_object(text) {
        return Ok(());
    }
    // Slower, and with words for what is wrong.
    match serde_json::from_str(text) {
        Ok(Whole { object: true }) => Ok(()),
        Ok(Whole { object: false }) => Err("not a JSON object".into()),
        Err(error) => {
            // The library's words for broken syntax are fixed texts; only its place is ours to say.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            Err(format!("not JSON at column {}: {words}", error.column()))
        }
    }
}

/// A JSON value that is read to its end and not kept. Deeper than 127 levels is refused by the
/// library, whose guard against a spent stack counts every level that a visitor opens.
struct Whole {
    object: bool,
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

const OTHER: Whole = Whole { object: false };

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
        while map.next_entry::<Whole, Whole>()?.is_some() {}
        Ok(Whole { object: true })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Whole, A::Error> {
        while seq.next_element::<Whole>()?.is_some() {}
        Ok(OTHER)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Whole, E> {
        Ok(OTHER)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Whole, E> {
        Ok(OTHER)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Whole, E> {
        Ok(OTHER)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Whole, E> {
        Ok(OTHER)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Whole, E> {
        Ok(OTHER)
    }

    fn visit_unit<E: Error>(self) -> Result<Whole, E> {
        Ok(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use weir_schema::Delivery;

    use super::*;

    fn origin(format: Format, key: Option<&str>) -> Origin {
        Origin {
            tenant: "default".into(),
            source: "http".into(),
            format,
            peer: None,
            key: key.map(Into::into),
            received: ReceiveTime(7),
        }
    }

    #[test]
    fn json_lines_are_judged_one_by_one() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for (line, error) in [
            (
                r#"{"a":[1,-2,3.5,null,true,"x",{"b":{}}]}"#.to_owned(),
                None,
            ),
            (r#"  {}  "#.to_owned(), None),
            (format!(r#"{{"a":{}}}"#, deep(126)), None),
            (
                format!(r#"{{"a":{}}}"#, deep(127)),
                Some("recursion limit exceeded"),
            ),
            (
                format!(r#"{{"a":{}}}"#, deep(100_000)),
                Some("recursion limit exceeded"),
            ),
            ("[".repeat(500_000), Some("recursion limit exceeded")),
            ("[1]".to_owned(), Some("not a JSON object")),
            ("42".to_owned(), Some("not a JSON object")),
            (r#"{"a":1"#.to_owned(), Some("EOF")),
            (r#"{"a":1} {}"#.to_owned(), Some("trailing characters")),
            // Numbers are kept as written.
            (r#"{"a":1e999}"#.to_owned(), None),
            ("{\"a\":\"\0\"}".to_owned(), Some("control character")),
            (r#"{"a":"\ud800"}"#.to_owned(), Some("escape")),
            ("{\"a\":\0}".to_owned(), Some("expected value")),
        ] {
            let said = judge_line(line.as_bytes(), Format::Json).err();
            let start: String = line.chars().take(40).collect();
            match (error, said) {
                (None, None) => {}
                (Some(error), Some(said)) if said.contains(error) => {}
                (_, said) => panic!("{start}: {said:?}, wanted {error:?}"),
            }
        }
        assert_eq!(
            judge_line(b"{\"a\":\"\xff\"}", Format::Json),
            Err("not UTF-8 at byte 6".to_owned())
        );
    }

    #[test]
    fn syslog_lines_are_kept_whatever_they_hold() {
        let body = b"<13>one\r\n\n\xff\xfe\0three\n<13>four";
        let judged = judge(body, &origin(Format::Syslog, None)).unwrap();
        let frames: Vec<_> = judged.batches.iter().flat_map(|b| &b.frames).collect();
        assert_eq!(frames, [&b"<13>one"[..], b"\xff\xfe\0three", b"<13>four"]);
    }

    #[test]
    fn lines_of_a_zeek_log_carry_its_header() {
        let frames = |judged: &Judged| -> Vec<_> {
            let frames = judged.batches.iter().flat_map(|b| &b.frames);
            frames.map(<[u8]>::to_vec).collect()
        };
        let log = b"#separator \\x09\n#path\tx\n#fields\ta\n1\n2\n#close\tnow\n<13>three";
        let judged = judge(log, &origin(Format::Syslog, None)).unwrap();
        assert_eq!(
            frames(&judged),
            [
                &b"#path\tx\n#fields\ta\n1"[..],
                b"#path\tx\n#fields\ta\n2",
                b"<13>three"
            ]
        );

        let fields = "#separator \\x09\n#fields\t".to_owned() + &"a".repeat(16_000);
        let body = |lines: usize| fields.clone() + &"\n1".repeat(lines);
        assert!(judge(body(2_000).as_bytes(), &origin(Format::Syslog, None)).is_ok());
        assert!(judge(body(2_100).as_bytes(), &origin(Format::Syslog, None)).is_err());
    }

    #[test]
    fn a_document_of_records_is_a_frame_for_each() {
        let body = b" {\"Records\": [{\"a\":\n1}, {\"b\":\"]\"},7]}\n{\"c\":3}\nno";
        let judged = judge(body, &origin(Format::Json, None)).unwrap();
        let frames: Vec<_> = judged.batches.iter().flat_map(|b| &b.frames).collect();
        assert_eq!(
            frames,
            [&b"{\"a\":\n1}"[..], b"{\"b\":\"]\"}", b"{\"c\":3}"]
        );
        // The number and the last line, counted with the records.
        let faults: Vec<_> = judged.faults.iter().map(|fault| fault.line).collect();
        assert_eq!(faults, [3, 6]);

        for body in ["{\"Records\"\n:5}", "{\n\"Recordings\":[1]}"] {
            let judged = judge(body.as_bytes(), &origin(Format::Json, None)).unwrap();
            assert_eq!((judged.accepted, judged.refused), (0, 2), "{body}");
        }
        let long = format!("{{\"Records\":[\"{}\"]}}", "x".repeat(LINE_BYTES_MAX));
        let judged = judge(long.as_bytes(), &origin(Format::Json, None)).unwrap();
        assert_eq!((judged.accepted, judged.refused), (0, 1));
        let syslog = judge(b"{\"Records\":[1,2]}", &origin(Format::Syslog, None)).unwrap();
        assert_eq!(syslog.accepted, 1);
    }

    #[test]
    fn a_body_is_cut_alike_each_time_and_its_parts_are_named() {
        let body = "{\"a\":1}\n".repeat(25_000) + "no\n" + &"{}\n".repeat(3);
        let parts = || {
            let judged = judge(body.as_bytes(), &origin(Format::Json, Some("k"))).unwrap();
            assert_eq!((judged.accepted, judged.refused), (25_003, 1));
            assert_eq!(judged.faults[0].line, 25_001);
            judged.batches
        };
        assert_eq!(parts(), parts());
        let seen: Vec<_> = parts()
            .iter()
            .map(|batch| match &batch.delivery {
                Some(Delivery::Http { part, last, .. }) => (*part, *last, batch.frames.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            seen,
            [(0, false, 10_000), (1, false, 10_000), (2, true, 5_003)]
        );
    }

    #[test]
    fn lines_and_faults_have_limits() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let judged = judge(&long, &origin(Format::Syslog, None)).unwrap();
        assert_eq!((judged.accepted, judged.refused), (0, 1));
        let judged = judge(&long[1..], &origin(Format::Syslog, None)).unwrap();
        assert_eq!((judged.accepted, judged.refused), (1, 0));

        let broken = "x\n".repeat(FAULTS_MAX + 5);
        let judged = judge(broken.as_bytes(), &origin(Format::Json, None)).unwrap();
        assert_eq!(
            (judged.refused, judged.faults.len()),
            (FAULTS_MAX + 5, FAULTS_MAX)
        );

        let many = "x\n".repeat(LINES_MAX + 1);
        assert!(judge(many.as_bytes(), &origin(Format::Syslog, None)).is_err());
    }
}
