//! Splits journald's export format (`journalctl -o export`) into one JSON frame per entry.
//!
//! A frame has the form of `journalctl -o json`: a field is text, or a list of numbers if it is not
//! UTF-8, and a list of these if it occurs several times. Files and request bodies split alike, so
//! an entry has the same identity however it arrives.

/// Longest field in a frame. The names of longer fields, e.g. core dumps, go to [`CUT_FIELD`].
pub const FIELD_BYTES_MAX: usize = 256 << 10;

/// Longest entry, measured as its frame; also the longest frame that the journal accepts.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Lists the names of fields that were too long, or did not fit the entry.
pub const CUT_FIELD: &str = "_WEIR_CUT_FIELDS";

/// Most fields of an entry: systemd's own limit.
const FIELDS_MAX: usize = 1_024;

/// Longest name of a field: systemd's own limit.
const NAME_BYTES_MAX: usize = 64;

/// Why an input is not in journald's export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournaldExportError {
    /// A name has 1 to 64 capital letters, digits and `_`.
    #[error("byte {0} starts no field of journald's export format")]
    InvalidName(u64),
    /// The stated length of a field must be followed by a newline.
    #[error("the field that ends at byte {0} does not have its stated length")]
    LengthMismatch(u64),
    /// The entry has more than [`FIELDS_MAX`] fields.
    #[error("an entry of journald's export format has at most 1,024 fields")]
    TooManyFields,
}

/// Splits a stream of entries that arrives in pieces of any size.
#[derive(Debug, Default)]
pub struct JournaldExport {
    /// Received bytes, from the start of an incomplete field.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been read.
    read: usize,
    /// Bytes of `buffer` known to contain no newline, so that a long line is searched only once.
    searched: usize,
    /// Bytes of the stream before `buffer`.
    before: u64,
    /// Remaining bytes of an oversized field with a length.
    skip_bytes: u64,
    /// Whether the current line is the rest of an oversized field.
    skip_line: bool,
    /// Fields of the current entry.
    fields: Vec<(String, Vec<u8>)>,
    /// Estimated bytes of `fields` in the frame.
    frame_bytes: usize,
    /// Names of fields that the frame omits.
    cut_fields: Vec<String>,
}

enum Step {
    /// An entry has ended.
    Entry,
    /// A field was read, or part of one was skipped.
    Field,
    /// More bytes are needed.
    Incomplete,
}

impl JournaldExport {
    /// Adds the next bytes of the stream. Buffers at most one incomplete field besides `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.before += self.read as u64;
        self.searched = self.searched.saturating_sub(self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete entry as a frame; `None` until more bytes are pushed.
    pub fn next_entry(&mut self) -> Result<Option<Vec<u8>>, JournaldExportError> {
        loop {
            match self.step()? {
                Step::Incomplete => return Ok(None),
                Step::Entry if self.fields.is_empty() && self.cut_fields.is_empty() => {}
                Step::Entry => return Ok(Some(self.frame())),
                Step::Field => {}
            }
        }
    }

    /// At the end of input: the last entry, if no empty line ended it. Fails if the input ends
    /// within a field.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, JournaldExportError> {
        let complete = self.next_entry()?;
        if complete.is_some() {
            return Ok(complete);
        }
        let at = self.before + self.buffer.len() as u64;
        if self.read < self.buffer.len() || self.skip_bytes > 0 || self.skip_line {
            self.buffer.clear();
            (self.read, self.searched) = (0, 0);
            (self.skip_bytes, self.skip_line) = (0, false);
            self.fields.clear();
            self.cut_fields.clear();
            return Err(JournaldExportError::LengthMismatch(at));
        }
        let is_empty = self.fields.is_empty() && self.cut_fields.is_empty();
        Ok((!is_empty).then(|| self.frame()))
    }

    /// Offset of the next unread byte in the stream.
    fn offset(&self) -> u64 {
        self.before + self.read as u64
    }

