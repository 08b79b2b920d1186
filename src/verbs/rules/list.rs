//! `weir rules list`: lists rules as a table or as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use weir_detect::RuleSummary;

use crate::config::DetectionConfig;
use crate::console::{self, outln};
use crate::text::printable;
use crate::verbs::rules::{LoadedRules, OutputFormat, code};

/// List rules: id, title, level, log source, status.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Rule files, or folders of `*.yml` and `*.yaml` [default: the built-in rules].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// Lists the rules that can be used. Prints the problems of others on standard error; exits with 65
/// if there are any.
pub fn list(args: &ListArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = LoadedRules::read(&args.paths, detection)?;
    let accepted = rules.outcome.accepted.iter();
    let origins: BTreeMap<&str, &str> = accepted
        .filter_map(|one| Some((one.id.as_deref()?, &*one.document.origin)))
        .collect();
    let summaries = rules.book.rules();
    let origin = |rule: &RuleSummary| origins.get(&*rule.id).copied().unwrap_or_default();
    match args.format {
        OutputFormat::Text => outln!("{}", table(&summaries)),
        OutputFormat::Json => {
            let value = |rule: &RuleSummary| rule_json(rule, origin(rule));
            let values: Vec<_> = summaries.iter().map(value).collect();
            console::out_json(&json!({ "rules": values }));
        }
    }
    Ok(code(rules.print_problems()))
}

/// Widest log source in the table; longer ones are cut.
const LOGSOURCE_CHARS_MAX: usize = 40;

fn table(rules: &[RuleSummary]) -> String {
    let rows: Vec<[String; 5]> = rules
        .iter()
        .map(|rule| {
            [
                rule.level.name().to_owned(),
                printable(rule.status.as_deref().unwrap_or("-")),
                printable(&logsource(rule))
                    .chars()
                    .take(LOGSOURCE_CHARS_MAX)
                    .collect(),
                printable(&rule.id),
                printable(&rule.title),
            ]
        })
        .collect();
    let head = ["LEVEL", "STATUS", "LOG SOURCE", "ID", "TITLE"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&head])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let [level, status, source, id] = [0, 1, 2, 3].map(width);
    let row = |[a, b, c, d, title]: &[String; 5]| {
        format!("{a:level$}  {b:status$}  {c:source$}  {d:id$}  {title}")
    };
    let lines: Vec<String> = [&head].into_iter().chain(&rows).map(row).collect();
    lines.join("\n")
}

/// The log source of a rule as `product/category/service`; the kind of a correlation.
pub fn logsource(rule: &RuleSummary) -> String {
    let Some(source) = &rule.logsource else {
        return format!("{:?}", rule.kind);
    };
    let words = [&source.product, &source.category, &source.service];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    if words.is_empty() {
        return "all events".to_owned();
    }
    words.join("/")
}

fn rule_json(rule: &RuleSummary, origin: &str) -> serde_json::Value {
    let source = rule.logsource.as_ref();
    json!({
        "id": &*rule.id,
        "name": rule.name,
        "title": rule.title,
        "level": rule.level.name(),
        "status": rule.status,
        "logsource": source.map(|source| json!({
            "product": source.product,
            "category": source.category,
            "service": source.service,
        })),
        "tags": rule.tags,
        "fields": rule.fields,
        "alerts": rule.alerts,
        "origin": origin,
    })
}
