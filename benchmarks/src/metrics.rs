//! Parses the `/metrics` of a server.

use std::collections::BTreeMap;

/// Sums a metric over its labels.
#[must_use]
pub fn sum(metrics: &str, name: &str) -> f64 {
    samples(metrics)
        .filter(|(sample, _)| sample.split('{').next() == Some(name))
        .map(|(_, value)| value)
        .sum()
}

/// The `weir_` metrics without labels.
#[must_use]
pub fn unlabelled(metrics: &str) -> BTreeMap<&str, f64> {
    samples(metrics)
        .filter(|(sample, _)| sample.starts_with("weir_") && !sample.contains('{'))
        .collect()
}

fn samples(metrics: &str) -> impl Iterator<Item = (&str, f64)> {
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            Some((sample, value.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_labels() {
        let text = "# HELP a x\na{b=\"1\"} 2\na{b=\"2\"} 3.5\nab 7\nweir_c 4\n";
        assert_eq!(sum(text, "a"), 5.5);
        assert_eq!(unlabelled(text), BTreeMap::from([("weir_c", 4.0)]));
    }
}
