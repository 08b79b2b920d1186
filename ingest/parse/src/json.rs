//! `JsonReader`: a JSON reader that borrows from the text, keeps numbers as written, and limits
//! depth and size.
//!
//! `serde_json` turns a number that is not an integer into a float, unless a feature changes that
//! for every crate of the build. Events need the number as written. This reader accepts the same
//! texts as `serde_json`; a test compares them.
//!
//! One bad place hides no event. The reader repairs or skips what it can (`repair.rs`), and says that
//! it did. What it cannot skip ends the reading, and the members before it count.

mod cut;
mod repair;
mod strings;

use std::borrow::Cow;

use weir_schema::Value;

use crate::{DEPTH_MAX, FIELDS_MAX};
use cut::Cut;

/// The reason why a text was not read to its end. One is `TooDeep` if it ends in a value that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    Malformed,
    TooDeep,
}

pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Number of list items so far. Items beyond [`FIELDS_MAX`] are parsed and dropped.
    items: usize,
    /// Whether a place was not valid JSON, and was read all the same.
    pub is_repaired: bool,
    /// Whether a value was too deep, or its name too long.
    pub is_too_deep: bool,
    cut: Cut<'a>,
}

/// Receives the flattened fields of an object; `name` is the path of keys, joined with dots.
pub(crate) trait FieldSink<'a> {
    /// Receives a text without escapes under a top-level name without escapes, as most fields are.
    fn text(&mut self, name: &'a str, text: &'a str);
    fn int(&mut self, name: &'a str, number: i64);
    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>);
    fn list_truncated(&mut self);
}

type JsonResult<T> = Result<T, JsonError>;

