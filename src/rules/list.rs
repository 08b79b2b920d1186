//! `weir rules list`: rules in short, as a table or as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use weir_detect::RuleSummary;

use crate::config::DetectionConfig;
use crate::observe::shown;
use crate::rules::{Format, Rules, answer, code};

/// Lists rules: id, title, level, log source, status.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Files of rules, or folders of `*.yml` and `*.yaml` [default: the built-in rules].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists what can be used; what cannot is told on standard error, and makes the code 65.
pub fn list(args: &ListArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = Rules::read(&args.paths, detection)?;
    let taken = rules.loaded.taken.iter();
    let origins: BTreeMap<&str, &str> = taken
        .filter_map(|wanted| Some((wanted.id.as_deref()?, &*wanted.document.origin)))
        .collect();
    let summaries = rules.book.rules();
    let origin = |rule: &RuleSummary| origins.get(&*rule.id).copied().unwrap_or_default();
    match args.format {
        Format::Text => answer(&table(&summaries))?,
        Format::Json => {
            let value = |rule: &RuleSummary| value(rule, origin(rule));
            let values: Vec<_> = summaries.iter().map(value).collect();
            answer(&json!({ "rules": values }).to_string())?;
        }
    }
    Ok(code(rules.complain()))
}

/// Longer log sources are cut in the table.
const LOGSOURCE_CHARS: usize = 40;

fn table(rules: &[RuleSummary]) -> String {
    let rows: Vec<[String; 5]> = rules
        .iter()
        .map(|rule| {
            [
                rule.level.name().to_owned(),
                shown(rule.status.as_deref().unwrap_or("-")),
                shown(&logsource(rule))
                    .chars()
                    .take(LOGSOURCE_CHARS)
                    .collect(),
                shown(&rule.id),
                shown(&rule.title),
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

/// `product/category/service`, as far as the rule says; of a correlation what kind it is.
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

fn value(rule: &RuleSummary, origin: &str) -> serde_json::Value {
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
