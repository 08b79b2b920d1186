//! Steps as words: plain ones, `field=value` with quotes where a value needs them, and raw bytes.

/// One word of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Plain(String),
    Field(String, String),
}

impl Word {
    /// The word, if it is no field.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Field(..) => None,
        }
    }

    /// The word as a message quotes it.
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Field(name, value) => show_field(name, value),
        }
    }
}

/// Splits a step into words. A value that holds spaces stands in double quotes, where `\"`, `\\`,
/// `\n` and `\t` are escapes.
pub fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some((name, value)) = word.split_once('=') else {
            words.push(Word::Plain(word.to_owned()));
            rest = after.trim_start();
            continue;
        };
        if name.is_empty() {
            return Err(format!("`{word}` has no field name before its `=`"));
        }
        if !value.starts_with('"') {
            words.push(Word::Field(name.to_owned(), value.to_owned()));
            rest = after.trim_start();
            continue;
        }
        // Both offsets are behind ASCII characters, so they are boundaries.
        let quoted = rest.get(name.len() + 2..).unwrap_or_default();
        let (value, after) = unquote(quoted)?;
        words.push(Word::Field(name.to_owned(), value));
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err(format!(
                "the value of `{name}` goes on after its closing quote"
            ));
        }
        rest = after.trim_start();
    }
    Ok(words)
}

fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, '"')) => value.push('"'),
                Some((_, '\\')) => value.push('\\'),
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                _ => return Err("only \\\" \\\\ \\n \\t are escapes in a quoted value".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a quoted value is not closed".to_owned())
}

/// `name=value`, quoted where it must be.
#[must_use]
pub fn show_field(name: &str, value: &str) -> String {
    let bare = !value.is_empty()
        && !value.starts_with('"')
        && !value.chars().any(|c| c.is_whitespace() || c.is_control());
    if bare {
        return format!("{name}={value}");
    }
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    format!("{name}=\"{escaped}\"")
}

/// Bytes of a raw frame: `\xNN` is the byte NN and `\\` a backslash; all else stands for itself.
#[must_use]
pub fn raw_bytes(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'x', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                after
            }
            [b'\\', b'\\', after @ ..] => {
                out.push(b'\\');
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|n| u8::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fields_and_quotes() {
        let words = split(r#"aws  login user="Igor \"P\" \\" src=1.2.3.4 x=a=b e="""#).unwrap();
        let shown: Vec<String> = words.iter().map(Word::show).collect();
        assert_eq!(
            shown,
            [
                "aws",
                "login",
                r#"user="Igor \"P\" \\""#,
                "src=1.2.3.4",
                "x=a=b",
                r#"e="""#
            ]
        );
        for bad in [r#"a="b"#, r#"a="b"c"#, r#"a="\q""#, "=b"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn raw_bytes_have_two_escapes() {
        assert_eq!(raw_bytes(r"a\x00\xfF\\x41 \n"), b"a\x00\xff\\x41 \\n");
    }
}
