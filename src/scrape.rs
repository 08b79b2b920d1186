//! Reads what `/metrics` of a server says: Prometheus' text format, as far as Weir writes it.

use std::collections::BTreeMap;

/// One scrape: samples by name.
#[derive(Debug, Default)]
pub struct Scrape {
    samples: BTreeMap<String, Vec<Sample>>,
}

/// One sample, with its labels in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty where it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        let mut labels = self.labels.iter();
        labels
            .find(|(label, _)| label == name)
            .map_or("", |(_, value)| value)
    }
}

impl Scrape {
    /// Reads a scrape; lines that are none are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                scrape.samples.entry(name).or_default().push(sample);
            }
        }
        scrape
    }

    /// All samples of a metric.
    #[must_use]
    pub fn of(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The samples of a metric, added up.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).iter().map(|sample| sample.value).sum()
    }

    /// Those of a metric whose labels are all as given, added up.
    #[must_use]
    pub fn with(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |sample: &&Sample| {
            let mut labels = labels.iter();
            labels.all(|(name, value)| sample.label(name) == *value)
        };
        let found = self.of(name).iter().filter(wanted);
        found.map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<(String, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.push((label.to_owned(), value));
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), Sample { labels, value }))
}

/// A label's value up to its closing quote, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (escaped, letter) {
            (true, 'n') => value.push('\n'),
            (true, other) => value.push(other),
            (false, '"') => return Some((value, text.get(at + 1..)?)),
            (false, '\\') => {}
            (false, other) => value.push(other),
        }
        escaped = !escaped && letter == '\\';
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a b\na 1\nb{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2.5\nb{x=\"2\",y=\"\"} 4\nnonsense{\nc{x=\"\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.sum("a"), 1.0);
        assert_eq!(scrape.sum("b"), 6.5);
        assert_eq!(scrape.of("b")[0].label("y"), "q\"\\\n}");
        assert_eq!(scrape.with("b", &[("x", "2")]), 4.0);
        assert!(scrape.of("c").is_empty() && scrape.of("nonsense").is_empty());
    }
}
