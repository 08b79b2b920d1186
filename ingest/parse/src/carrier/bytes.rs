//! Texts that journald writes as lists: of bytes if one of them is a control character, or of the
//! values of a field that was set several times.

use weir_schema::Value;

/// Reads a list of bytes as text, without colours and line ends, or the first text of a list.
/// Returns `None` for other lists.
pub(super) fn text_of_bytes(values: &[Value<'_>]) -> Option<String> {
    if let Some(Value::Text(text)) = values.first() {
        return Some(text.clone().into_owned());
    }
    let byte = |value: &Value<'_>| match value {
        Value::Int(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = values.iter().map(byte).collect();
    let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
    let text = String::from_utf8_lossy(&bytes);
    Some(without_colours(text.trim_end_matches(['\r', '\n', '\0'])))
}

/// Removes sequences such as `ESC [ 32 m`.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once("\u{1b}[") {
        out.push_str(plain);
        let parameters = |c: char| c.is_ascii_digit() || c == ';';
        let after = tail.trim_start_matches(parameters);
        rest = after
            .strip_prefix(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(after);
    }
    out.push_str(rest);
    out
}
