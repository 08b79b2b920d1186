//! Splits Zeek's tab-separated logs into frames that each carry the header of their columns.
//!
//! A line of such a log has no meaning without the file's header, and each frame is parsed alone.
//! Splitting a file or a request body into lines therefore prepends the header to each line: the
//! frame is a Zeek log of one record, with the line's unchanged bytes at its end. The header omits
//! lines with Zeek's default values, `#open` and `#close`.

/// Longest header that is prepended to lines; Zeek's own longest is below 2 KiB. Lines under a
/// longer header get none.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// The header lines that affect how a record is read, in Zeek's order. Each has its default line,
/// which is omitted because the parser assumes it.
const KEYS: [(&str, &str); 7] = [
    ("#separator", "#separator \\x09"),
    ("#set_separator", "#set_separator\t,"),
    ("#empty_field", "#empty_field\t(empty)"),
    ("#unset_field", "#unset_field\t-"),
    ("#path", ""),
    ("#fields", ""),
    ("#types", ""),
];

/// Index of `#fields` in [`KEYS`].
const FIELDS: usize = 5;

/// Tracks the header of a log, line by line.
#[derive(Debug, Default)]
pub struct ZeekLog {
    /// The header lines read so far, by index in [`KEYS`]; `None` outside of a log.
    header: Option<[Vec<u8>; KEYS.len()]>,
    /// The bytes to prepend to a record; empty before `#fields`.
    prefix: Vec<u8>,
    /// The header has changed since `prefix` was built.
    is_stale: bool,
}

impl ZeekLog {
    /// The bytes to prepend to `line` in its frame; empty if the line is not of a Zeek log.
    ///
    /// `None`: the line belongs to the header and makes no frame.
    pub fn prefix(&mut self, line: &[u8]) -> Option<&[u8]> {
        if line.starts_with(b"#separator ") {
            self.header = Some(Default::default());
        }
        if self.header.is_some() && line.starts_with(b"#") {
            self.add_header_line(line);
            return None;
        }
        if std::mem::take(&mut self.is_stale) {
            self.build_prefix();
        }
        Some(&self.prefix)
    }

    fn add_header_line(&mut self, line: &[u8]) {
        let key = key(line);
        if key == Some("#close") {
            self.header = None;
            self.is_stale = true;
        }
        let index = KEYS.iter().position(|(name, _)| key == Some(name));
        if let (Some(index), Some(header)) = (index, &mut self.header) {
            header[index] = line.to_vec();
            self.is_stale = true;
        }
    }

    fn build_prefix(&mut self) {
        self.prefix.clear();
        let Some(header) = self.header.as_ref().filter(|h| !h[FIELDS].is_empty()) else {
            return;
        };
        let lines = || {
            let lines = header
                .iter()
                .zip(KEYS)
                .map(|(line, (_, default))| (line, default));
            lines.filter(|(line, default)| !line.is_empty() && *line != default.as_bytes())
        };
        // Check the length first: a hostile log may change a long header with every line.
        if lines().map(|(line, _)| line.len() + 1).sum::<usize>() > HEADER_BYTES_MAX {
            return;
        }
        for (line, _) in lines() {
            self.prefix.extend_from_slice(line);
            self.prefix.push(b'\n');
        }
    }
}

/// The key at the start of a header line; any separator may follow it.
fn key(line: &[u8]) -> Option<&str> {
    let letter = |b: &u8| b.is_ascii_lowercase() || matches!(b, b'#' | b'_');
    let end = line.iter().position(|b| !letter(b)).unwrap_or(line.len());
    std::str::from_utf8(line.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of the lines of `text`.
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
    fn prepend_current_header_to_each_record() {
        let usual = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n";
        let table: [(&str, String, &[&str]); 6] = [
            ("no log", "# a remark\nline".into(), &["# a remark", "line"]),
            (
                "default lines are omitted",
                format!("{usual}#path\tx\n#open\tnow\n#fields\ta\n#types\tint\n1\n2\n"),
                &[
                    "#path\tx\n#fields\ta\n#types\tint\n1",
                    "#path\tx\n#fields\ta\n#types\tint\n2",
                ],
            ),
            (
                "another separator is included",
                "#separator \\x7c\n#set_separator|;\n#path|x\n#fields|a|b\n1|2".into(),
                &["#separator \\x7c\n#set_separator|;\n#path|x\n#fields|a|b\n1|2"],
            ),
            (
                "a log ends, another begins",
                format!("{usual}#path\tx\n#fields\ta\n1\n#close\tnow\n2\n{usual}#fields\tb\n3"),
                &["#path\tx\n#fields\ta\n1", "2", "#fields\tb\n3"],
            ),
            (
                "changed fields apply to later lines",
                format!("{usual}#fields\ta\n1\n#fields\ta\tb\n1\t2"),
                &["#fields\ta\n1", "#fields\ta\tb\n1\t2"],
            ),
            (
                "a line before `#fields` gets no header",
                format!("{usual}#path\tx\n1"),
                &["1"],
            ),
        ];
        for (name, text, expected) in table {
            assert_eq!(frames(&text), expected, "{name}");
        }
    }

    #[test]
    fn omit_header_over_the_limit() {
        let fields = |bytes: usize| format!("#separator \\x09\n#fields\t{}\n1", "a".repeat(bytes));
        let at = HEADER_BYTES_MAX - "#fields\t\n".len();
        assert_eq!(frames(&fields(at))[0].len(), HEADER_BYTES_MAX + 1);
        assert_eq!(frames(&fields(at + 1)), ["1"]);
        // This takes very long if the prefix is built for each line.
        let long = fields(1 << 20) + &"\n#path\tx\n1".repeat(100_000);
        assert_eq!(frames(&long).len(), 100_001);
    }
}
