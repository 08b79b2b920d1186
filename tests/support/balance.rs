//! Checks that `/metrics` adds up: received = journaled + refused, journaled = decoded + problem.

use std::collections::BTreeMap;

/// One line of the Prometheus text format.
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
        .map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}")))
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

/// Splits a label's value at its closing quote from the rest of the line.
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

/// Metrics by source, in the order of the two sums that must hold for every row.
const BY_SOURCE: [&str; 5] = [
    "weir_source_received_total",
    "weir_source_journaled_total",
    "weir_source_refused_total",
    "weir_source_decoded_total",
    "weir_source_problem_events_total",
];

/// Metrics over all sources: received by transports, and journaled.
const TOTALS: [&str; 2] = ["weir_events_received_total", "weir_events_journaled_total"];

/// Sums of the metrics that must add up.
#[derive(Default)]
struct Sums {
    /// By tenant and source, then by metric.
    rows: BTreeMap<(String, String), BTreeMap<&'static str, f64>>,
    totals: BTreeMap<&'static str, f64>,
    /// Empty frames, which transports receive and drop before they have a source.
    empty: f64,
}

impl Sums {
    fn read(text: &str) -> Self {
        let mut sums = Self::default();
        for sample in samples(text) {
            let (tenant, source) = (sample.label("tenant"), sample.label("source"));
            if let Some(name) = BY_SOURCE.iter().find(|name| **name == sample.name) {
                let row = sums.rows.entry((tenant.to_owned(), source.to_owned()));
                *row.or_default().entry(*name).or_default() += sample.value;
                *sums.totals.entry(*name).or_default() += sample.value;
            }
            if let Some(name) = TOTALS.iter().find(|name| **name == sample.name) {
                *sums.totals.entry(*name).or_default() += sample.value;
            }
            if sample.name == "weir_events_dropped_total" && sample.label("reason") == "empty" {
                sums.empty += sample.value;
            }
        }
        sums
    }
}

/// Lists the sums that do not hold. Empty once every sent event has been processed.
pub fn imbalances(text: &str) -> Vec<String> {
    let sums = Sums::read(text);
    assert!(!sums.rows.is_empty(), "no source has a row: {text}");
    let mut faults = Vec::new();
    let mut check = |what: String, left: f64, right: f64| {
        if left != right {
            faults.push(format!("{what}: {left} is not {right}"));
        }
    };
    for (source, row) in &sums.rows {
        let value = |index: usize| row.get(BY_SOURCE[index]).copied().unwrap_or(0.0);
        check(
            format!("{source:?}, received = journaled + refused"),
            value(0),
            value(1) + value(2),
        );
        check(
            format!("{source:?}, journaled = decoded + with a problem"),
            value(1),
            value(3) + value(4),
        );
    }
    let total = |name: &str| sums.totals.get(name).copied().unwrap_or(0.0);
    check(
        "received by transports = received by sources + empty".to_owned(),
        total(TOTALS[0]),
        total(BY_SOURCE[0]) + sums.empty,
    );
    check(
        "all journaled".to_owned(),
        total(TOTALS[1]),
        total(BY_SOURCE[1]),
    );
    faults
}

/// Fails unless the metrics account for every received event.
pub fn assert_balanced(text: &str) {
    let faults = imbalances(text);
    assert!(faults.is_empty(), "{faults:#?}");
}
