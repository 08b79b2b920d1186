//! Sizes: a function fits a screen, a file a sitting, a line of Markdown a window.

use std::collections::BTreeSet;

use crate::{fail_with, sources, texts};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;
const MARKDOWN_COLUMNS_MAX: usize = 120;

/// Files and functions that may be longer, each with its reason. The list only gets shorter: an entry
/// that is no longer needed fails the test.
const EXEMPT: &[(&str, &str)] = &[];

#[test]
fn functions_fit_a_screen_and_files_a_sitting() {
    let mut too_long: Vec<(String, String)> = Vec::new();
    for source in sources().iter().filter(|source| !source.is_generated()) {
        let text = if source.is_test() {
            &source.code
        } else {
            &source.shipped
        };
        let lines = text
            .trim_end()
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        if lines > FILE_LINES_MAX {
            let fault = format!("{} has {lines} lines, not {FILE_LINES_MAX}", source.path);
            too_long.push((source.path.clone(), fault));
        }
        for function in source.functions() {
            if function.lines > FUNCTION_LINES_MAX {
                let (place, lines) = (source.place(function.offset), function.lines);
                let fault = format!(
                    "{place}: {} has {lines} lines, not {FUNCTION_LINES_MAX}",
                    function.name
                );
                too_long.push((format!("{}::{}", source.path, function.name), fault));
            }
        }
    }
    let names: BTreeSet<&str> = too_long.iter().map(|(name, _)| name.as_str()).collect();
    let exempt: BTreeSet<&str> = EXEMPT.iter().map(|(name, _)| *name).collect();
    let mut faults: Vec<String> = Vec::new();
    for (name, fault) in &too_long {
        if !exempt.contains(name.as_str()) {
            faults.push(fault.clone());
        }
    }
    let needless = exempt.difference(&names);
    faults.extend(needless.map(|name| format!("{name} is short now: remove it from EXEMPT")));
    fail_with(&faults, "split these along their meaning");
}

/// Rows of tables and code, fenced or indented, cannot be broken; everything else is wrapped.
#[test]
fn lines_of_markdown_fit_a_window() {
    let mut faults = Vec::new();
    for (path, text) in texts(&["md"]) {
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().starts_with("```");
            is_code ^= fence;
            let is_row = line.trim_start().starts_with('|') || line.starts_with("    ");
            let columns = line.chars().count();
            if columns > MARKDOWN_COLUMNS_MAX && !is_code && !is_row && !fence {
                faults.push(format!("{path}:{}: {columns} columns", number + 1));
            }
        }
    }
    fail_with(&faults, "wrap these lines at 120 columns");
}
