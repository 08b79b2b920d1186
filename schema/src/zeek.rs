//! Zeek's tab-separated logs cut into frames that each carry the header which gives their columns
//! meaning.
//!
//! A line of such a log says nothing without the header of its file, and a frame is read by itself.
//! So whoever cuts a file or a body into lines puts the header in front of each: the frame is then
//! a Zeek log of one record, with the line's bytes at its end as they came. Header lines that say
//! what every Zeek log says are left out, and so are `#open` and `#close`.

/// Longest header that is put in front of lines; Zeek's own widest is below 2 KiB. Lines under a
/// longer one stand alone.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// The header lines that bear on how a record reads, in the order in which Zeek writes them, each
/// with the line that is left out, since a reader takes it for granted.
const KEYS: [(&str, &str); 7] = [
    ("#separator", "#separator \\x09"),
    ("#set_separator", "#set_separator\t,"),
    ("#empty_field", "#empty_field\t(empty)"),
    ("#unset_field", "#unset_field\t-"),
    ("#path", ""),
    ("#fields", ""),
    ("#types", ""),
];

/// Where `#fields` is in [`KEYS`].
const FIELDS: usize = 5;

/// Follows the header of a log, line by line.
#[derive(Debug, Default)]
pub struct ZeekLog {
    /// The header lines of the log as far as they were read, by place in [`KEYS`]; `None` outside
    /// of a log.
    header: Option<[Vec<u8>; KEYS.len()]>,
    /// What goes in front of a record; empty before `#fields`.
    prefix: Vec<u8>,
    /// The header has changed since `prefix` was made of it.
    stale: bool,
}

impl ZeekLog {
    /// What belongs in front of `line` in its frame: nothing where it is not of a Zeek log. `None`
    /// where the line is header itself, and no frame of its own.
    pub fn prefix(&mut self, line: &[u8]) -> Option<&[u8]> {
        if line.starts_with(b"#separator ") {
            self.header = Some(Default::default());
        }
        if self.header.is_some() && line.starts_with(b"#") {
            self.take(line);
            return None;
        }
        if std::mem::take(&mut self.stale) {
            self.build();
        }
        Some(&self.prefix)
    }

    fn take(&mut self, line: &[u8]) {
        let key = key(line);
        if key == Some("#close") {
            self.header = None;
            self.stale = true;
        }
        let place = KEYS.iter().position(|(name, _)| key == Some(name));
        if let (Some(place), Some(header)) = (place, &mut self.header) {
            header[place] = line.to_vec();
            self.stale = true;
        }
    }

    fn build(&mut self) {
        self.prefix.clear();
        let Some(header) = self.header.as_ref().filter(|h| !h[FIELDS].is_empty()) else {
            return;
        };
        let lines = || {
            let lines = header
                .iter()
                .zip(KEYS)
                .map(|(line, (_, usual))| (line, usual));
            lines.filter(|(line, usual)| !line.is_empty() && *line != usual.as_bytes())
        };
        // Before it is put together: a header may change with every line, however long it is.
        if lines().map(|(line, _)| line.len() + 1).sum::<usize>() > HEADER_BYTES_MAX {
            return;
        }
        for (line, _) in lines() {
            self.prefix.extend_from_slice(line);
            self.prefix.push(b'\n');
        }
    }
}

/// The word that a header line begins with, whatever the separator is that follows it.
fn key(line: &[u8]) -> Option<&str> {
    let letter = |b: &u8| b.is_ascii_lowercase() || matches!(b, b'#' | b'_');
    let end = line.iter().position(|b| !letter(b)).unwrap_or(line.len());
    std::str::from_utf8(line.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames that the lines of `text` become.
    fn frames(text: &str) -> Vec<String> {
        let mut log = ZeekLog::default();
        let frame = |line: &str| {
            let prefix = log.prefix(line.as_bytes())?;
            let prefix = std::str::from_utf8(prefix).unwrap();
            Some(format!("{prefix}{line}"))
        };
        text.lines().filter_map(frame).collect()
    }

    #[test]
    fn each_record_carries_the_header_that_holds_for_it() {
        let usual = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n";
        let table: [(&str, String, &[&str]); 6] = [
            ("no log", "# a remark\nline".into(), &["# a remark", "line"]),
            (
                "what every log says is left out",
                format!("{usual}#path\tx\n#open\tnow\n#fields\ta\n#types\tint\n1\n2\n"),
                &[
                    "#path\tx\n#fields\ta\n#types\tint\n1",
                    "#path\tx\n#fields\ta\n#types\tint\n2",
                ],
            ),
            (
                "another separator is kept",
                "#separator \\x7c\n#set_separator|;\n#path|x\n#fields|a|b\n1|2".into(),
                &["#separator \\x7c\n#set_separator|;\n#path|x\n#fields|a|b\n1|2"],
            ),
            (
                "a log ends, another begins",
                format!("{usual}#path\tx\n#fields\ta\n1\n#close\tnow\n2\n{usual}#fields\tb\n3"),
                &["#path\tx\n#fields\ta\n1", "2", "#fields\tb\n3"],
            ),
            (
                "fields that change change what follows",
                format!("{usual}#fields\ta\n1\n#fields\ta\tb\n1\t2"),
                &["#fields\ta\n1", "#fields\ta\tb\n1\t2"],
            ),
            (
                "a line before the fields stands alone",
                format!("{usual}#path\tx\n1"),
                &["1"],
            ),
        ];
        for (name, text, expected) in table {
            assert_eq!(frames(&text), expected, "{name}");
        }
    }

    #[test]
    fn a_header_beyond_the_limit_is_put_in_front_of_nothing() {
        let fields = |bytes: usize| format!("#separator \\x09\n#fields\t{}\n1", "a".repeat(bytes));
        let at = HEADER_BYTES_MAX - "#fields\t\n".len();
        assert_eq!(frames(&fields(at))[0].len(), HEADER_BYTES_MAX + 1);
        assert_eq!(frames(&fields(at + 1)), ["1"]);
        // Would not end here if it were put together for each line under it.
        let long = fields(1 << 20) + &"\n#path\tx\n1".repeat(100_000);
        assert_eq!(frames(&long).len(), 100_001);
    }
}
