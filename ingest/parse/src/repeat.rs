//! Lines that stand for several: what a logger writes in place of the repeats of a message.
//!
//! ```text
//!  sshd[7]: message repeated 5 times: [ Failed password for root ...]     five of that message
//!  last message repeated 5 times                                          of which one is unknown
//! ```

use weir_schema::Weight;

/// Longest count with its sign. Longer ones are no numbers of a logger.
const COUNT_BYTES_MAX: usize = 20;

/// A message, and how often it was repeated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RepeatedMessage<'a> {
    pub text: &'a str,
    pub weight: Weight,
    /// Whether the line says more than [`Weight::MAX`].
    pub is_capped: bool,
}

/// Reads `message repeated 5 times: [ text]`, as rsyslog writes it in place of the text.
///
/// The count must be a number above 0, the bracket must end the line, and the text must be a message
/// itself: neither empty nor another such line. Otherwise nothing says what was repeated, or how
/// often.
pub(crate) fn read(message: &str) -> Option<RepeatedMessage<'_>> {
    let (count, rest) = times(strip_start(message)?)?;
    let text = rest.strip_prefix(": [")?.trim_ascii_end();
    let text = text.strip_suffix(']')?.trim_ascii();
    if count == 0 || text.is_empty() || is_reported(text) {
        return None;
    }
    Some(RepeatedMessage {
        text,
        weight: Weight::of(count),
        is_capped: count > Weight::MAX.get(),
    })
}

/// Returns whether a message says that some message was repeated, in the words of a logger: those of
/// [`read`], of syslogd (`last message repeated 5 times`, between dashes in macOS) or of syslog-ng
/// (`Last message 'the first 20 b' repeated 5 times, suppressed by ...`).
pub(crate) fn is_reported(message: &str) -> bool {
    // The first byte rules out most messages.
    if !matches!(
        message.as_bytes().first(),
        Some(b'm' | b'M' | b'l' | b'L' | b'-')
    ) {
        return false;
    }
    if let Some(rest) = strip_start(message) {
        return starts_with_count(rest);
    }
    let message = message.strip_prefix("--- ").unwrap_or(message);
    let after = message.strip_prefix("last message ");
    let Some(rest) = after.or_else(|| message.strip_prefix("Last message ")) else {
        return false;
    };
    let rest = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split_once("' ").map_or("", |(_, rest)| rest),
        None => rest,
    };
    rest.strip_prefix("repeated ")
        .is_some_and(starts_with_count)
}

/// Removes the words in front of a count. Some loggers begin with a capital.
fn strip_start(message: &str) -> Option<&str> {
    let rest = message.strip_prefix(['m', 'M'])?;
    rest.strip_prefix("essage repeated ")
}

/// Splits `5 times` from what follows.
fn times(text: &str) -> Option<(u64, &str)> {
    let (count, rest) = text.split_once(' ')?;
    let rest = rest.strip_prefix("time")?;
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    let is_number = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    if !is_number || count.len() > COUNT_BYTES_MAX {
        return None;
    }
    // A count beyond the largest number is beyond every bound.
    Some((count.parse().unwrap_or(u64::MAX), rest))
}

fn starts_with_count(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_repeats_is_read_with_its_count() {
        let cases = [
            ("message repeated 5 times: [ a b]", Some(("a b", 5))),
            ("message repeated 1 times: [a]", Some(("a", 1))),
            ("Message repeated 5 times: [ a b]", Some(("a b", 5))),
            ("message repeated 2 time: [ a[1]]  ", Some(("a[1]", 2))),
            ("message repeated 0005 times: [ a]", Some(("a", 5))),
            ("message repeated 10000 times: [ a]", Some(("a", 10_000))),
            ("message repeated 0 times: [ a]", None),
            ("message repeated -1 times: [ a]", None),
            ("message repeated +1 times: [ a]", None),
            ("message repeated 1e3 times: [ a]", None),
            ("message repeated  times: [ a]", None),
            ("message repeated 5 times: [ a", None),
            ("message repeated 5 times: [ a] b", None),
            ("message repeated 5 times: [ ]", None),
            ("message repeated 5 times", None),
            (
                "message repeated 5 times: [ message repeated 6 times: [ a]]",
                None,
            ),
            (
                "message repeated 5 times: [ last message repeated 6 times]",
                None,
            ),
            (" message repeated 5 times: [ a]", None),
            ("a message repeated 5 times: [ a]", None),
        ];
        for (message, expected) in cases {
            let found = read(message);
            let found = found.map(|found| {
                assert!(!found.is_capped, "{message}");
                (found.text, found.weight.get())
            });
            assert_eq!(found, expected, "{message}");
        }
    }

    #[test]
    fn a_large_count_is_bounded() {
        for count in ["10001", "99999999999", "99999999999999999999"] {
            let message = format!("message repeated {count} times: [ a]");
            let found = read(&message).expect(count);
            assert_eq!((found.weight, found.is_capped), (Weight::MAX, true));
        }
        let longest = format!("message repeated {} times: [ a]", "9".repeat(21));
        assert_eq!(read(&longest), None);
        assert!(is_reported(&longest));
    }

    #[test]
    fn reports_of_repeats_are_recognized_in_the_words_of_loggers_only() {
        let reports = [
            "last message repeated 5 times",
            "last message repeated 1 time",
            "--- last message repeated 5 times ---",
            "Last message 'FIREWALL[8512]: nflo' repeated 3 times, suppressed by syslog-ng on a",
            "Last message 'it's a' repeated 3 times, suppressed by syslog-ng on a",
            "message repeated 0 times: [ a]",
            "message repeated -1 times: [ a]",
            "message repeated 5 times: [ a",
        ];
        for report in reports {
            assert!(is_reported(report), "{report}");
        }
        let others = [
            "",
            "m",
            "last message",
            "last message repeated",
            "last message repeated often",
            "Last message 'a' was lost",
            "the last message repeated 5 times",
            "message repeated by bob",
        ];
        for other in others {
            assert!(!is_reported(other), "{other}");
        }
    }
}
