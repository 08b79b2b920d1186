//! Helpers for tests of generated events: the rules in `rules/`, and frames of deliveries.

use std::path::{Path, PathBuf};

use weir_detect::{RuleBook, check, split_documents};
use weir_parse::{Context, Zone};
use weir_scenario::company::LENGTH_SECONDS;
use weir_scenario::{DeliveryPayload, PlannedDelivery};
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

/// Adds every document of a text; any diagnostic fails the test.
pub fn add(book: &mut RuleBook, text: &str, origin: &str) {
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

/// A book with all built-in rules, without diagnostics. Rules that refer to others come after
/// them.
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
        let (before, mut diagnostics) = (left.len(), Vec::new());
        left.retain(|(origin, document)| {
            let mut next = book.clone();
            let applied = next.apply(&Control::RulePut {
                text: document.clone(),
                origin: origin.clone(),
                since: EventTime::MIN,
            });
            let is_refused = !applied.diagnostics.is_empty();
            diagnostics.extend(applied.diagnostics);
            if !is_refused {
                book = next;
            }
            is_refused
        });
        assert!(left.len() < before, "{diagnostics:#?}");
    }
    book
}

/// The frame of a delivery, and its format.
pub fn frame(delivery: &PlannedDelivery) -> (Vec<u8>, Format) {
    match &delivery.payload {
        DeliveryPayload::Line(line) => (line.clone(), Format::Syslog),
        DeliveryPayload::Agent(record) => {
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
