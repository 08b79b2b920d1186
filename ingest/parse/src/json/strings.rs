//! Strings: most are parts of the text as they are. Escapes are decoded, and bad ones repaired.

use std::borrow::Cow;

use weir_schema::json::{copy_plain, plain_len};

use super::{JsonError, JsonReader, JsonResult};

impl<'a> JsonReader<'a> {
    pub(super) fn string(&mut self) -> JsonResult<Cow<'a, str>> {
        self.byte(b'"')?;
        match self.plain_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string().map(Cow::Owned),
        }
    }

    /// Reads a string after its opening quote if it has no escapes; else consumes nothing.
    #[inline]
    pub(super) fn plain_string(&mut self) -> Option<&'a str> {
        let from = self.at;
        let rest = self.text.as_bytes().get(from..)?;
        let end = from + plain_len(rest);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(from..end)
    }

    /// Reads a string after its opening quote. A control character stays; the end of the text ends
    /// the string too.
    #[inline(never)]
    pub(super) fn escaped_string(&mut self) -> JsonResult<String> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        // If the next quote is escaped, the capacity is too small and the vector grows.
        let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        // `copy_plain` copies eight bytes at a time and may write past the end.
        let mut out = Vec::with_capacity(end + 8);
        loop {
            self.at += copy_plain(bytes.get(self.at..).unwrap_or_default(), &mut out);
            let special = self.peek();
            if special.is_some() {
                self.at += 1;
            }
            match special {
                None | Some(b'"') => break,
                Some(b'\\') => {}
                Some(control) => {
                    self.is_repaired = true;
                    out.push(control);
                    continue;
                }
            }
            // Most escapes are the backslashes of Windows paths.
            if self.byte(b'\\').is_ok() {
                out.push(b'\\');
            } else if let Some(escaped) = self.escape() {
                let mut utf8 = [0; 4];
                out.extend_from_slice(escaped.encode_utf8(&mut utf8).as_bytes());
            }
        }
        // Cannot fail: the bytes are whole characters of the text and of its escapes.
        String::from_utf8(out).map_err(|_| JsonError::Malformed)
    }

    /// Reads an escape after its backslash; `None` at the end of the text. Before a character that
    /// needs none, the backslash is ignored.
    fn escape(&mut self) -> Option<char> {
        let escape = self.text.get(self.at..)?.chars().next()?;
        self.at += escape.len_utf8();
        Some(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' if let Some(code) = self.hex() => self.unicode(code),
            other => {
                self.is_repaired = true;
                other
            }
        })
    }

    /// Reads four hexadecimal digits; else consumes nothing.
    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Returns the character of a code behind `\u`, and reads the second half of a surrogate pair. A
    /// half without the other is no character.
    fn unicode(&mut self, first: u32) -> char {
        if let Some(character) = char::from_u32(first) {
            return character;
        }
        let from = self.at;
        let is_high = first < 0xdc00;
        if is_high
            && self.byte(b'\\').is_ok()
            && self.byte(b'u').is_ok()
            && let Some(second @ 0xdc00..0xe000) = self.hex()
        {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        self.at = from;
        self.is_repaired = true;
        char::REPLACEMENT_CHARACTER
    }
}
