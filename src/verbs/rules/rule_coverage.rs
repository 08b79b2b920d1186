//! The coverage of one rule: its log sources, its missing fields, its ATT&CK techniques.

use std::collections::BTreeSet;

use weir_detect::{RuleKind, RuleSummary};

use crate::verbs::rules::providers::Providers;

/// The coverage of one rule.
pub struct RuleCoverage {
    pub rule: RuleSummary,
    /// Whether some known log source has events for it.
    pub has_source: bool,
    /// Fields that it reads and no source of it provides.
    pub missing: Vec<String>,
    /// Whether the fields of one of its sources are unknown, so that none can be reported missing.
    pub is_open: bool,
    /// Such as `T1059.001`.
    pub techniques: BTreeSet<String>,
    /// Such as `execution`.
    pub tactics: BTreeSet<String>,
}

impl RuleCoverage {
    /// Compares the rule with the known log sources.
    pub fn of(rule: &RuleSummary, providers: &Providers) -> Self {
        let mut coverage = Self {
            rule: rule.clone(),
            has_source: true,
            missing: Vec::new(),
            is_open: false,
            techniques: rule.tags.iter().filter_map(|tag| technique(tag)).collect(),
            tactics: rule.tags.iter().filter_map(|tag| tactic(tag)).collect(),
        };
        let (Some(source), RuleKind::Event) = (&rule.logsource, rule.kind) else {
            return coverage;
        };
        let known = providers.matching(source);
        coverage.has_source = !known.is_empty();
        if known.is_empty() {
            return coverage;
        }
        for field in &rule.fields {
            let mut has = known.iter().map(|provider| provider.has(field));
            coverage.is_open |= has.clone().any(|has| has.is_none());
            if has.all(|has| has == Some(false)) {
                coverage.missing.push(field.clone());
            }
        }
        coverage
    }
}

/// The technique of a tag such as `attack.t1059.001`, as the Navigator names it.
fn technique(tag: &str) -> Option<String> {
    let rest = tag.strip_prefix("attack.t")?;
    let (number, sub) = match rest.split_once('.') {
        Some((number, sub)) => (number, Some(sub)),
        None => (rest, None),
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let good = digits(number, 4) && sub.is_none_or(|sub| digits(sub, 3));
    good.then(|| format!("T{rest}"))
}

/// The tactic of a tag such as `attack.credential-access`, also in the older form with `_`.
///
/// Groups, software and data sources have digits.
fn tactic(tag: &str) -> Option<String> {
    let word = tag.strip_prefix("attack.")?.replace('_', "-");
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
    (!word.is_empty() && word.bytes().all(plain)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_techniques_and_tactics() {
        for (tag, technique_is, tactic_is) in [
            ("attack.t1059.001", Some("T1059.001"), None),
            ("attack.t1059", Some("T1059"), None),
            ("attack.t105", None, None),
            ("attack.t1059.1", None, None),
            ("attack.execution", None, Some("execution")),
            ("attack.credential_access", None, Some("credential-access")),
            ("attack.g0016", None, None),
            ("attack.s0154", None, None),
            ("cve.2021-44228", None, None),
            ("attack.", None, None),
        ] {
            assert_eq!(technique(tag).as_deref(), technique_is, "{tag}");
            assert_eq!(tactic(tag).as_deref(), tactic_is, "{tag}");
        }
    }
}
