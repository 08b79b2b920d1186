//! Rust source as text: comments blanked, strings collected, functions measured.

use std::path::{Path, PathBuf};

/// One source file of the workspace.
pub struct Source {
    /// From the root of the workspace, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of strings blanked; offsets and lines stay.
    pub code: String,
    /// `code` with everything blanked that is compiled for tests alone.
    pub shipped: String,
    /// Offset of the opening quote, and the text between the quotes.
    pub strings: Vec<(usize, String)>,
}

impl Source {
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a source file is readable text");
        let path = shown(root, path);
        let (code, strings) = blank(&text);
        let shipped = if is_test(&path) {
            let blanked = code.chars().map(|c| if c == '\n' { c } else { ' ' });
            blanked.collect()
        } else {
            without_tests(&code)
        };
        Self {
            path,
            text,
            code,
            shipped,
            strings,
        }
    }

    pub fn is_generated(&self) -> bool {
        self.path.starts_with("schema/src/generated/")
    }

    /// Whether the whole file is compiled for tests or benchmarks alone.
    pub fn is_test(&self) -> bool {
        is_test(&self.path)
    }

    /// `path:line` of an offset.
    pub fn place(&self, offset: usize) -> String {
        let line = self.code[..offset].matches('\n').count() + 1;
        format!("{}:{line}", self.path)
    }

    /// Every function, tests included.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for pair in words(&self.code).windows(2) {
            let [(offset, "fn"), (_, name)] = pair else {
                continue;
            };
            let rest = &self.code[*offset..];
            let open = rest
                .find(['{', ';'])
                .filter(|open| rest[*open..].starts_with('{'));
            let Some(open) = open else {
                continue; // A declaration without a body.
            };
            let end = closing(rest, open);
            found.push(Function {
                name: (*name).to_owned(),
                offset: *offset,
                lines: rest[..end].matches('\n').count() + 1,
            });
        }
        found
    }
}

/// A function with a body.
pub struct Function {
    pub name: String,
    pub offset: usize,
    pub lines: usize,
}

fn is_test(path: &str) -> bool {
    let folders = ["tests", "tests.rs", "benches"];
    path.split('/').any(|part| folders.contains(&part))
}

/// A path from the root, with `/`.
pub fn shown(root: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(root).unwrap_or(path);
    inner.to_string_lossy().replace('\\', "/")
}

/// All files below `dir`, without build output, data folders and git's own.
pub fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    const NOT_OURS: [&str; 4] = ["target", ".git", "weir-data", "node_modules"];
    let entries = std::fs::read_dir(dir).expect("a folder of the workspace can be read");
    for entry in entries {
        let entry = entry.expect("an entry of a folder can be read");
        let name = entry.file_name();
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() && !NOT_OURS.iter().any(|not| name == *not) {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
}

/// Identifiers and keywords with their offsets.
pub fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        if c.is_alphanumeric() || c == '_' {
            start.get_or_insert(at);
        } else if let Some(from) = start.take() {
            found.push((from, &code[from..at]));
        }
    }
    found
}

/// Offset behind the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => continue, // Only braces nest blocks.
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// Blanks the items behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    while let Some(at) = shipped.find("#[cfg(test)]") {
        let end = match shipped[at..].find(['{', ';']) {
            Some(open) if shipped[at + open..].starts_with('{') => closing(&shipped, at + open),
            Some(semicolon) => at + semicolon + 1,
            None => shipped.len(),
        };
        let blanked: String = shipped[at..end]
            .chars()
            .flat_map(|c| std::iter::repeat_n(if c == '\n' { c } else { ' ' }, c.len_utf8()))
            .collect();
        shipped.replace_range(at..end, &blanked);
    }
    shipped
}

/// Blanks comments and the insides of strings and characters; returns the strings.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let joined = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + comment(rest)
        } else if let Some(hashes) = raw(rest).filter(|_| !joined) {
            let open = at
                + rest
                    .iter()
                    .position(|b| *b == b'"')
                    .expect("a raw string opens");
            let close: Vec<u8> = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let body = &bytes[open + 1..];
            let length = body.windows(close.len()).position(|window| window == close);
            let length = length.unwrap_or(body.len());
            strings.push((open, text[open + 1..open + 1 + length].to_owned()));
            (open + 1 + length + close.len()).min(bytes.len())
        } else if rest[0] == b'"' {
            let length = quoted(rest);
            let inner = text.get(at + 1..at + length - 1).unwrap_or_default();
            strings.push((at, inner.to_owned()));
            at + length
        } else if rest[0] == b'\'' {
            at + character(&text[at..])
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole characters were blanked, each byte to a space.
    (
        String::from_utf8(code).expect("whole characters were blanked"),
        strings,
    )
}

/// Length of a comment that may hold others.
fn comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The number of `#` before the quote, if a raw string opens here.
fn raw(rest: &[u8]) -> Option<usize> {
    let rest = rest
        .strip_prefix(b"b")
        .or(rest.strip_prefix(b"c"))
        .unwrap_or(rest);
    let rest = rest.strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    (rest.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// Length of a string with its quotes.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a character with its quotes; 1 where it is a lifetime.
fn character(rest: &str) -> usize {
    let mut inner = rest.char_indices().skip(1);
    match inner.next() {
        Some((_, '\\')) => {
            let close = rest.char_indices().skip(3).find(|(_, c)| *c == '\'');
            close.map_or(1, |(at, _)| at + 1)
        }
        Some(_) => match inner.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

#[test]
fn strings_and_comments_are_no_code() {
    let text = r##"let a = "do_send"; // todo!()
let b = r#"unsafe " x"#; /* dbg! /* inner */ */ let c = b'"'; let d: &'static str = "it\"s";
#[cfg(test)]
mod tests { fn f() { x.unwrap() } }
fn shipped<'a>() { one(); }"##;
    let (code, strings) = blank(text);
    assert_eq!(code.len(), text.len());
    for word in ["do_send", "todo", "unsafe", "dbg", "inner", "it"] {
        assert!(
            words(&code).iter().all(|(_, found)| *found != word),
            "{word} in {code}"
        );
    }
    let texts: Vec<&str> = strings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["do_send", "unsafe \" x", "it\\\"s"]);
    let shipped = without_tests(&code);
    assert!(
        !shipped.contains("unwrap") && shipped.contains("fn shipped"),
        "{shipped}"
    );
}
