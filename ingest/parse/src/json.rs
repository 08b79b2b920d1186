//! `JsonReader`: a JSON reader that borrows from the text, keeps numbers as written, and limits
//! depth and size.
//!
//! `serde_json` turns a number that is not an integer into a float, unless a feature changes that
//! for every crate of the build. Events need the number as written. This reader accepts the same
//! texts as `serde_json`; a test compares them.

use std::borrow::Cow;

use weir_schema::Value;
use weir_schema::json::{copy_plain, plain_len};

use crate::{DEPTH_MAX, FIELDS_MAX};

/// The reason why a text was not read to its end.
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

    fn enter(&mut self) -> JsonResult<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(JsonError::TooDeep)
        } else {
            Ok(())
        }
    }

    /// Reads an object after its `{`. Its fields are named under `path`.
    ///
    /// The common cases are inlined here, so that key and text stay in registers. Passing them
    /// through memory costs more than finding their ends.
    fn object<S: FieldSink<'a>>(&mut self, path: &str, sink: &mut S) -> JsonResult<()> {
        self.enter()?;
        self.space();
        if self.byte(b'}').is_err() {
            loop {
                self.space();
                self.byte(b'"')?;
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
                    None => self.field(join(path, key)?, sink)?,
                }
                self.space();
                if self.byte(b',').is_err() {
                    self.byte(b'}')?;
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    #[inline(never)]
    fn field<S: FieldSink<'a>>(&mut self, name: Cow<'a, str>, sink: &mut S) -> JsonResult<()> {
        if self.byte(b'{').is_ok() {
            return self.object(&name, sink);
        }
        let value = self.value(sink)?;
        sink.field(name, value);
        Ok(())
    }

    /// Reads any value except an object.
    fn value<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<Value<'a>> {
        match self.peek().ok_or(JsonError::Malformed)? {
            b'"' => self.string().map(Value::Text),
            b'[' => {
                self.at += 1;
                self.list(sink)
            }
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            _ => self.number(),
        }
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
        self.enter()?;
        let mut values = Vec::new();
        self.space();
        if self.byte(b']').is_err() {
            loop {
                self.space();
                let value = self.item(sink)?;
                if self.items < FIELDS_MAX {
                    self.items += 1;
                    values.push(value);
                } else {
                    sink.list_truncated();
                }
                self.space();
                if self.byte(b',').is_err() {
                    self.byte(b']')?;
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Value::List(values))
    }

    /// Reads a list item. An object in a list cannot be flattened to a name, so it stays text.
    fn item<S: FieldSink<'a>>(&mut self, sink: &mut S) -> JsonResult<Value<'a>> {
        if self.peek() != Some(b'{') {
            return self.value(sink);
        }
        let from = self.at;
        self.at += 1;
        self.object("", &mut NullSink)?;
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

    fn string(&mut self) -> JsonResult<Cow<'a, str>> {
        self.byte(b'"')?;
        match self.plain_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string().map(Cow::Owned),
        }
    }

    /// Reads a string after its opening quote if it has no escapes; else consumes nothing.
    #[inline]
    fn plain_string(&mut self) -> Option<&'a str> {
        let from = self.at;
        let rest = self.text.as_bytes().get(from..)?;
        let end = from + plain_len(rest);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(from..end)
    }

    /// Reads a string after its opening quote.
    #[inline(never)]
    fn escaped_string(&mut self) -> JsonResult<String> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        // If the next quote is escaped, the capacity is too small and the vector grows.
        let end = memchr::memchr(b'"', rest).ok_or(JsonError::Malformed)?;
        // `copy_plain` copies eight bytes at a time and may write past the end.
        let mut out = Vec::with_capacity(end + 8);
        loop {
            self.at += copy_plain(bytes.get(self.at..).unwrap_or_default(), &mut out);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => self.at += 1,
                _ => return Err(JsonError::Malformed),
            }
            // Most escapes are the backslashes of Windows paths.
            if self.byte(b'\\').is_ok() {
                out.push(b'\\');
            } else {
                let mut utf8 = [0; 4];
                out.extend_from_slice(self.escape()?.encode_utf8(&mut utf8).as_bytes());
            }
        }
        // Cannot fail: the bytes are whole characters of the text and of its escapes.
        String::from_utf8(out).map_err(|_| JsonError::Malformed)
    }

    fn escape(&mut self) -> JsonResult<char> {
        let escape = self.peek().ok_or(JsonError::Malformed)?;
        self.at += 1;
        Ok(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(JsonError::Malformed),
        })
    }

    fn hex(&mut self) -> JsonResult<u32> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .ok_or(JsonError::Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(JsonError::Malformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| JsonError::Malformed)
    }

    /// Reads an escape after `\u`: a character, or a surrogate pair.
    fn unicode(&mut self) -> JsonResult<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(JsonError::Malformed);
        }
        self.byte(b'\\')?;
        self.byte(b'u')?;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(JsonError::Malformed);
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).ok_or(JsonError::Malformed)
    }
}

/// Longest path of keys, since every field under a path holds a copy of it. Real paths stay below
/// 200.
const PATH_BYTES_MAX: usize = 4 << 10;

/// Most digits that always fit into an `i64`.
const DIGITS_MAX: usize = 18;

fn join<'a>(path: &str, key: Cow<'a, str>) -> JsonResult<Cow<'a, str>> {
    if path.is_empty() {
        return Ok(key);
    }
    let length = path.len() + 1 + key.len();
    if length > PATH_BYTES_MAX {
        return Err(JsonError::TooDeep);
    }
    let mut name = String::with_capacity(length);
    name.push_str(path);
    name.push('.');
    name.push_str(&key);
    Ok(Cow::Owned(name))
}

/// Drops the fields of objects in lists.
struct NullSink;

impl<'a> FieldSink<'a> for NullSink {
    fn text(&mut self, _name: &'a str, _text: &'a str) {}
    fn int(&mut self, _name: &'a str, _number: i64) {}
    fn field(&mut self, _name: Cow<'a, str>, _value: Value<'a>) {}
    fn list_truncated(&mut self) {}
}
