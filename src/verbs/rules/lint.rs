//! `weir rules lint`: prints the diagnostics of rules, each with its place and a hint.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use weir_detect::Diagnostic;
use weir_manage::source_position;

use crate::config::DetectionConfig;
use crate::console::{self, errln, outln};
use crate::verbs::diagnostics::diagnostic_line;
use crate::verbs::rules::{LoadedRules, OutputFormat, code};

/// Compile rules and print their problems, with file, line, column and a hint.
#[derive(Debug, clap::Args)]
pub struct LintArgs {
    /// Rule files, or folders of `*.yml` and `*.yaml`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// Print on standard error how long reading and compiling took.
    #[arg(long)]
    time: bool,
}

/// Lints rules; exits with 65 if any has a problem.
pub fn lint(args: &LintArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let begun = Instant::now();
    let rules = LoadedRules::read(&args.paths, detection)?;
    if args.time {
        let took = begun.elapsed().as_secs_f64() * 1e3;
        errln!("{took:.1} ms for {} documents", rules.documents);
    }
    let diagnostics = &rules.diagnostics;
    let problems = diagnostics.iter().filter(|one| one.refused).count();
    let remarks = diagnostics.len() - problems;
    match args.format {
        OutputFormat::Text => {
            let mut lines: Vec<String> = diagnostics.iter().map(diagnostic_line).collect();
            lines.push(format!(
                "{} files, {} documents: {} in force, {problems} problems, {remarks} remarks",
                rules.files,
                rules.documents,
                rules.outcome.accepted.len(),
            ));
            outln!("{}", lines.join("\n"));
        }
        OutputFormat::Json => {
            let report = json!({
                "files": rules.files,
                "documents": rules.documents,
                "in_force": rules.outcome.accepted.len(),
                "problems": problems,
                "remarks": remarks,
                "diagnostics": diagnostics.iter().map(diagnostic_json).collect::<Vec<_>>(),
            });
            console::out_json(&report);
        }
    }
    Ok(code(problems))
}

fn diagnostic_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let position = source_position(diagnostic);
    json!({
        "file": position.file,
        "line": position.line,
        "column": position.column,
        "severity": if diagnostic.refused { "error" } else { "remark" },
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
