//! `weir rules lint`: all that is wrong with rules, each with its place and what to do.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use weir_detect::Diagnostic;

use crate::config::DetectionConfig;
use crate::rules::{Format, Rules, answer, code, load};

/// Compiles rules and tells all that is wrong with them, with file, line, column and a hint.
#[derive(Debug, clap::Args)]
pub struct LintArgs {
    /// Files of rules, or folders of `*.yml` and `*.yaml`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say on standard error how long reading and compiling took.
    #[arg(long)]
    time: bool,
}

/// Tells what is wrong; 65 where something is.
pub fn lint(args: &LintArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let begun = Instant::now();
    let rules = Rules::read(&args.paths, detection)?;
    if args.time {
        let took = begun.elapsed().as_secs_f64() * 1e3;
        eprintln!("{took:.1} ms for {} documents", rules.documents);
    }
    let problems = rules.said.iter().filter(|said| said.refused).count();
    let remarks = rules.said.len() - problems;
    match args.format {
        Format::Text => {
            let mut lines: Vec<String> = rules.said.iter().map(load::line).collect();
            lines.push(format!(
                "{} files, {} documents: {} in force, {problems} problems, {remarks} remarks",
                rules.files,
                rules.documents,
                rules.loaded.taken.len(),
            ));
            answer(&lines.join("\n"))?;
        }
        Format::Json => {
            let told = json!({
                "files": rules.files,
                "documents": rules.documents,
                "in_force": rules.loaded.taken.len(),
                "problems": problems,
                "remarks": remarks,
                "diagnostics": rules.said.iter().map(value).collect::<Vec<_>>(),
            });
            answer(&told.to_string())?;
        }
    }
    Ok(code(problems))
}

fn value(said: &Diagnostic) -> serde_json::Value {
    let (file, line, column) = load::place(said);
    json!({
        "file": file,
        "line": line,
        "column": column,
        "severity": if said.refused { "error" } else { "remark" },
        "message": said.message,
        "hint": said.hint,
    })
}
