//! How JSON text is walked: by whoever takes lines in, to see what they are, and by whoever reads them.

mod scan;

pub use scan::{copy_plain, plain_len};

/// Deepest nesting of an object that is taken in. Real events stay below 20.
pub const DEPTH_MAX: usize = 127;

/// Whether a text is one JSON object, and nothing else but space around it. Nothing is kept, made
/// or looked at twice.
///
/// Numbers of any size are numbers: readers keep them as written.
#[must_use]
pub fn is_object(text: &str) -> bool {
    let mut walk = Walk {
        bytes: text.as_bytes(),
        at: 0,
    };
    walk.space();
    if walk.peek() != Some(b'{') || walk.value(0).is_none() {
        return false;
    }
    walk.space();
    walk.at == text.len()
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Each step is `None` where the text is not JSON.
impl Walk<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' if depth == DEPTH_MAX => None,
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.string()?;
            self.space();
            self.byte(b':')?;
            self.space();
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        self.byte(b'"')?;
        loop {
            self.at += plain_len(self.bytes.get(self.at..)?);
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                // The first half of a pair: the second must follow.
                0xd800..0xdc00 => {
                    self.byte(b'\\')?;
                    self.byte(b'u')?;
                    matches!(self.hex()?, 0xdc00..0xe000).then_some(())
                }
                0xdc00..0xe000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |code, _| {
            let digit = char::from(self.next()?).to_digit(16)?;
            Some(code << 4 | digit)
        })
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // No digit follows a leading zero.
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{DEPTH_MAX, is_object};

    /// What a library says.
    fn is_object_for_others(text: &str) -> Result<bool, String> {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Ok(value.is_object()),
            Err(error) if error.to_string().starts_with("number out of range") => {
                Err(error.to_string())
            }
            Err(_) => Ok(false),
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(is_object(&nested(DEPTH_MAX)));
        assert!(!is_object(&nested(DEPTH_MAX + 1)));
        let lists = |depth| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_object(&lists(DEPTH_MAX - 1)));
        assert!(!is_object(&lists(100_000)));
        assert!(is_object("{\"a\":1e999}"));
    }

    /// Pieces of JSON, whole and broken, so that what is drawn is often nearly right.
    fn piece() -> impl Strategy<Value = &'static str> {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\"a\":",
            "1",
            "-0",
            "01",
            "1.",
            ".5",
            "1e5",
            "1E+",
            "1e-07",
            "-",
            "true",
            "tru",
            "null",
            "false",
            " ",
            "\n",
            "\t",
            "\u{b}",
            "\\",
            "\\n",
            "\\x",
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
            "\\u12",
            "\"\\\\\"",
            "é",
            "\0",
            "{\"a\":1}",
            "[1,2]",
            "{}",
            "[]",
            "\"b\":\"c\"",
            "{\"a\":",
        ];
        prop::sample::select(pieces.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn it_is_what_a_library_says(pieces in prop::collection::vec(piece(), 0..12)) {
            let inner = pieces.concat();
            for text in [inner.clone(), format!("{{{inner}}}"), format!(" {{\"a\":{inner}}} ")] {
                if let Ok(others) = is_object_for_others(&text) {
                    prop_assert_eq!(is_object(&text), others, "{}", text);
                }
            }
        }
    }
}
