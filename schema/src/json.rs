//! Scans JSON text: recognizes objects at intake, and finds plain runs in strings for the parser.

mod scan;

pub use scan::{copy_plain, plain_len};

/// Deepest nesting of an accepted object. Real events stay below 20.
pub const DEPTH_MAX: usize = 127;

/// Whether `text` is exactly one JSON object, apart from surrounding whitespace.
///
/// Reads each byte once and allocates nothing. Accepts numbers of any size, since the parser keeps
/// them as written.
#[must_use]
pub fn is_object(text: &str) -> bool {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
    };
    scanner.space();
    if scanner.peek() != Some(b'{') || scanner.value(0).is_none() {
        return false;
    }
    scanner.space();
    scanner.at == text.len()
}

/// A position in JSON text.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Each method skips one token or value, and returns `None` if the text is not JSON.
impl Scanner<'_> {
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
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
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
                // A high surrogate; a low surrogate must follow.
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

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        self.at += literal.len();
        rest.starts_with(literal).then_some(())
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

    /// The answer of `serde_json`; `None` for numbers that it does not support.
    fn is_object_for_serde(text: &str) -> Option<bool> {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Some(value.is_object()),
            Err(error) if error.to_string().starts_with("number out of range") => None,
            Err(_) => Some(false),
        }
    }

    #[test]
    fn limit_nesting_depth() {
        let nested = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(is_object(&nested(DEPTH_MAX)));
        assert!(!is_object(&nested(DEPTH_MAX + 1)));
        let lists = |depth| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_object(&lists(DEPTH_MAX - 1)));
        assert!(!is_object(&lists(100_000)));
        assert!(is_object("{\"a\":1e999}"));
    }

    /// Valid and broken pieces of JSON, which often add up to nearly valid text.
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
        fn is_object_agrees_with_serde_json(pieces in prop::collection::vec(piece(), 0..12)) {
            let inner = pieces.concat();
            for text in [inner.clone(), format!("{{{inner}}}"), format!(" {{\"a\":{inner}}} ")] {
                if let Some(expected) = is_object_for_serde(&text) {
                    prop_assert_eq!(is_object(&text), expected, "{}", text);
                }
            }
        }
    }
}