    fn step(&mut self) -> Result<Step, JournaldExportError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Step::Incomplete);
        }
        if self.skip_bytes > 0 {
            let skipped =
                usize::try_from(self.skip_bytes).map_or(rest.len(), |skip| skip.min(rest.len()));
            self.read += skipped;
            self.skip_bytes -= skipped as u64;
            return Ok(Step::Field);
        }
        let searched = self.searched.saturating_sub(self.read);
        let unsearched = rest.get(searched..).unwrap_or_default();
        let end = unsearched.iter().position(|byte| *byte == b'\n');
        let end = end.map(|end| searched + end);
        if end.is_none() {
            self.searched = self.buffer.len();
        }
        if self.skip_line {
            self.read += end.map_or(rest.len(), |end| end + 1);
            self.skip_line = end.is_none();
            return Ok(Step::Field);
        }
        match end {
            Some(0) => {
                self.read += 1;
                Ok(Step::Entry)
            }
            Some(end) => {
                let line = rest.get(..end).unwrap_or_default();
                match line.iter().position(|byte| *byte == b'=') {
                    Some(equals) => self.text_field(equals, end),
                    None => self.sized_field(end),
                }
            }
            None if rest.len() > NAME_BYTES_MAX + 1 + FIELD_BYTES_MAX => {
                let equals = rest.iter().position(|byte| *byte == b'=');
                let length = rest.len();
                let name = self.name(equals.unwrap_or(length))?;
                self.read += length;
                self.skip_line = true;
                self.cut_field(name)
            }
            // Fail as soon as no field name is possible, not after buffering a gigabyte.
            None if rest.len() > NAME_BYTES_MAX
                && !rest.iter().take(NAME_BYTES_MAX + 1).any(|b| *b == b'=') =>
            {
                Err(JournaldExportError::InvalidName(self.offset()))
            }
            None => Ok(Step::Incomplete),
        }
    }

    /// Reads a field `NAME=value` that ends at `end`.
    fn text_field(&mut self, equals: usize, end: usize) -> Result<Step, JournaldExportError> {
        let name = self.name(equals)?;
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let value = rest.get(equals + 1..end).unwrap_or_default().to_vec();
        self.read += end + 1;
        self.add_field(name, value)
    }

    /// Reads a field of a name, a newline, a length of eight bytes, that many bytes, and a newline.
    fn sized_field(&mut self, end: usize) -> Result<Step, JournaldExportError> {
        let name = self.name(end)?;
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let from = end + 1 + 8;
        let Some(length) = rest
            .get(end + 1..from)
            .and_then(|eight| eight.first_chunk())
        else {
            return Ok(Step::Incomplete);
        };
        let length = u64::from_le_bytes(*length);
        if length > FIELD_BYTES_MAX as u64 {
            self.read += from;
            // One more for the newline. An impossible length skips the rest of the stream.
            self.skip_bytes = length.saturating_add(1);
            return self.cut_field(name);
        }
        let to = from + usize::try_from(length).unwrap_or(FIELD_BYTES_MAX);
        let Some(value) = rest.get(from..to) else {
            return Ok(Step::Incomplete);
        };
        match rest.get(to) {
            None => Ok(Step::Incomplete),
            Some(b'\n') => {
                let value = value.to_vec();
                self.read += to + 1;
                self.add_field(name, value)
            }
            Some(_) => Err(JournaldExportError::LengthMismatch(
                self.before + (self.read + to) as u64,
            )),
        }
    }

    /// Reads the name of the next field, which ends at `end`.
    fn name(&self, end: usize) -> Result<String, JournaldExportError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let name = rest.get(..end).unwrap_or_default();
        let is_allowed = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
        let is_valid = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_allowed);
        match std::str::from_utf8(name) {
            Ok(name) if is_valid => Ok(name.to_owned()),
            _ => Err(JournaldExportError::InvalidName(self.offset())),
        }
    }

    fn add_field(&mut self, name: String, value: Vec<u8>) -> Result<Step, JournaldExportError> {
        let bytes = name.len() + encoded_bytes_max(&value) + 8;
        if value.len() > FIELD_BYTES_MAX || self.frame_bytes + bytes > ENTRY_BYTES_MAX {
            return self.cut_field(name);
        }
        if self.fields.len() + self.cut_fields.len() >= FIELDS_MAX {
            return Err(JournaldExportError::TooManyFields);
        }
        self.frame_bytes += bytes;
        self.fields.push((name, value));
        Ok(Step::Field)
    }

    fn cut_field(&mut self, name: String) -> Result<Step, JournaldExportError> {
        if self.fields.len() + self.cut_fields.len() >= FIELDS_MAX {
            return Err(JournaldExportError::TooManyFields);
        }
        self.cut_fields.push(name);
        Ok(Step::Field)
    }

    /// Encodes the current entry as JSON, names in order of their first occurrence.
    fn frame(&mut self) -> Vec<u8> {
        let fields = std::mem::take(&mut self.fields);
        let cut = std::mem::take(&mut self.cut_fields);
        let mut json = Vec::with_capacity(self.frame_bytes + 2);
        self.frame_bytes = 0;
        let mut by_name: Vec<(&str, Vec<&[u8]>)> = Vec::new();
        for (name, value) in &fields {
            match by_name.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => by_name.push((name, vec![value])),
            }
        }
        let cut: Vec<&[u8]> = cut.iter().map(String::as_bytes).collect();
        if !cut.is_empty() {
            by_name.push((CUT_FIELD, cut));
        }
        for (i, (name, values)) in by_name.iter().enumerate() {
            json.push(if i == 0 { b'{' } else { b',' });
            push_text(name, &mut json);
            json.push(b':');
            match values.as_slice() {
                [value] => push_value(value, &mut json),
                values => {
                    for (i, value) in values.iter().enumerate() {
                        json.push(if i == 0 { b'[' } else { b',' });
                        push_value(value, &mut json);
                    }
                    json.push(b']');
                }
            }
        }
        json.push(b'}');
        json
    }
}

