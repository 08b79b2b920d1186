//! What tests of generated events share: the rules of `rules/`, and how frames are read.

use std::path::{Path, PathBuf};

use weir_detect::{RuleBook, check, split_documents};
use weir_parse::{Context, Zone};
use weir_scenario::company::LENGTH_SECONDS;
use weir_scenario::{Delivery, Payload};
use weir_schema::{Control, EventTime, Format, ReceiveTime, Span};

pub const START: EventTime = EventTime(1_772_438_400_000_000_000);

fn files() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: ReceiveTime(START.plus(Span::seconds(LENGTH_SECONDS)).0),
        zone: Zone::parse("UTC").expect("UTC is a zone"),
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Puts every document of a text, and refuses any remark on it.
pub fn put(book: &mut RuleBook, text: &str, origin: &str) {
    for (line, document) in split_documents(text) {
        assert_eq!(check(document, origin), [], "{origin}:{line}");
        let applied = book.apply(&Control::RulePut {
            text: document.to_owned(),
            origin: origin.to_owned(),
            since: EventTime::MIN,
        });
        assert_eq!(applied.diagnostics, [], "{origin}:{line}");
    }
}

/// All rules of ours, without a remark on any: those that read others once these are there.
pub fn book() -> RuleBook {
    let mut book = RuleBook::new();
    let mut left: Vec<(String, String)> = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, document) in split_documents(&text) {
            let origin = format!("{}:{line}", file.display());
            assert_eq!(check(document, &origin), [], "{origin}");
            left.push((origin, document.to_owned()));
        }
    }
    while !left.is_empty() {
        let (before, mut remarks) = (left.len(), Vec::new());
        left.retain(|(origin, document)| {
            let mut tried = book.clone();
            let applied = tried.apply(&Control::RulePut {
                text: document.clone(),
                origin: origin.clone(),
                since: EventTime::MIN,
            });
            let stays = !applied.diagnostics.is_empty();
            remarks.extend(applied.diagnostics);
            if !stays {
                book = tried;
            }
            stays
        });
        assert!(left.len() < before, "{remarks:#?}");
    }
    book
}

/// The frame of a delivery, and how it is read.
pub fn frame(delivery: &Delivery) -> (Vec<u8>, Format) {
    match &delivery.payload {
        Payload::Line(line) => (line.clone(), Format::Syslog),
        Payload::Agent(record) => {
            let fields: Vec<(&str, &str)> = record
                .fields
                .iter()
                .map(|(name, value)| (&name[..], &value[..]))
                .collect();
            let (kind, logsource) = (Some(&record.kind[..]), Some(&record.logsource[..]));
            let time = record.time.0;
            let frame = weir_schema::agent::encode_event(time, kind, logsource, &fields, None);
            (frame, Format::Agent)
        }
    }
}
