//! Valid documents, for tests that break them.

/// A rule with clauses of most kinds.
pub const RULE: &str = "title: T\nid: t\nlogsource: {product: linux}\ndetection:\n  sel:\n    \
    A|contains|all: [x, '*y?']\n    B|re|i: 'a.*b'\n    C|cidr: 10.0.0.0/8\n    D|gte: 5\n    \
    E|base64offset|contains: abc\n    F: null\n  kw: [one, two]\n  \
    condition: sel and not 1 of k*\nlevel: low\n";

/// A count of events.
pub const COUNT: &str = "title: C\ncorrelation: {type: event_count, rules: [a], group-by: [u], \
    timespan: 5m, condition: {gte: 5}}\n";

/// A temporal correlation.
pub const TEMPORAL: &str = "title: C\ncorrelation: {type: temporal, rules: [a, b], timespan: 5m, \
    condition: a and not b}\n";

/// A rule with this detection section.
pub fn rule_with(detection: &str) -> String {
    format!("title: T\nid: t\nlogsource: {{product: linux}}\ndetection:\n{detection}")
}
