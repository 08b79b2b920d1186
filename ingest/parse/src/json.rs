//! A reader of JSON text that borrows from it, keeps numbers as written, and cannot be nested or
//! flooded to death.
//!
//! `serde_json` turns a number that is no integer into a float, unless a feature says otherwise for
//! every crate of the build; events need the number as it stands. What is accepted is the same, and
//! tested to be.

use std::borrow::Cow;

use weir_schema::Value;
use weir_schema::json::{copy_run, run};

use crate::{DEPTH_MAX, FIELDS_MAX};

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Malformed,
    TooDeep,
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Values put into lists so far; those beyond [`FIELDS_MAX`] are read and left out.
    listed: usize,
}

/// Takes the fields of an object, flattened: `name` is the path with dots.
pub(crate) trait Sink<'a> {
    /// A text without escapes under a name without any, which most fields are.
    fn text(&mut self, name: &'a str, text: &'a str);
    fn int(&mut self, name: &'a str, number: i64);
    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>);
    fn list_cut(&mut self);
}

type Read<T> = Result<T, Stop>;

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            listed: 0,
        }
    }

    /// Reads one object that is the whole text.
    pub fn document<S: Sink<'a>>(&mut self, sink: &mut S) -> Read<()> {
        self.space();
        self.byte(b'{')?;
        self.object("", sink)?;
        self.space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Stop::Malformed)
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

    fn byte(&mut self, byte: u8) -> Read<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Stop::Malformed)
        }
    }

    fn deeper(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(Stop::TooDeep)
        } else {
            Ok(())
        }
    }

    /// What is between `{` and `}`; its fields are named under `path`.
    ///
    /// Key and text are put together here, in registers: passed on through memory, piece by piece
    /// and whole again, they cost more than it takes to find their ends.
    fn object<S: Sink<'a>>(&mut self, path: &str, sink: &mut S) -> Read<()> {
        self.deeper()?;
        self.space();
        if self.byte(b'}').is_err() {
            loop {
                self.space();
                self.byte(b'"')?;
                let plain = self.unescaped();
                let key = match plain {
                    Some(key) => Cow::Borrowed(key),
                    None => Cow::Owned(self.escaped()?),
                };
                self.space();
                self.byte(b':')?;
                self.space();
                match plain.filter(|_| path.is_empty()) {
                    Some(key) if self.byte(b'"').is_ok() => match self.unescaped() {
                        Some(text) => sink.text(key, text),
                        None => {
                            let text = Cow::Owned(self.escaped()?);
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
    fn field<S: Sink<'a>>(&mut self, name: Cow<'a, str>, sink: &mut S) -> Read<()> {
        if self.byte(b'{').is_ok() {
            return self.object(&name, sink);
        }
        let value = self.value(sink)?;
        sink.field(name, value);
        Ok(())
    }

    /// Any value but an object.
    fn value<S: Sink<'a>>(&mut self, sink: &mut S) -> Read<Value<'a>> {
        match self.peek().ok_or(Stop::Malformed)? {
            b'"' => self.string().map(Value::Text),
            b'[' => {
                self.at += 1;
                self.list(sink)
            }
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Read<Value<'a>> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(Stop::Malformed)
        }
    }

    fn list<S: Sink<'a>>(&mut self, sink: &mut S) -> Read<Value<'a>> {
        self.deeper()?;
        let mut values = Vec::new();
        self.space();
        if self.byte(b']').is_err() {
            loop {
                self.space();
                let value = self.item(sink)?;
                if self.listed < FIELDS_MAX {
                    self.listed += 1;
                    values.push(value);
                } else {
                    sink.list_cut();
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

    /// A list's item. An object in a list has no name to be flattened under; it stays as its text.
    fn item<S: Sink<'a>>(&mut self, sink: &mut S) -> Read<Value<'a>> {
        if self.peek() != Some(b'{') {
            return self.value(sink);
        }
        let from = self.at;
        self.at += 1;
        self.object("", &mut Nowhere)?;
        let text = self.text.get(from..self.at).ok_or(Stop::Malformed)?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn digits(&mut self) -> Read<()> {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > from {
            Ok(())
        } else {
            Err(Stop::Malformed)
        }
    }

    /// An integer of few digits that ends here, as most numbers are; else nothing is taken.
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

    fn number(&mut self) -> Read<Value<'a>> {
        let from = self.at;
        let _ = self.byte(b'-');
        // No digit follows a leading zero.
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
        let text = self.text.get(from..self.at).ok_or(Stop::Malformed)?;
        match text.parse::<i64>() {
            // `-0` is a number, but no integer writes it.
            Ok(number) if is_whole && text != "-0" => Ok(Value::Int(number)),
            _ => Ok(Value::Number(Cow::Borrowed(text))),
        }
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.byte(b'"')?;
        match self.unescaped() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped().map(Cow::Owned),
        }
    }

    /// A string behind its first quote, if it ends without an escape; else nothing is taken.
    #[inline]
    fn unescaped(&mut self) -> Option<&'a str> {
        let from = self.at;
        let rest = self.text.as_bytes().get(from..)?;
        let end = from + run(rest);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(from..end)
    }

    /// A string behind its first quote.
    #[inline(never)]
    fn escaped(&mut self) -> Read<String> {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        // The next quote is the end unless it is escaped: then this is too little, and no harm.
        let end = memchr::memchr(b'"', rest).ok_or(Stop::Malformed)?;
        // Copies are of eight bytes, so that one may reach so far behind the end.
        let mut out = Vec::with_capacity(end + 8);
        loop {
            self.at += copy_run(bytes.get(self.at..).unwrap_or_default(), &mut out);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => self.at += 1,
                _ => return Err(Stop::Malformed),
            }
            // Most are those of a path.
            if self.byte(b'\\').is_ok() {
                out.push(b'\\');
            } else {
                let mut utf8 = [0; 4];
                out.extend_from_slice(self.escape()?.encode_utf8(&mut utf8).as_bytes());
            }
        }
        // Characters of the text and such as were escaped, all whole.
        String::from_utf8(out).map_err(|_| Stop::Malformed)
    }

    fn escape(&mut self) -> Read<char> {
        let mark = self.peek().ok_or(Stop::Malformed)?;
        self.at += 1;
        Ok(match mark {
            b'"' | b'\\' | b'/' => char::from(mark),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Stop::Malformed),
        })
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Stop::Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Stop::Malformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Stop::Malformed)
    }

    /// What follows `\u`: a character, or the first half of a pair and the second after it.
    fn unicode(&mut self) -> Read<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(Stop::Malformed);
        }
        self.byte(b'\\')?;
        self.byte(b'u')?;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Stop::Malformed);
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).ok_or(Stop::Malformed)
    }
}

/// Longest name that is put together of keys: every field under a path has a copy of it. Real ones
/// stay below 200.
const PATH_BYTES_MAX: usize = 4 << 10;

/// No number of so many digits passes an `i64`.
const DIGITS_MAX: usize = 18;

fn join<'a>(path: &str, key: Cow<'a, str>) -> Read<Cow<'a, str>> {
    if path.is_empty() {
        return Ok(key);
    }
    let length = path.len() + 1 + key.len();
    if length > PATH_BYTES_MAX {
        return Err(Stop::TooDeep);
    }
    let mut name = String::with_capacity(length);
    name.push_str(path);
    name.push('.');
    name.push_str(&key);
    Ok(Cow::Owned(name))
}

/// Where the fields of objects in lists go.
struct Nowhere;

impl<'a> Sink<'a> for Nowhere {
    fn text(&mut self, _name: &'a str, _text: &'a str) {}
    fn int(&mut self, _name: &'a str, _number: i64) {}
    fn field(&mut self, _name: Cow<'a, str>, _value: Value<'a>) {}
    fn list_cut(&mut self) {}
}
