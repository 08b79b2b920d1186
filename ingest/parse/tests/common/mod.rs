//! Helpers that the tests share: a decoding context, and the folder of public test data.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::io::Write;
use std::path::{Path, PathBuf};

use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, EventTime, Format, ReceiveTime, Span, Value};

/// 2026-03-02T00:00:00Z
pub const RECEIVED: ReceiveTime = ReceiveTime(1_772_409_600_000_000_000);

pub fn context(format: Format) -> Context<'static> {
    Context {
        format,
        received: RECEIVED,
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

/// Returns `category/product/service` of an event.
pub fn log_source(event: &Event<'_>) -> String {
    let source = &event.logsource;
    [&source.category, &source.product, &source.service]
        .map(|part| part.clone().unwrap_or_default())
        .join("/")
}

/// Returns the value of a field as text.
pub fn text(event: &Event<'_>, name: &str) -> Option<String> {
    let text = event.get(name)?.as_text()?;
    Some(text.into_owned())
}

/// The folder of public test data: `WEIR_DATA`, or `shared/data` next to the repository.
fn data_folder() -> PathBuf {
    match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

/// Returns the path of a data file or folder. If it does not exist, reports that the test is
/// skipped.
pub fn data(test: &str, path: &str) -> Option<PathBuf> {
    let full = data_folder().join(path);
    if full.exists() {
        return Some(full);
    }
    // libtest hides the output of passing tests, but not what is written to standard error.
    let skipped = format!("SKIPPED: {test}: no {path} in the data folder (WEIR_DATA)\n");
    let _ = std::io::stderr().write_all(skipped.as_bytes());
    None
}

/// Reads a data file, decompressed if its name ends with `.zst`.
pub fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::decode_all(&bytes[..]).unwrap()
    } else {
        bytes
    }
}

/// Returns the non-empty lines of a data file, or `None` if the test must be skipped.
pub fn lines(test: &str, path: &str) -> Option<Vec<String>> {
    let text = String::from_utf8(read(&data(test, path)?)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    Some(lines.map(str::to_owned).collect())
}

/// Returns the rows of a JSON lines file, or `None` if the test must be skipped.
pub fn rows(test: &str, path: &str) -> Option<Vec<serde_json::Value>> {
    let lines = lines(test, path)?;
    let rows = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    Some(rows.collect())
}

/// The time that a line states, whether or not the event takes it.
pub fn stated_time(event: &Event<'_>) -> EventTime {
    event.stated.unwrap_or(event.time)
}

/// As [`stated_time`], as it is printed.
pub fn written_time(event: &Event<'_>) -> String {
    if let Some(stated) = text(event, "stated_time") {
        return stated;
    }
    let json = event_json(event);
    json.split('"').nth(3).unwrap_or_default().to_owned()
}

/// Asserts fields of the event, each `(name, value)`; the value `""` means absent or empty.
///
/// `TIME`, `SOURCE`, `MESSAGE` and `PROBLEMS` are the parts of the event itself.
pub fn check(frame: &[u8], context: &Context<'_>, expected: &[(&str, &str)]) {
    let event = decode(frame, context);
    let json = event_json(&event);
    for (name, value) in expected {
        let got = match *name {
            "TIME" => written_time(&event),
            "SOURCE" => log_source(&event),
            "MESSAGE" => event.message.to_string(),
            "PROBLEMS" => {
                let names: Vec<_> = event.problems.iter().map(|p| p.name()).collect();
                names.join(" ")
            }
            name => text(&event, name).unwrap_or_default(),
        };
        assert_eq!(got, *value, "{name} of {json}");
    }
}

/// Returns the value of a field as text: `-` if absent, and the items of a list joined with `|`.
pub fn field_text(event: &Event<'_>, name: &str) -> String {
    match event.get(name) {
        None => "-".into(),
        Some(Value::List(values)) => {
            let texts = values
                .iter()
                .map(|value| value.as_text().unwrap_or_default());
            texts.collect::<Vec<_>>().join("|")
        }
        Some(value) => value.as_text().unwrap_or_default().into_owned(),
    }
}

/// Asserts fields of the event of a line, each `name=value` in the form of [`field_text`].
pub fn check_fields(line: &str, fields: &[&str]) {
    let event = decode(line.as_bytes(), &context(Format::Auto));
    for field in fields {
        let (name, expected) = field.split_once('=').unwrap();
        let got = field_text(&event, name);
        assert_eq!(got, expected, "{name} of {line}\n{}", event_json(&event));
    }
}
