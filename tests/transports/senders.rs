//! Each transport: how a sender writes a line, and what the receiving code makes of the bytes.

use std::io::Write;

use serde_json::{Value, json};
use weir_ingest::framing::Framer;
use weir_ingest::relp;
use weir_schema::agent::{decode_message, encode_batch, encode_event};
use weir_schema::{FRAME_BYTES_MAX, Format, Frames};
use weir_web::fuzz::{self, BodyKind};

use super::lines::Kind;

/// A frame as the journal gets it.
pub struct Received {
    pub format: Format,
    pub frame: Vec<u8>,
}

/// A frame, or the reason why the transport cannot have the line.
pub type Outcome = Result<Received, &'static str>;

pub const TRANSPORTS: [(&str, fn(Kind) -> Outcome); 19] = [
    ("tcp, lines", |kind| stream(format!("{}\n", kind.plain()))),
    ("tcp, counted", |kind| counted(&kind.plain())),
    ("relp", |kind| relp_frame(&kind.plain())),
    ("agent, line", |kind| agent(&kind.plain())),
    ("POST /api/v1/events", |kind| match kind {
        Kind::Object(line) => body(BodyKind::JsonLines, line.as_bytes()),
        _ => body(BodyKind::SyslogLines, kind.plain().as_bytes()),
    }),
    ("hec event, text", |kind| {
        let event = json!({"time": 1_772_359_205.5, "host": "web1", "event": kind.plain()});
        body(BodyKind::HecEvents, event.to_string().as_bytes())
    }),
    ("hec event, object", |kind| {
        let event = format!("{{\"host\":\"web1\",\"event\":{}}}", object(kind)?);
        body(BodyKind::HecEvents, event.as_bytes())
    }),
    ("hec raw", |kind| hec_raw(kind, &[])),
    ("hec raw with parameters", |kind| {
        hec_raw(kind, &[("time", "1772359205.5"), ("sourcetype", "syslog")])
    }),
    ("_bulk, document of a file", |kind| {
        bulk(&json!({
            "@timestamp": "2026-03-01T10:00:05.112Z", "message": kind.plain(),
            "log": {"file": {"path": "/var/log/x.log"}}, "agent": {"type": "filebeat"},
        }))
    }),
    ("_bulk, object", |kind| {
        bulk(&serde_json::from_str(object(kind)?).unwrap())
    }),
    ("_bulk, program and message", |kind| {
        let (program, pid, text) = parts(kind)?;
        bulk(&json!({
            "@timestamp": "2026-03-01T10:00:00.000Z", "host": {"hostname": "web1"},
            "process": {"name": program, "pid": pid}, "message": text,
        }))
    }),
    ("otlp, protobuf", |kind| {
        body(BodyKind::OtlpProtobuf, &otlp_protobuf(&kind.plain()))
    }),
    ("otlp, json", |kind| {
        let record = json!({
            "timeUnixNano": "1772359205500000000", "body": {"stringValue": kind.plain()},
        });
        let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
        body(BodyKind::OtlpJson, logs.to_string().as_bytes())
    }),
    ("journald export", |kind| journald(kind, false)),
    ("journald export, bytes", |kind| journald(kind, true)),
    ("file", |kind| file("log", kind, |text| text.to_vec())),
    ("file, gzip", |kind| file("gz", kind, gzip)),
    ("file, zstd", |kind| {
        file("zst", kind, |text| zstd::encode_all(text, 1).unwrap())
    }),
];

const NO_PROGRAM: &str = "the line names no program outside its own header";

