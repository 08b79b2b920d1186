//! Prints results as lines and as a Markdown table.

use std::fmt::Write;

use crate::case::CaseReport;

/// One result as a line.
#[must_use]
pub fn line(report: &CaseReport) -> String {
    let (verdict, seconds) = (report.verdict.name(), report.took.as_secs());
    format!(
        "{verdict:8} {:32} {seconds:4} s  {}",
        report.name,
        figures(report)
    )
}

/// All results as a table.
#[must_use]
pub fn markdown(reports: &[CaseReport]) -> String {
    let mut text = String::from("| case | measured | seconds | verdict |\n|---|---|---|---|\n");
    for report in reports {
        let (verdict, seconds) = (report.verdict.name(), report.took.as_secs());
        let figures = figures(report).replace('|', "\\|");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {figures} | {seconds} | {verdict} |",
            report.name
        );
    }
    text
}

/// The measured facts, then what is wrong.
fn figures(report: &CaseReport) -> String {
    if let Some(reason) = &report.facts.skipped {
        return format!("skipped: {reason}");
    }
    let measured = report.facts.measured.iter();
    let mut parts: Vec<String> = measured
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if !report.facts.wrong.is_empty() {
        parts.push(format!("WRONG: {}", report.facts.wrong.join("; ")));
    }
    parts.join(", ").replace('\n', " ")
}
