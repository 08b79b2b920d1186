//! Lines that people really sent, each with its verdict: read as expected, or a gap that is known.
//!
//! The inputs are not part of the project. They lie in the folder `WEIR_CASES`, or in `cases` beside
//! `WEIR_DATA`; without them the test is skipped.

mod common;

#[path = "cases/products.rs"]
mod products;
#[path = "cases/rows.rs"]
mod rows;

use std::io::Write;
use std::path::PathBuf;

use weir_parse::{Context, decode, event_json, observables};
use weir_schema::{Event, Format, ReceiveTime, Span};

use common::{context, field_text, log_source};
use products::PRODUCTS;
use rows::ROWS;

/// 2026-11-30T12:00:00Z, soon after the newest input.
const RECEIVED: ReceiveTime = ReceiveTime(1_796_040_000_000_000_000);

/// Returns the folder of the inputs; `None`, and says so, if there is none.
fn folder() -> Option<PathBuf> {
    let beside = || Some(PathBuf::from(std::env::var_os("WEIR_DATA")?).join("../cases"));
    let named = std::env::var_os("WEIR_CASES").map(PathBuf::from);
    let folder = named.or_else(beside).map(|folder| folder.join("ingest"));
    let found = folder.filter(|folder| folder.exists());
    if found.is_none() {
        let skipped = b"SKIPPED: cases_have_their_verdicts: no folder of cases (WEIR_CASES)\n";
        let _ = std::io::stderr().write_all(skipped);
    }
    found
}

fn value(event: &Event<'_>, name: &str) -> String {
    match name {
        "SOURCE" => log_source(event),
        "MESSAGE" => event.message.to_string(),
        "PROBLEMS" => {
            let names: Vec<_> = event.problems.iter().map(|p| p.name()).collect();
            names.join(" ")
        }
        name => match field_text(event, name).as_str() {
            "-" => String::new(),
            text => text.to_owned(),
        },
    }
}

/// Returns what differs from the row.
fn faults(event: &Event<'_>, expected: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for pair in expected.split("  ") {
        match pair.split_once('=') {
            Some((name, wanted)) if value(event, name) != wanted => {
                faults.push(format!("{name}: {:?}, not {wanted:?}", value(event, name)));
            }
            Some(_) => {}
            None => {
                let name = pair.trim_end_matches('!');
                if value(event, name).is_empty() {
                    faults.push(format!("{name} is missing"));
                }
            }
        }
    }
    faults
}

#[test]
fn cases_have_their_verdicts() {
    let Some(folder) = folder() else {
        return;
    };
    let context = Context {
        received: RECEIVED,
        // The clock of some inputs is ahead of the receipt.
        future_tolerance: Span::seconds(1_000_000_000),
        ..context(Format::Auto)
    };
    let (mut lines, mut all) = (0, Vec::new());
    for (row, file, numbers, expected) in ROWS.iter().chain(PRODUCTS) {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let frames: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut verdict = "read";
        for number in *numbers {
            lines += 1;
            let event = decode(frames[number - 1], &context);
            let _ = observables(&event);
            let faults = faults(&event, expected);
            if !faults.is_empty() {
                verdict = "FAULT";
                all.push(format!(
                    "{row} {file}:{number}: {faults:?}\n  {}",
                    event_json(&event)
                ));
            }
        }
        println!("{row:12} {file:28} {numbers:?} {verdict}");
    }
    assert!(
        all.is_empty(),
        "{} of {lines} lines:\n{}",
        all.len(),
        all.join("\n")
    );
}
