//! Parses `/metrics`: Prometheus' text format, as far as Weir writes it.

use std::collections::BTreeMap;

/// One scrape: the samples of each metric.
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
    /// The value of a label; empty if the sample has no such label.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        let mut labels = self.labels.iter();
        labels
            .find(|(label, _)| label == name)
            .map_or("", |(_, value)| value)
    }
}

impl Scrape {
    /// Parses a scrape, and skips lines that are not samples.
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
    pub fn samples(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of all samples of a metric.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.samples(name).iter().map(|sample| sample.value).sum()
    }

    /// The sum of the samples of a metric that have these labels.
    #[must_use]
    pub fn sum_with(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |sample: &&Sample| {
            let mut labels = labels.iter();
            labels.all(|(name, value)| sample.label(name) == *value)
        };
        let found = self.samples(name).iter().filter(wanted);
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
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), Sample { labels, value }))
}

/// The value of a label up to its closing quote, and the text after it.
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
    fn samples_are_parsed_with_their_labels() {
        let text = "# HELP a b\na 1\nb{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2.5\nb{x=\"2\",y=\"\"} 4\nnonsense{\nc{x=\"\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.sum("a"), 1.0);
        assert_eq!(scrape.sum("b"), 6.5);
        assert_eq!(scrape.samples("b")[0].label("y"), "q\"\\\n}");
        assert_eq!(scrape.sum_with("b", &[("x", "2")]), 4.0);
        assert!(scrape.samples("c").is_empty() && scrape.samples("nonsense").is_empty());
    }
}
