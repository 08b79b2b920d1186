//! What `/metrics` says must add up: received = journaled + refused, journaled = decoded + problem.

use std::collections::BTreeMap;

/// One line of Prometheus' text format.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// All samples of a scrape.
pub fn samples(text: &str) -> Vec<Sample> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| sample(line).unwrap_or_else(|| panic!("no sample: {line}")))
        .collect()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.insert(label.to_owned(), value);
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: rest.trim().parse().ok()?,
    })
}

/// A label's value up to its closing quote, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (escaped, letter) {
            (true, 'n') => value.push('\n'),
            (true, other) => value.push(other),
            (false, '"') => return Some((value, &text[at + 1..])),
            (false, '\\') => {}
            (false, other) => value.push(other),
        }
        escaped = !escaped && letter == '\\';
    }
    None
}

/// What does not add up; nothing, once all that was sent has gone its way.
pub fn imbalances(text: &str) -> Vec<String> {
    let mut rows: BTreeMap<(String, String), BTreeMap<&'static str, f64>> = BTreeMap::new();
    let mut totals: BTreeMap<&'static str, f64> = BTreeMap::new();
    const BY_SOURCE: [&str; 5] = [
        "weir_source_received_total",
        "weir_source_journaled_total",
        "weir_source_refused_total",
        "weir_source_decoded_total",
        "weir_source_problem_events_total",
    ];
    const TOTALS: [&str; 2] = ["weir_events_received_total", "weir_events_journaled_total"];
    let mut empty = 0.0;
    let samples = samples(text);
    for sample in &samples {
        let key = (
            sample.label("tenant").to_owned(),
            sample.label("source").to_owned(),
        );
        if let Some(name) = BY_SOURCE.iter().find(|name| **name == sample.name) {
            *rows.entry(key).or_default().entry(*name).or_default() += sample.value;
            *totals.entry(*name).or_default() += sample.value;
        }
        if let Some(name) = TOTALS.iter().find(|name| **name == sample.name) {
            *totals.entry(*name).or_default() += sample.value;
        }
        if sample.name == "weir_events_dropped_total" && sample.label("reason") == "empty" {
            empty += sample.value;
        }
    }
    assert!(!rows.is_empty(), "no source has a row: {text}");
    let mut faults = Vec::new();
    let mut check = |what: String, left: f64, right: f64| {
        if left != right {
            faults.push(format!("{what}: {left} is not {right}"));
        }
    };
    for (source, row) in &rows {
        let of = |name: &str| row.get(name).copied().unwrap_or(0.0);
        check(
            format!("{source:?}, received = journaled + refused"),
            of(BY_SOURCE[0]),
            of(BY_SOURCE[1]) + of(BY_SOURCE[2]),
        );
        check(
            format!("{source:?}, journaled = decoded + with a problem"),
            of(BY_SOURCE[1]),
            of(BY_SOURCE[3]) + of(BY_SOURCE[4]),
        );
    }
    let total = |name: &str| totals.get(name).copied().unwrap_or(0.0);
    check(
        "transports' received = sources' received + empty".to_owned(),
        total(TOTALS[0]),
        total(BY_SOURCE[0]) + empty,
    );
    check(
        "all journaled".to_owned(),
        total(TOTALS[1]),
        total(BY_SOURCE[1]),
    );
    faults
}

/// Fails unless every event that came is accounted for.
pub fn assert_balanced(text: &str) {
    let faults = imbalances(text);
    assert!(faults.is_empty(), "{faults:#?}");
}
