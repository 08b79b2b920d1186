//! Text for people: untrusted text made safe for a terminal, and errors with their causes.

/// Longest untrusted text that is printed.
const CHARS_MAX: usize = 200;

/// Untrusted text, safe for a terminal: control characters are replaced, and it is cut at 200
/// characters.
pub fn printable(text: &str) -> String {
    let mut printable: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        printable.push('…');
    }
    printable
}

/// An error with all its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
