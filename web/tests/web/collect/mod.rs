//! The protocols of shippers: requests, answers, and the frames that result.

mod bulk;
mod hec;
mod journald;
mod limits;
mod otlp;
mod probes;

use std::io::Write;
use std::time::Duration;

use weir_schema::Format;
use weir_web::ports::IntakeError;

use crate::harness::Memory;

const PROTOBUF: &str = "Content-Type: application/x-protobuf";
const JSON: &str = "Content-Type: application/json";
const JOURNAL: &str = "Content-Type: application/vnd.fdo.journal";

/// Takes the submitted frames, each with its source and format.
fn take_frames(memory: &Memory) -> Vec<(String, Format, String)> {
    let submitted = std::mem::take(&mut *memory.submitted.lock().unwrap());
    let batches = submitted.into_iter().flatten();
    let frames = batches.flat_map(|batch| {
        let text = |frame| String::from_utf8_lossy(frame).into_owned();
        let frames = batch.frames.iter().map(text);
        frames
            .map(|frame| (batch.source.clone(), batch.format, frame))
            .collect::<Vec<_>>()
    });
    frames.collect()
}

fn row(source: &str, format: Format, frame: &str) -> (String, Format, String) {
    (source.to_owned(), format, frame.to_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Makes the intake refuse the next request.
fn refuse_next(memory: &Memory, error: IntakeError) {
    memory.intake_answers.lock().unwrap().push_back(Err(error));
}

fn busy() -> IntakeError {
    IntakeError::Busy {
        retry_after: Duration::from_secs(2),
    }
}
