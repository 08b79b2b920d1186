//! Characters that a terminal hides or obeys, and that untrusted text must not bring to one.

/// Whether a character is a control, reorders text, has no width, or is blank and no space.
///
/// That is all of Unicode's `Default_Ignorable_Code_Point`, and the blank letters. Some of them are
/// part of ordinary text, such as the selector of a colored emoji; they are escaped, too.
///
/// Such characters move the cursor, end a line, or let a reader see another text than the one that
/// is there. People get them as escapes; see [`escaped_char`].
#[must_use]
pub const fn is_hidden_char(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
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

    /// All of `Default_Ignorable_Code_Point` of Unicode, also what is not assigned yet, and letters
    /// that are blank.
    const INVISIBLE: [(char, char, &str); 19] = [
        ('\u{ad}', '\u{ad}', "soft hyphen"),
        ('\u{34f}', '\u{34f}', "combining grapheme joiner"),
        ('\u{61c}', '\u{61c}', "Arabic letter mark"),
        ('\u{115f}', '\u{1160}', "fillers of Hangul Jamo"),
        ('\u{17b4}', '\u{17b5}', "inherent vowels of Khmer"),
        ('\u{180b}', '\u{180f}', "Mongolian selectors and separator"),
        ('\u{200b}', '\u{200f}', "zero width, and marks of direction"),
        (
            '\u{2028}',
            '\u{202e}',
            "separators, embeddings and overrides",
        ),
        (
            '\u{2060}',
            '\u{206f}',
            "word joiner, invisible operators, isolates",
        ),
        ('\u{2800}', '\u{2800}', "blank pattern of Braille"),
        ('\u{3164}', '\u{3164}', "filler of Hangul"),
        ('\u{fe00}', '\u{fe0f}', "variation selectors"),
        ('\u{feff}', '\u{feff}', "zero width no-break space"),
        ('\u{ffa0}', '\u{ffa0}', "halfwidth filler of Hangul"),
        ('\u{fff0}', '\u{fff8}', "ignorable, not assigned"),
        ('\u{fff9}', '\u{fffb}', "interlinear annotation"),
        ('\u{1bca0}', '\u{1bca3}', "shorthand format controls"),
        (
            '\u{1d173}',
            '\u{1d17a}',
            "musical beams, ties, slurs and phrases",
        ),
        ('\u{e0000}', '\u{e0fff}', "tags, and variation selectors"),
    ];

    #[test]
    fn all_that_unicode_lets_a_terminal_ignore_and_blank_letters_are_hidden() {
        for (first, last, name) in INVISIBLE {
            for c in first..=last {
                assert!(is_hidden_char(c), "{name}: {}", c.escape_unicode());
            }
        }
    }

    #[test]
    fn neighbours_that_people_see_are_not_hidden() {
        for c in "\u{ac}\u{ae}\u{34e}\u{350}\u{115e}\u{1161}\u{17b3}\u{17b6}\u{180a}\u{1810}\
                  \u{27ff}\u{2801}\u{3163}\u{3165}\u{fdff}\u{fe10}\u{ffa1}\u{fffc}\u{1bc9f}\
                  \u{1d172}\u{1d17b}\u{e1000}"
            .chars()
        {
            assert!(!is_hidden_char(c), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn an_escape_shows_the_number_of_the_character() {
        assert_eq!(escaped_char('\u{202e}').collect::<String>(), "\\u{202e}");
    }
}
