//! Cuts journald's export format, as `journalctl -o export` writes it, into JSON frames of one entry
//! each.
//!
//! A frame says what `journalctl -o json` says: each field as text, or as a list of numbers where it
//! is no UTF-8, and a list of these where a field comes several times. Files and bodies are cut
//! alike, so that an entry has one identity whichever way it came.

/// Longest field that is kept; of a core dump, say, its name is told under [`CUT_FIELD`].
pub const FIELD_BYTES_MAX: usize = 256 << 10;

/// Longest entry, counted as its frame: what the journal takes as one.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Names the fields that were too long, or for which the entry had no room left.
pub const CUT_FIELD: &str = "_WEIR_CUT_FIELDS";

/// Most fields that an entry may have: systemd's own limit.
const FIELDS_MAX: usize = 1_024;

/// Longest name of a field: systemd's own limit.
const NAME_BYTES_MAX: usize = 64;

/// Why what comes is not journald's export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournaldExportError {
    /// A name is capital letters, digits and `_`.
    #[error("no field of journald's export format begins {0} bytes in")]
    Name(u64),
    /// Behind a field with a length stands a line's end.
    #[error("the field that ends {0} bytes in has another length than it says")]
    Length(u64),
    /// It had more than [`FIELDS_MAX`] fields.
    #[error("an entry of journald's export format has at most 1,024 fields")]
    Fields,
}

/// Cuts a stream of entries, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct JournaldExport {
    /// Bytes that wait for the rest of a field.
    waiting: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    /// Up to here no line ends: a long line is looked through once, in however many pieces it comes.
    searched: usize,
    /// Bytes before `waiting`.
    before: u64,
    /// Bytes still to come of a field that is too long.
    skip: u64,
    /// Whether the line that goes on is one of those.
    skip_line: bool,
    fields: Vec<(String, Vec<u8>)>,
    bytes: usize,
    cut: Vec<String>,
}

enum Step {
    /// An entry has ended.
    Entry,
    /// A field was read, or a part of one passed over.
    On,
    /// More bytes are needed.
    Wait,
}

impl JournaldExport {
    /// Takes in what comes next. What waits is at most a field and what is given here.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.drain(..self.read);
        self.before += self.read as u64;
        self.searched = self.searched.saturating_sub(self.read);
        self.read = 0;
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole entry as a frame; `None` until more has come.
    pub fn next_entry(&mut self) -> Result<Option<Vec<u8>>, JournaldExportError> {
        loop {
            match self.step()? {
                Step::Wait => return Ok(None),
                Step::Entry if self.fields.is_empty() && self.cut.is_empty() => {}
                Step::Entry => return Ok(Some(self.frame())),
                Step::On => {}
            }
        }
    }

