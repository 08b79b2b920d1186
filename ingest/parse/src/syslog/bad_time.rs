//! Times that cannot be read: where they end, and how sure it is that they are times.
//!
//! No calendar has `Feb 30`, a clock that is not set writes `Dec ??`, and some write an offset of 99
//! hours. The words behind such a time are a header as behind any other.

/// Longest name of a month.
const MONTH_BYTES_MAX: usize = 8;

/// The text behind a time that cannot be read.
pub(super) struct BadTime<'a> {
    pub rest: &'a str,
    /// Whether the time has the form of a date, or begins with the name of a month.
    pub is_sure: bool,
}

/// Reads `Feb 30 10:00:00`, `Dec ?? ??:??:??`, `2026-02-30T10:00:00Z` or `gru  1 10:00:00` at the start
/// of a header of RFC 3164.
pub(super) fn read(text: &str) -> Option<BadTime<'_>> {
    let (word, rest) = text.split_once(' ')?;
    if is_date(word) {
        let has_clock = word.contains(['T', 't']) && word.contains(':');
        return has_clock.then_some(BadTime {
            rest,
            is_sure: true,
        });
    }
    let name = word.strip_suffix('.').unwrap_or(word);
    let is_name =
        (3..=MONTH_BYTES_MAX).contains(&name.len()) && name.chars().all(char::is_alphabetic);
    let (day, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    let (clock, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    let is_time =
        is_name && matches!(day.len(), 1 | 2) && day.bytes().all(is_digit) && is_clock(clock);
    is_time.then(|| BadTime {
        rest,
        is_sure: crate::time::clock::starts_with_month(text),
    })
}

/// Returns whether a word begins as `2026-02` does, with a year of any length and sign.
pub(super) fn is_date(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let rest = unsigned.as_bytes().get(digits..).unwrap_or_default();
    digits >= 4 && matches!(rest, [b'-', b'0'..=b'9', ..])
}

/// Returns whether a word has the form `10:00:00`, perhaps with a fraction.
fn is_clock(word: &str) -> bool {
    let (clock, fraction) = word.split_once(['.', ',']).unwrap_or((word, ""));
    let mut parts = clock.split(':');
    let is_part =
        |part: Option<&str>| part.is_some_and(|part| part.len() == 2 && part.bytes().all(is_digit));
    let has_parts = is_part(parts.next()) && is_part(parts.next()) && is_part(parts.next());
    has_parts && parts.next().is_none() && fraction.bytes().all(is_digit)
}

/// A digit, or what stands for one that is not known.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'?'
}
