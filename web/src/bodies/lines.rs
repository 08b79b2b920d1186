//! Splits bodies into lines.

/// Splits at LF and strips a trailing CR.
pub(crate) fn split_lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b'\n', text);
        rest = end.and_then(|end| text.get(end + 1..));
        let line = text.get(..end.unwrap_or(text.len()))?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}