impl<'a> JsonReader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            items: 0,
            is_repaired: false,
            is_too_deep: false,
            cut: Cut::default(),
        }
    }

    /// Reads the whole text as one object.
    pub fn document<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<()> {
        self.space();
        self.byte(b'{')?;
        self.object("", sink)?;
        self.space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn byte(&mut self, byte: u8) -> JsonResult<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }

    /// Reads an object after its `{`. Its fields are named under `path`.
    fn object<S: FieldSink<'a>>(&mut self, path: &str, sink: &mut S) -> JsonResult<()> {
        self.depth += 1;
        let depth = self.depth;
        while let Err(error) = self.members(path, sink) {
            self.resume_behind_cut(depth, error)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads the members of an object and its `}`.
    ///
    /// The common cases are inlined here, so that key and text stay in registers. Passing them
    /// through memory costs more than finding their ends.
    #[inline(always)]
    fn members<S: FieldSink<'a>>(&mut self, path: &str, sink: &mut S) -> JsonResult<()> {
        self.space();
        if self.byte(b'}').is_ok() {
            return Ok(());
        }
        loop {
            self.space();
            if self.byte(b'"').is_err() {
                return self.end_after_comma(b'}');
            }
            let plain_key = self.plain_string();
            let key = match plain_key {
                Some(key) => Cow::Borrowed(key),
                None => Cow::Owned(self.escaped_string()?),
            };
            self.space();
            self.byte(b':')?;
            self.space();
            match plain_key.filter(|_| path.is_empty()) {
                Some(key) if self.byte(b'"').is_ok() => match self.plain_string() {
                    Some(text) => sink.text(key, text),
                    None => {
                        let text = Cow::Owned(self.escaped_string()?);
                        sink.field(Cow::Borrowed(key), Value::Text(text));
                    }
                },
                Some(key) => match self.small_int() {
                    Some(number) => sink.int(key, number),
                    None => self.field(Cow::Borrowed(key), sink)?,
                },
                None => self.nested_field(path, key, sink)?,
            }
            self.space();
            if self.byte(b',').is_err() {
                return self.byte(b'}');
            }
        }
    }

    fn nested_field<S: FieldSink<'a>>(
        &mut self,
        path: &str,
        key: Cow<'a, str>,
        sink: &mut S,
    ) -> JsonResult<()> {
        match join(path, key) {
            Some(name) => self.field(name, sink),
            None => self.skip_value(),
        }
    }

    #[inline(never)]
    fn field<S: FieldSink<'a>>(&mut self, name: Cow<'a, str>, sink: &mut S) -> JsonResult<()> {
        if self.depth < DEPTH_MAX && self.byte(b'{').is_ok() {
            return self.object(&name, sink);
        }
        let value = self.value(sink)?;
        sink.field(name, value);
        Ok(())
    }

    /// Reads any value except an object. One that is too deep stays text.
    fn value<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<Value<'a>> {
        let from = self.at;
        let value = match self.peek().ok_or(JsonError::Malformed)? {
            b'"' => return self.string().map(Value::Text),
            b'[' if self.depth < DEPTH_MAX => {
                self.at += 1;
                return self.list(sink);
            }
            b'[' | b'{' => return self.skip_nested(),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            _ => self.number(),
        };
        match value {
            // A word may go on behind what looks like its end, as in `1.5.0` or `01`.
            Ok(value) if self.ends_word() => Ok(value),
            _ => self.bare_word(from),
        }
    }

    /// Returns whether a number or a literal ends here. The end of the text is none: it may be cut.
    fn ends_word(&self) -> bool {
        let byte = self.peek();
        byte.is_some_and(|byte| b",}] \t\n\r".contains(&byte))
    }

    fn literal(&mut self, literal: &str, value: Value<'a>) -> JsonResult<Value<'a>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(value)
        } else {
            Err(JsonError::Malformed)
        }
    }

    fn list<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<Value<'a>> {
        let mut values = Vec::new();
        self.depth += 1;
        let end = self.items(&mut values, sink);
        self.depth -= 1;
        // The items before the end of the text count; the object around the list finds the error.
        match end {
            Err(JsonError::Malformed) if self.at >= self.text.len() => Ok(Value::List(values)),
            end => end.map(|()| Value::List(values)),
        }
    }

    /// Reads the items of a list and its `]`.
    fn items<S: FieldSink<'a>>(
        &mut self,
        values: &mut Vec<Value<'a>>,
        sink: &mut S,
    ) -> JsonResult<()> {
        self.space();
        if self.byte(b']').is_ok() {
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() == Some(b']') {
                return self.end_after_comma(b']');
            }
            let value = self.item(sink)?;
            if self.items < FIELDS_MAX {
                self.items += 1;
                values.push(value);
            } else {
                sink.list_truncated();
            }
            self.space();
            if self.byte(b',').is_err() {
                return self.byte(b']');
            }
        }
    }

    /// Reads a list item. An object in a list cannot be flattened to a name, so it stays text.
    fn item<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<Value<'a>> {
        if self.peek() != Some(b'{') || self.depth >= DEPTH_MAX {
            return self.value(sink);
        }
        let from = self.at;
        self.at += 1;
        self.cut.unnamed += 1;
        let end = self.object("", &mut NullSink);
        self.cut.unnamed -= 1;
        end?;
        let text = self.text.get(from..self.at).ok_or(JsonError::Malformed)?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn digits(&mut self) -> JsonResult<()> {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > from {
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }

    /// Reads an integer of at most [`DIGITS_MAX`] digits, as most numbers are; else consumes nothing.
    fn small_int(&mut self) -> Option<i64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let (sign, digits) = match rest.split_first()? {
            (b'-', digits) => (-1, digits),
            _ => (1, rest),
        };
        let (mut number, mut length) = (0, 0);
        for byte in digits.iter().take(DIGITS_MAX) {
            if !byte.is_ascii_digit() {
                break;
            }
            number = number * 10 + i64::from(byte - b'0');
            length += 1;
        }
        let has_zeros = digits.first() == Some(&b'0') && (length > 1 || sign < 0);
        let ends = matches!(
            digits.get(length),
            Some(b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
        );
        if length == 0 || has_zeros || !ends {
            return None;
        }
        self.at += rest.len() - digits.len() + length;
        Some(sign * number)
    }

    fn number(&mut self) -> JsonResult<Value<'a>> {
        let from = self.at;
        let _ = self.byte(b'-');
        // A leading zero is the whole integer part.
        if self.byte(b'0').is_err() {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.byte(b'.').is_ok() {
            is_whole = false;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(from..self.at).ok_or(JsonError::Malformed)?;
        match text.parse::<i64>() {
            // `-0` is a valid number, but an integer would lose its sign.
            Ok(number) if is_whole && text != "-0" => Ok(Value::Int(number)),
            _ => Ok(Value::Number(Cow::Borrowed(text))),
        }
    }
}

/// Longest path of keys, since every field under a path holds a copy of it. Real paths stay below
/// 200.
const PATH_BYTES_MAX: usize = 4 << 10;

/// Most digits that always fit into an `i64`.
const DIGITS_MAX: usize = 18;

/// Returns the name of a member; `None` if it is too long.
fn join<'a>(path: &str, key: Cow<'a, str>) -> Option<Cow<'a, str>> {
    if path.is_empty() {
        return Some(key);
    }
    let length = path.len() + 1 + key.len();
    if length > PATH_BYTES_MAX {
        return None;
    }
    let mut name = String::with_capacity(length);
    name.push_str(path);
    name.push('.');
    name.push_str(&key);
    Some(Cow::Owned(name))
}

/// Drops the fields of objects in lists.
struct NullSink;

impl<'a> FieldSink<'a> for NullSink {
    fn text(&mut self, _name: &'a str, _text: &'a str) {}
    fn int(&mut self, _name: &'a str, _number: i64) {}
    fn field(&mut self, _name: Cow<'a, str>, _value: Value<'a>) {}
    fn list_truncated(&mut self) {}
}
