//! The form of a host: a name or an address.

/// Longest host: a domain name.
const HOST_BYTES_MAX: usize = 255;

/// Returns whether a word has the form of a host: a name or an address.
pub(crate) fn is_host(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    !word.is_empty()
        && word.len() <= HOST_BYTES_MAX
        && word.bytes().all(fits)
        && !word.ends_with(':')
        && word.bytes().any(|b| b.is_ascii_alphanumeric())
}
