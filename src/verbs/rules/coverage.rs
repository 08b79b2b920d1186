//! `weir rules coverage`: compares rules with the known log sources, and counts their ATT&CK
//! techniques.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use weir_detect::RuleSummary;
use weir_manage::settings;

use crate::config::DetectionConfig;
use crate::console::{self, outln};
use crate::text::printable;
use crate::verbs::rules::list::logsource;
use crate::verbs::rules::providers::Providers;
use crate::verbs::rules::rule_coverage::RuleCoverage;
use crate::verbs::rules::{LoadedRules, OutputFormat, code, navigator};

/// Print which rules no known log source can trigger, which of their fields no source provides, and
/// how many rules each ATT&CK technique has.
#[derive(Debug, clap::Args)]
pub struct CoverageArgs {
    /// Rule files, or folders of `*.yml` and `*.yaml` [default: the built-in rules].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write a layer for the ATT&CK Navigator, format 4.5.
    #[arg(long, value_name = "FILE")]
    navigator: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// Prints the coverage; exits with 65 if rules cannot be used.
pub fn coverage(args: &CoverageArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = LoadedRules::read(&args.paths, detection)?;
    let problems = rules.print_problems();
    let settings = settings::load(&detection.placeholders, &detection.log_sources)?;
    let providers = Providers::new(&settings.log_sources);
    let providers = providers.context("the list of log sources is broken")?;
    let summaries = rules.book.rules();
    let by_id: BTreeMap<&str, &RuleSummary> = summaries.iter().map(|r| (&*r.id, r)).collect();
    let mut covered: Vec<RuleCoverage> = summaries
        .iter()
        .map(|rule| RuleCoverage::of(rule, &providers))
        .collect();
    // A correlation has events only if its members have.
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
    let report = CoverageReport::of(&covered);
    match args.format {
        OutputFormat::Text => outln!("{}", report.text(&covered)),
        OutputFormat::Json => console::out_json(&report.json(&covered)),
    }
    Ok(code(problems))
}

/// The coverage of all rules together.
struct CoverageReport {
    /// Log sources that nothing provides, with the number of rules for each.
    no_source: BTreeMap<String, usize>,
    /// Number of rules with missing fields.
    missing: usize,
    /// Number of rules with a source whose fields are unknown.
    open: usize,
    techniques: BTreeMap<String, usize>,
    tactics: BTreeMap<String, usize>,
}

impl CoverageReport {
    fn of(covered: &[RuleCoverage]) -> Self {
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

    fn text(&self, covered: &[RuleCoverage]) -> String {
        let mut lines = vec!["Fields that no log source of the rule provides".to_owned()];
        for rule in covered.iter().filter(|rule| !rule.missing.is_empty()) {
            let (source, title) = (logsource(&rule.rule), &rule.rule.title);
            let fields = printable(&rule.missing.join(", "));
            let (id, title) = (printable(&rule.rule.id), printable(title));
            lines.push(format!(
                "  {id}  {}  {fields}  ({title})",
                printable(&source)
            ));
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

    fn json(&self, covered: &[RuleCoverage]) -> serde_json::Value {
        let rule = |covered: &RuleCoverage| {
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
    let line = |(word, count): (&String, &usize)| format!("  {count:5}  {}", printable(word));
    lines.extend(rows.into_iter().map(line));
}