/// Upper bound of the bytes that [`push_value`] writes.
fn encoded_bytes_max(value: &[u8]) -> usize {
    let escaped_bytes = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    match std::str::from_utf8(value) {
        Ok(_) => value.iter().map(escaped_bytes).sum(),
        Err(_) => value.len() * 4,
    }
}

fn push_value(value: &[u8], json: &mut Vec<u8>) {
    if let Ok(text) = std::str::from_utf8(value) {
        return push_text(text, json);
    }
    for (i, byte) in value.iter().enumerate() {
        json.push(if i == 0 { b'[' } else { b',' });
        json.extend_from_slice(byte.to_string().as_bytes());
    }
    json.push(b']');
}

fn push_text(text: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            0..=0x1f => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => json.push(byte),
        }
    }
    json.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits an input that arrives in pieces of `piece` bytes.
    fn split(bytes: &[u8], piece: usize) -> (Vec<String>, Option<JournaldExportError>) {
        let mut export = JournaldExport::default();
        let mut frames = Vec::new();
        let mut take = |frame: Vec<u8>| frames.push(String::from_utf8(frame).unwrap());
        for piece in bytes.chunks(piece) {
            export.push(piece);
            loop {
                match export.next_entry() {
                    Ok(Some(frame)) => take(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        match export.finish() {
            Ok(last) => last.into_iter().for_each(take),
            Err(error) => return (frames, Some(error)),
        }
        (frames, None)
    }

    fn sized(name: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    #[test]
    fn split_does_not_depend_on_piece_size() {
        let long = vec![b'x'; FIELD_BYTES_MAX + 1];
        let line = [b"LONG=", long.as_slice(), b"\n"].concat();
        let table: Vec<(Vec<u8>, &[&str])> = vec![
            (b"".to_vec(), &[]),
            (b"\n\n".to_vec(), &[]),
            (
                b"A=1\nB=x=y\n\nA=\n\n".to_vec(),
                &[r#"{"A":"1","B":"x=y"}"#, r#"{"A":""}"#],
            ),
            (
                [sized("M", b"two\nlines\t\"q\"\\\x01"), b"M=z\n".to_vec()].concat(),
                &[r#"{"M":["two\nlines\t\"q\"\\\u0001","z"]}"#],
            ),
            (sized("B", b"\xff\0A"), &[r#"{"B":[255,0,65]}"#]),
            (sized("E", b""), &[r#"{"E":""}"#]),
            (
                [sized("CORE", &long), b"A=1\n\nA=2\n".to_vec()].concat(),
                &[r#"{"A":"1","_WEIR_CUT_FIELDS":"CORE"}"#, r#"{"A":"2"}"#],
            ),
            (
                [line, b"A=1\n".to_vec()].concat(),
                &[r#"{"A":"1","_WEIR_CUT_FIELDS":"LONG"}"#],
            ),
        ];
        for (bytes, frames) in table {
            for piece in [1, 3, 64, 4096, usize::MAX] {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                assert_eq!(
                    split(&bytes, piece),
                    (owned(frames), None),
                    "{shown} by {piece}"
                );
            }
        }
    }

    fn owned(frames: &[&str]) -> Vec<String> {
        frames.iter().map(|frame| (*frame).to_owned()).collect()
    }

    #[test]
    fn reject_other_formats_with_offset() {
        let endless = [&sized("A", b"")[..2], &u64::MAX.to_le_bytes(), b"x"].concat();
        let many = "A=1\n".repeat(FIELDS_MAX + 1).into_bytes();
        let bad = [b"A\n".to_vec(), 1u64.to_le_bytes().to_vec(), b"xy".to_vec()].concat();
        for (bytes, error) in [
            (b"a=1\n".to_vec(), JournaldExportError::InvalidName(0)),
            (b"A=1\n=2\n".to_vec(), JournaldExportError::InvalidName(4)),
            (vec![b'A'; 70], JournaldExportError::InvalidName(0)),
            (b"A=1".to_vec(), JournaldExportError::LengthMismatch(3)),
            (
                b"A\n\x01\0".to_vec(),
                JournaldExportError::LengthMismatch(4),
            ),
            (bad, JournaldExportError::LengthMismatch(11)),
            (endless, JournaldExportError::LengthMismatch(11)),
            (many, JournaldExportError::TooManyFields),
        ] {
            assert_eq!(split(&bytes, usize::MAX).1, Some(error), "{bytes:?}");
        }
    }

    #[test]
    fn limit_entry_size() {
        let part = vec![b'x'; FIELD_BYTES_MAX - 100];
        let entry: Vec<u8> = (0..6)
            .flat_map(|n| sized(&format!("F{n}"), &part))
            .collect();
        let (frames, error) = split(&entry, usize::MAX);
        assert_eq!(error, None);
        assert!(frames[0].len() <= ENTRY_BYTES_MAX + 100);
        assert!(frames[0].ends_with(r#""_WEIR_CUT_FIELDS":["F4","F5"]}"#));
    }
}
