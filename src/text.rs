//! Text for people: untrusted text made safe for a terminal, and errors with their causes.

use std::borrow::Cow;

use weir_schema::{escaped_char, is_hidden_char};

/// Longest untrusted text that is printed.
const CHARS_MAX: usize = 200;

/// Untrusted text, safe for a terminal: hidden characters are escaped as `\u{…}`, and it is cut at
/// 200 characters.
pub fn printable(text: &str) -> String {
    let mut printable = String::new();
    for c in text.chars().take(CHARS_MAX) {
        push_escaped(c, &mut printable);
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        printable.push('…');
    }
    printable
}

/// Lines of text, safe for a terminal: hidden characters other than line ends are escaped.
pub fn printable_lines(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => printable.push('\n'),
            c => push_escaped(c, &mut printable),
        }
    }
    printable
}

fn push_escaped(c: char, text: &mut String) {
    match is_hidden_char(c) {
        true => text.extend(escaped_char(c)),
        false => text.push(c),
    }
}

/// JSON in lines, in which hidden characters are escaped as `\uXXXX`.
///
/// They stand in strings only: outside of strings JSON has none but line ends.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_raw = |c: char| c != '\n' && is_hidden_char(c);
    if !json.contains(is_raw) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_raw(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// The title of a rule in a line. It is quoted if it could be read as the fields of a group.
pub fn title_text(title: &str) -> String {
    quoted_if(title, |c| matches!(c, '[' | ']' | '"' | '='))
}

/// The fields of a group as `name=value`, in a line.
///
/// A value with spaces, brackets, quotes or `=` is quoted, so that none can pose as another field.
pub fn group_text<'g>(fields: impl IntoIterator<Item = (&'g str, &'g str)>) -> String {
    let ambiguous = |c: char| c.is_whitespace() || matches!(c, '[' | ']' | '"' | '=');
    let fields = fields.into_iter().map(|(name, value)| {
        let name = quoted_if(name, ambiguous);
        format!("{name}={}", quoted_if(value, ambiguous))
    });
    fields.collect::<Vec<_>>().join(" ")
}

fn quoted_if(text: &str, ambiguous: impl Fn(char) -> bool) -> String {
    if !text.contains(ambiguous) {
        return printable(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", printable(&escaped))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        assert_eq!(
            printable("a\u{1b}[2J\u{202e}b\n"),
            "a\\u{1b}[2J\\u{202e}b\\u{a}"
        );
        assert_eq!(printable_lines("a\r\nb"), "a\\u{d}\nb");
        assert_eq!(printable(&"ü".repeat(201)), format!("{}…", "ü".repeat(200)));
    }

    #[test]
    fn json_stays_json() {
        for text in [
            "plain ü",
            "\u{1b}\u{9b}\u{7f}\u{202e}\u{e0041}\u{feff}\n\\ \"",
        ] {
            let json = serde_json::json!({ text: [text] });
            let line = json.to_string();
            let escaped = printable_json(&line);
            assert!(!escaped.chars().any(is_hidden_char), "{escaped}");
            let read: serde_json::Value = serde_json::from_str(&escaped).expect("JSON");
            assert_eq!(read, json);
        }
    }

    #[test]
    fn a_value_cannot_pose_as_another_field_or_line() {
        for (value, expected) in [
            ("root", "user=root"),
            ("DOMAIN\\root", "user=DOMAIN\\root"),
            ("a b", "user=\"a b\""),
            ("x] 9 events", "user=\"x] 9 events\""),
            ("a=b", "user=\"a=b\""),
            ("say \"hi\"", "user=\"say \\\"hi\\\"\""),
            (
                "x\n+ raised critical FAKE",
                "user=\"x\\u{a}+ raised critical FAKE\"",
            ),
        ] {
            assert_eq!(group_text([("user", value)]), expected);
        }
        assert_eq!(title_text("Two words"), "Two words");
        assert_eq!(title_text("x [user=root]"), "\"x [user=root]\"");
    }
}
