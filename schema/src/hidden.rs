//! Characters that a terminal hides or obeys, and that untrusted text must not bring to one.

/// Whether a character is a control, reorders text, or has no width.
///
/// Such characters move the cursor, end a line, or let a reader see another text than the one that
/// is there. People get them as escapes; see [`escaped_char`].
#[must_use]
pub const fn is_hidden_char(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A hidden character as text that people can see, such as `\u{1b}`.
pub fn escaped_char(c: char) -> impl Iterator<Item = char> {
    c.escape_unicode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_characters_without_width_are_hidden() {
        for c in "\0\n\t\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{200b}\u{200f}\u{202a}\u{202e}\u{2028}\
                  \u{2029}\u{2066}\u{2069}\u{feff}\u{e0000}\u{e0041}\u{e007f}"
            .chars()
        {
            assert!(is_hidden_char(c), "{c:?}");
        }
        for c in " ~aü\u{a0}\u{2010}\u{2030}日🦀\u{fffd}".chars() {
            assert!(!is_hidden_char(c), "{c:?}");
        }
    }

    #[test]
    fn an_escape_shows_the_number_of_the_character() {
        assert_eq!(escaped_char('\u{202e}').collect::<String>(), "\\u{202e}");
    }
}