    /// At the end of input: the last entry, where no empty line ended it. `Err` says that it broke
    /// off within a field.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, JournaldExportError> {
        let whole = self.next_entry()?;
        if whole.is_some() {
            return Ok(whole);
        }
        let at = self.before + self.waiting.len() as u64;
        if self.read < self.waiting.len() || self.skip > 0 || self.skip_line {
            self.waiting.clear();
            (self.read, self.searched) = (0, 0);
            (self.skip, self.skip_line) = (0, false);
            self.fields.clear();
            self.cut.clear();
            return Err(JournaldExportError::Length(at));
        }
        let none = self.fields.is_empty() && self.cut.is_empty();
        Ok((!none).then(|| self.frame()))
    }

    fn at(&self) -> u64 {
        self.before + self.read as u64
    }

    fn step(&mut self) -> Result<Step, JournaldExportError> {
        let rest = self.waiting.get(self.read..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Step::Wait);
        }
        if self.skip > 0 {
            let some = usize::try_from(self.skip).map_or(rest.len(), |skip| skip.min(rest.len()));
            self.read += some;
            self.skip -= some as u64;
            return Ok(Step::On);
        }
        let searched = self.searched.saturating_sub(self.read);
        let unsearched = rest.get(searched..).unwrap_or_default();
        let end = unsearched.iter().position(|byte| *byte == b'\n');
        let end = end.map(|end| searched + end);
        if end.is_none() {
            self.searched = self.waiting.len();
        }
        if self.skip_line {
            self.read += end.map_or(rest.len(), |end| end + 1);
            self.skip_line = end.is_none();
            return Ok(Step::On);
        }
        match end {
            Some(0) => {
                self.read += 1;
                Ok(Step::Entry)
            }
            Some(end) => {
                let line = rest.get(..end).unwrap_or_default();
                match line.iter().position(|byte| *byte == b'=') {
                    Some(equals) => self.text(equals, end),
                    None => self.sized(end),
                }
            }
            None if rest.len() > NAME_BYTES_MAX + 1 + FIELD_BYTES_MAX => {
                let equals = rest.iter().position(|byte| *byte == b'=');
                let length = rest.len();
                let name = self.name(equals.unwrap_or(length))?;
                self.read += length;
                self.skip_line = true;
                self.leave(name)
            }
            // What can be no field any more is told at once, not at the end of a gigabyte.
            None if rest.len() > NAME_BYTES_MAX
                && !rest.iter().take(NAME_BYTES_MAX + 1).any(|b| *b == b'=') =>
            {
                Err(JournaldExportError::Name(self.at()))
            }
            None => Ok(Step::Wait),
        }
    }

    /// `NAME=value`, which ends at `end`.
    fn text(&mut self, equals: usize, end: usize) -> Result<Step, JournaldExportError> {
        let name = self.name(equals)?;
        let rest = self.waiting.get(self.read..).unwrap_or_default();
        let value = rest.get(equals + 1..end).unwrap_or_default().to_vec();
        self.read += end + 1;
        self.keep(name, value)
    }

    /// `NAME`, a length of eight bytes, so many bytes, and a line's end.
    fn sized(&mut self, end: usize) -> Result<Step, JournaldExportError> {
        let name = self.name(end)?;
        let rest = self.waiting.get(self.read..).unwrap_or_default();
        let from = end + 1 + 8;
        let Some(length) = rest
            .get(end + 1..from)
            .and_then(|eight| eight.first_chunk())
        else {
            return Ok(Step::Wait);
        };
        let length = u64::from_le_bytes(*length);
        if length > FIELD_BYTES_MAX as u64 {
            self.read += from;
            // With the line's end behind it; a length that nothing can have ends the stream there.
            self.skip = length.saturating_add(1);
            return self.leave(name);
        }
        let to = from + usize::try_from(length).unwrap_or(FIELD_BYTES_MAX);
        let Some(value) = rest.get(from..to) else {
            return Ok(Step::Wait);
        };
        match rest.get(to) {
            None => Ok(Step::Wait),
            Some(b'\n') => {
                let value = value.to_vec();
                self.read += to + 1;
                self.keep(name, value)
            }
            Some(_) => Err(JournaldExportError::Length(
                self.before + (self.read + to) as u64,
            )),
        }
    }

    /// The name in front, which ends at `end`.
    fn name(&self, end: usize) -> Result<String, JournaldExportError> {
        let rest = self.waiting.get(self.read..).unwrap_or_default();
        let name = rest.get(..end).unwrap_or_default();
        let plain = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(plain);
        match std::str::from_utf8(name) {
            Ok(name) if fits => Ok(name.to_owned()),
            _ => Err(JournaldExportError::Name(self.at())),
        }
    }

    fn keep(&mut self, name: String, value: Vec<u8>) -> Result<Step, JournaldExportError> {
        let bytes = name.len() + written(&value) + 8;
        if value.len() > FIELD_BYTES_MAX || self.bytes + bytes > ENTRY_BYTES_MAX {
            return self.leave(name);
        }
        if self.fields.len() + self.cut.len() >= FIELDS_MAX {
            return Err(JournaldExportError::Fields);
        }
        self.bytes += bytes;
        self.fields.push((name, value));
        Ok(Step::On)
    }

    fn leave(&mut self, name: String) -> Result<Step, JournaldExportError> {
        if self.fields.len() + self.cut.len() >= FIELDS_MAX {
            return Err(JournaldExportError::Fields);
        }
        self.cut.push(name);
        Ok(Step::On)
    }

    /// The entry that has ended, as JSON; names in the order in which they first came.
    fn frame(&mut self) -> Vec<u8> {
        let fields = std::mem::take(&mut self.fields);
        let cut = std::mem::take(&mut self.cut);
        let mut json = Vec::with_capacity(self.bytes + 2);
        self.bytes = 0;
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
        for (place, (name, values)) in by_name.iter().enumerate() {
            json.push(if place == 0 { b'{' } else { b',' });
            push_text(name, &mut json);
            json.push(b':');
            match values.as_slice() {
                [value] => push_value(value, &mut json),
                values => {
                    for (place, value) in values.iter().enumerate() {
                        json.push(if place == 0 { b'[' } else { b',' });
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

/// At least as many bytes as [`push_value`] writes.
fn written(value: &[u8]) -> usize {
    let of = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    match std::str::from_utf8(value) {
        Ok(_) => value.iter().map(of).sum(),
        Err(_) => value.len() * 4,
    }
}

fn push_value(value: &[u8], json: &mut Vec<u8>) {
    if let Ok(text) = std::str::from_utf8(value) {
        return push_text(text, json);
    }
    for (place, byte) in value.iter().enumerate() {
        json.push(if place == 0 { b'[' } else { b',' });
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

    fn cut(bytes: &[u8], piece: usize) -> (Vec<String>, Option<JournaldExportError>) {
        let mut export = JournaldExport::default();
        let mut frames = Vec::new();
        let mut take = |frame: Vec<u8>| frames.push(String::from_utf8(frame).unwrap());
        for piece in bytes.chunks(piece) {
            export.push(piece);
            loop {
                match export.next_entry() {
                    Ok(Some(frame)) => take(frame),
                    Ok(None) => break,
                    Err(fault) => return (frames, Some(fault)),
                }
            }
        }
        match export.finish() {
            Ok(last) => last.into_iter().for_each(take),
            Err(fault) => return (frames, Some(fault)),
        }
        (frames, None)
    }

    fn sized(name: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    #[test]
    fn entries_are_cut_alike_in_every_way_of_coming() {
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
                    cut(&bytes, piece),
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
    fn what_is_no_export_is_told_with_its_place() {
        let endless = [&sized("A", b"")[..2], &u64::MAX.to_le_bytes(), b"x"].concat();
        let many = "A=1\n".repeat(FIELDS_MAX + 1).into_bytes();
        let bad = [b"A\n".to_vec(), 1u64.to_le_bytes().to_vec(), b"xy".to_vec()].concat();
        for (bytes, fault) in [
            (b"a=1\n".to_vec(), JournaldExportError::Name(0)),
            (b"A=1\n=2\n".to_vec(), JournaldExportError::Name(4)),
            (vec![b'A'; 70], JournaldExportError::Name(0)),
            (b"A=1".to_vec(), JournaldExportError::Length(3)),
            (b"A\n\x01\0".to_vec(), JournaldExportError::Length(4)),
            (bad, JournaldExportError::Length(11)),
            (endless, JournaldExportError::Length(11)),
            (many, JournaldExportError::Fields),
        ] {
            assert_eq!(cut(&bytes, usize::MAX).1, Some(fault), "{bytes:?}");
        }
    }

    #[test]
    fn an_entry_has_a_greatest_size() {
        let part = vec![b'x'; FIELD_BYTES_MAX - 100];
        let entry: Vec<u8> = (0..6)
            .flat_map(|n| sized(&format!("F{n}"), &part))
            .collect();
        let (frames, fault) = cut(&entry, usize::MAX);
        assert_eq!(fault, None);
        assert!(frames[0].len() <= ENTRY_BYTES_MAX + 100);
        assert!(frames[0].ends_with(r#""_WEIR_CUT_FIELDS":["F4","F5"]}"#));
    }
}
