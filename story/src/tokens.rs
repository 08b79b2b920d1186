//! Splits a step into tokens: plain words and `field=value`, with quotes where a value needs them.

/// One token of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Plain(String),
    Field(String, String),
}

impl Token {
    /// The text of a plain word; `None` for a field.
    #[must_use]
    pub fn as_plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Field(..) => None,
        }
    }

    /// The token as messages quote it.
    #[must_use]
    pub fn quoted(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Field(name, value) => format_field(name, value),
        }
    }
}

/// Splits a step into tokens. A value with spaces is enclosed in double quotes, in which `\"`, `\\`,
/// `\n` and `\t` are escapes.
pub fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some((name, value)) = word.split_once('=') else {
            words.push(Token::Plain(word.to_owned()));
            rest = after.trim_start();
            continue;
        };
        if name.is_empty() {
            return Err(format!("`{word}` has no field name before its `=`"));
        }
        if !value.starts_with('"') {
            words.push(Token::Field(name.to_owned(), value.to_owned()));
            rest = after.trim_start();
            continue;
        }
        // Both offsets follow ASCII characters, so they are character boundaries.
        let quoted = rest.get(name.len() + 2..).unwrap_or_default();
        let (value, after) = unquote(quoted)?;
        words.push(Token::Field(name.to_owned(), value));
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err(format!(
                "the value of `{name}` continues after its closing quote"
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

/// Formats `name=value`, with quotes if the value needs them.
#[must_use]
pub fn format_field(name: &str, value: &str) -> String {
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

/// Decodes the bytes of a raw frame: `\xNN` is the byte NN, `\\` a backslash, all else is literal.
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
    fn tokenize_reads_words_fields_and_quotes() {
        let words = tokenize(r#"aws  login user="Igor \"P\" \\" src=1.2.3.4 x=a=b e="""#).unwrap();
        let shown: Vec<String> = words.iter().map(Token::quoted).collect();
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
            assert!(tokenize(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn raw_bytes_have_two_escapes() {
        assert_eq!(raw_bytes(r"a\x00\xfF\\x41 \n"), b"a\x00\xff\\x41 \\n");
    }
}
