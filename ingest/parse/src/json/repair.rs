//! Repairs: values that are no JSON but end where anyone would say, and values that are skipped.

use std::borrow::Cow;

use weir_schema::Value;

use super::{JsonError, JsonReader, JsonResult, NullSink};

impl<'a> JsonReader<'a> {
    /// Reads the end of an object or a list behind a comma.
    #[cold]
    pub(super) fn end_after_comma(&mut self, end: u8) -> JsonResult<()> {
        self.byte(end)?;
        self.is_repaired = true;
        Ok(())
    }

    /// Reads a value such as `NaN`, `01` or `undefined` as text, if a comma or a bracket ends it.
    #[cold]
    pub(super) fn bare_word(&mut self, from: usize) -> JsonResult<Value<'a>> {
        self.at = from;
        let ends = |byte: u8| byte <= b' ' || b",:{}[]\"\\".contains(&byte);
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
        let word = self.text.get(from..self.at).unwrap_or_default();
        self.space();
        let is_whole = self.peek().is_some_and(|byte| b",}]".contains(&byte));
        if word.is_empty() || !is_whole {
            return Err(JsonError::Malformed);
        }
        self.is_repaired = true;
        Ok(Value::Text(Cow::Borrowed(word)))
    }

    /// Skips a value whose name is too long.
    #[cold]
    pub(super) fn skip_value(&mut self) -> JsonResult<()> {
        self.is_too_deep = true;
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested().map(drop),
            _ => self.value(&mut NullSink).map(drop),
        }
    }

    /// Skips an object or a list that is too deep, and returns its text. Only its brackets and its
    /// strings are looked at.
    #[cold]
    pub(super) fn skip_nested(&mut self) -> JsonResult<Value<'a>> {
        self.is_too_deep = true;
        let from = self.at;
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                b'"' => {
                    self.at += string_len(self.text.as_bytes().get(self.at..).unwrap_or_default())
                }
                _ => {}
            }
            if open == 0 {
                let text = self.text.get(from..self.at).ok_or(JsonError::Malformed)?;
                return Ok(Value::Text(Cow::Borrowed(text)));
            }
        }
        Err(JsonError::TooDeep)
    }
}

/// Length of a string behind its opening quote, with the closing one; of all bytes if none closes it.
pub(super) fn string_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}
