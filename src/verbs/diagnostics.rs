//! Prints diagnostics of rules, one line each.

use weir_detect::Diagnostic;
use weir_manage::source_position;

use crate::text::{printable, printable_lines};

/// Longest message that is printed.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// A diagnostic as `file:line:column: message (hint)`.
pub fn diagnostic_line(diagnostic: &Diagnostic) -> String {
    let position = source_position(diagnostic);
    let (line, column) = (position.line, position.column);
    let hint = diagnostic.hint.as_ref().map(|hint| format!(" ({hint})"));
    let remark = if diagnostic.refused { "" } else { "remark: " };
    let text = format!("{remark}{}{}", diagnostic.message, hint.unwrap_or_default());
    format!(
        "{}:{line}:{column}: {}",
        printable(&position.file),
        one_line(&text)
    )
}

/// A message in one line, without hidden characters and cut at 1,000 characters: it may quote a
/// rule.
fn one_line(text: &str) -> String {
    let mut chars = text.chars();
    let mut line: String = chars.by_ref().take(MESSAGE_CHARS_MAX).collect();
    line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if chars.next().is_some() {
        line.push('…');
    }
    printable_lines(&line)
}
