//! `weir rules coverage`: what rules could see with the log sources that are known, and which ATT&CK
//! techniques they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use weir_detect::{RuleKind, RuleSummary};

use crate::config::DetectionConfig;
use crate::observe::shown;
use crate::rules::list::logsource;
use crate::rules::provided::Providers;
use crate::rules::{Format, Rules, answer, code, navigator};

/// Says which rules can never fire with the log sources that are known, which of their fields no
/// source provides, and how many rules there are for each ATT&CK technique.
#[derive(Debug, clap::Args)]
pub struct CoverageArgs {
    /// Files of rules, or folders of `*.yml` and `*.yaml` [default: the built-in rules].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write a layer for the ATT&CK Navigator, format 4.5.
    #[arg(long, value_name = "FILE")]
    navigator: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is known of one rule.
pub struct Covered {
    pub rule: RuleSummary,
    /// Some log source that is known has events for it.
    pub has_source: bool,
    /// Fields that it reads and no source of it provides.
    pub missing: Vec<String>,
    /// The fields of one of its sources are not known, so that none can be said to be missing.
    pub is_open: bool,
    /// `T1059.001`.
    pub techniques: BTreeSet<String>,
    /// `execution`.
    pub tactics: BTreeSet<String>,
}

/// Tells what is covered; 65 where rules are bad.
pub fn coverage(args: &CoverageArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = Rules::read(&args.paths, detection)?;
    let problems = rules.complain();
    let settings = crate::detection::settings(detection)?;
    let providers = Providers::new(&settings.log_sources);
    let providers = providers.context("the list of log sources is broken")?;
    let summaries = rules.book.rules();
    let by_id: BTreeMap<&str, &RuleSummary> = summaries.iter().map(|r| (&*r.id, r)).collect();
    let mut covered: Vec<Covered> = summaries.iter().map(|r| cover(r, &providers)).collect();
    // A correlation sees what its rules see.
    let blind: BTreeSet<&str> = covered
        .iter()
        .filter(|c| !c.has_source)
        .map(|c| &*c.rule.id)
        .collect();
    let reads_blind: BTreeSet<String> = blind
        .iter()
        .filter_map(|id| by_id.get(id))
        .flat_map(|rule| rule.referenced_by.iter().map(ToString::to_string))
        .collect();
    for rule in &mut covered {
        rule.has_source &= !reads_blind.contains(&*rule.rule.id);
    }
    if let Some(file) = &args.navigator {
        let layer = navigator::layer(&covered);
        let text = format!("{layer:#}\n");
        let cannot = || format!("cannot write {}", file.display());
        std::fs::write(file, text).with_context(cannot)?;
    }
    let report = Report::of(&covered);
    match args.format {
        Format::Text => answer(&report.text(&covered))?,
        Format::Json => answer(&report.json(&covered).to_string())?,
    }
    Ok(code(problems))
}

fn cover(rule: &RuleSummary, providers: &Providers) -> Covered {
    let mut covered = Covered {
        rule: rule.clone(),
        has_source: true,
        missing: Vec::new(),
        is_open: false,
        techniques: rule.tags.iter().filter_map(|tag| technique(tag)).collect(),
        tactics: rule.tags.iter().filter_map(|tag| tactic(tag)).collect(),
    };
    let (Some(source), RuleKind::Event) = (&rule.logsource, rule.kind) else {
        return covered;
    };
    let known = providers.of(source);
    covered.has_source = !known.is_empty();
    if known.is_empty() {
        return covered;
    }
    for field in &rule.fields {
        let mut has = known.iter().map(|provider| provider.has(field));
        covered.is_open |= has.clone().any(|has| has.is_none());
        if has.all(|has| has == Some(false)) {
            covered.missing.push(field.clone());
        }
    }
    covered
}

/// `attack.t1059.001` as the Navigator names it.
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

/// `attack.credential-access`, also in the older form with `_`. Groups, software and data sources
/// have digits.
fn tactic(tag: &str) -> Option<String> {
    let word = tag.strip_prefix("attack.")?.replace('_', "-");
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
    (!word.is_empty() && word.bytes().all(plain)).then_some(word)
}

/// What is told of all rules together.
struct Report {
    /// Log sources that nobody provides, with how many rules look at each.
    no_source: BTreeMap<String, usize>,
    missing: usize,
    open: usize,
    techniques: BTreeMap<String, usize>,
    tactics: BTreeMap<String, usize>,
}

impl Report {
    fn of(covered: &[Covered]) -> Self {
        let mut report = Self {
            no_source: BTreeMap::new(),
            missing: covered.iter().filter(|c| !c.missing.is_empty()).count(),
            open: covered.iter().filter(|c| c.is_open).count(),
            techniques: BTreeMap::new(),
            tactics: BTreeMap::new(),
        };
        for rule in covered {
            if !rule.has_source {
                *report.no_source.entry(logsource(&rule.rule)).or_default() += 1;
            }
            for technique in &rule.techniques {
                *report.techniques.entry(technique.clone()).or_default() += 1;
            }
            for tactic in &rule.tactics {
                *report.tactics.entry(tactic.clone()).or_default() += 1;
            }
        }
        report
    }

    fn text(&self, covered: &[Covered]) -> String {
        let mut lines = vec!["Fields that no log source of the rule provides".to_owned()];
        for rule in covered.iter().filter(|rule| !rule.missing.is_empty()) {
            let (source, title) = (logsource(&rule.rule), &rule.rule.title);
            let fields = shown(&rule.missing.join(", "));
            let (id, title) = (shown(&rule.rule.id), shown(title));
            lines.push(format!("  {id}  {}  {fields}  ({title})", shown(&source)));
        }
        lines.push("Log sources that nobody provides, with rules".to_owned());
        counts(&mut lines, &self.no_source);
        lines.push("ATT&CK tactics, with rules".to_owned());
        counts(&mut lines, &self.tactics);
        lines.push("ATT&CK techniques, with rules".to_owned());
        counts(&mut lines, &self.techniques);
        let blind: usize = self.no_source.values().sum();
        lines.push(format!(
            "{} rules: {blind} look at log sources that nobody provides, {} read fields that their \
             sources lack, of {} not all fields are known; {} techniques",
            covered.len(),
            self.missing,
            self.open,
            self.techniques.len(),
        ));
        lines.join("\n")
    }

    fn json(&self, covered: &[Covered]) -> serde_json::Value {
        let rule = |covered: &Covered| {
            json!({
                "id": &*covered.rule.id,
                "title": covered.rule.title,
                "logsource": logsource(&covered.rule),
                "has_source": covered.has_source,
                "missing_fields": covered.missing,
                "all_fields_known": !covered.is_open,
                "techniques": covered.techniques,
                "tactics": covered.tactics,
            })
        };
        json!({
            "rules": covered.iter().map(rule).collect::<Vec<_>>(),
            "sources_that_nobody_provides": self.no_source,
            "tactics": self.tactics,
            "techniques": self.techniques,
        })
    }
}

fn counts(lines: &mut Vec<String>, counts: &BTreeMap<String, usize>) {
    let mut rows: Vec<(&String, &usize)> = counts.iter().collect();
    rows.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), (*word).clone()));
    let line = |(word, count): (&String, &usize)| format!("  {count:5}  {}", shown(word));
    lines.extend(rows.into_iter().map(line));
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