fn parts(kind: Kind) -> Result<(&'static str, Option<&'static str>, &'static str), &'static str> {
    match kind {
        Kind::Message { program, pid, text } => Ok((program, pid, text)),
        _ => Err(NO_PROGRAM),
    }
}

fn object(kind: Kind) -> Result<&'static str, &'static str> {
    match kind {
        Kind::Object(line) => Ok(line),
        _ => Err("the line is no JSON"),
    }
}

/// Reads a stream byte by byte. The last frame is the line.
fn stream(bytes: String) -> Outcome {
    let mut framer = Framer::new(FRAME_BYTES_MAX);
    let mut frames = Frames::default();
    for byte in bytes.as_bytes() {
        framer.push(&[*byte], &mut frames);
    }
    framer.finish(&mut frames);
    let frame = frames.iter().last().unwrap().to_vec();
    Ok(Received {
        format: Format::Auto,
        frame,
    })
}

/// The first frame of a connection must have a priority, or its count counts for nothing.
fn counted(line: &str) -> Outcome {
    let first = "<13>Mar  1 10:00:00 h x";
    let (count, length) = (first.len(), line.len());
    stream(format!("{count} {first}{length} {line}"))
}

fn relp_frame(line: &str) -> Outcome {
    let bytes = format!("2 syslog {} {line}\n", line.len());
    let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(7).collect();
    let (mut frames, is_relp) = relp::fuzz::frames(&pieces, FRAME_BYTES_MAX);
    assert!(is_relp && frames.len() == 1, "{bytes}");
    Ok(Received {
        format: Format::Auto,
        frame: frames.remove(0).data,
    })
}

/// An agent sends the line that it read, without a time of its own.
fn agent(line: &str) -> Outcome {
    let batch = encode_batch(0, &[encode_event(0, None, None, &[], Some(line))]);
    let message = decode_message(&batch[4..]).unwrap();
    let events = message.body_as_event_batch().unwrap().events();
    Ok(Received {
        format: Format::Agent,
        frame: events.get(0).event().bytes().to_vec(),
    })
}

/// Splits a body of one event.
fn body(kind: BodyKind, bytes: &[u8]) -> Outcome {
    one(fuzz::split(kind, bytes).unwrap())
}

fn hec_raw(kind: Kind, parameters: &[(&str, &str)]) -> Outcome {
    one(fuzz::split_hec_lines(kind.plain().as_bytes(), parameters).unwrap())
}

fn one(batches: Vec<weir_schema::Batch>) -> Outcome {
    let [batch] = batches.as_slice() else {
        panic!("{} batches", batches.len());
    };
    assert_eq!(batch.frames.iter().count(), 1);
    Ok(Received {
        format: batch.format,
        frame: batch.frames.iter().next().unwrap().to_vec(),
    })
}

fn bulk(document: &Value) -> Outcome {
    let lines = format!("{{\"create\":{{\"_index\":\"logs\"}}}}\n{document}\n");
    body(BodyKind::Bulk, lines.as_bytes())
}

/// A length-delimited field of protobuf.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        field.push(length as u8 | 128);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A request with one record, whose body is the line.
fn otlp_protobuf(line: &str) -> Vec<u8> {
    let time = [&[9][..], &1_772_359_205_500_000_000_u64.to_le_bytes()].concat();
    let record = [time, field(5, &field(1, line.as_bytes()))].concat();
    field(1, &field(2, &field(2, &record)))
}

fn journald(kind: Kind, is_binary: bool) -> Outcome {
    let (program, pid, text) = parts(kind)?;
    let mut entry = format!(
        "__REALTIME_TIMESTAMP=1772359200000000\n_HOSTNAME=web1\nSYSLOG_IDENTIFIER={program}\n"
    );
    if let Some(pid) = pid {
        entry += &format!("_PID={pid}\n");
    }
    let mut bytes = entry.into_bytes();
    if is_binary {
        bytes.extend_from_slice(b"MESSAGE\n");
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    } else {
        bytes.extend_from_slice(format!("MESSAGE={text}").as_bytes());
    }
    bytes.extend_from_slice(b"\n\n");
    body(BodyKind::Journald, &bytes)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes a file of two lines, and reads the second as `weir replay` does.
fn file(ending: &str, kind: Kind, pack: fn(&[u8]) -> Vec<u8>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("x.{ending}"));
    let first = "<13>Mar  1 10:00:00 h x";
    std::fs::write(
        &path,
        pack(format!("{first}\n{}\n", kind.plain()).as_bytes()),
    )
    .unwrap();
    let mut read = Vec::new();
    let broken = weir::verbs::input::fuzz::lines(&path, |_, line| read.push(line.to_vec()));
    assert!(broken.is_none() && read.len() == 2, "{broken:?}");
    Ok(Received {
        format: Format::Auto,
        frame: read.remove(1),
    })
}
