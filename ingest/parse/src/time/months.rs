//! Names of months at the start of a time: English ones, and those of daemons that follow a locale.

use super::month;

/// Longest name in bytes, without its point.
const NAME_BYTES_MAX: usize = 7;

/// Short names in German, French, Spanish, Italian, Portuguese and Dutch that are not the English ones.
/// `?` stands for any characters, since a letter with an accent may be written in any encoding.
const NAMES: [(&str, u32); 36] = [
    ("j?n", 1),
    ("janv", 1),
    ("ene", 1),
    ("gen", 1),
    ("f?v", 2),
    ("fev", 2),
    ("f?vr", 2),
    ("fevr", 2),
    ("febr", 2),
    ("m?r", 3),
    ("m?rz", 3),
    ("mrz", 3),
    ("mrt", 3),
    ("mars", 3),
    ("avr", 4),
    ("abr", 4),
    ("mai", 5),
    ("mag", 5),
    ("mei", 5),
    ("juin", 6),
    ("juni", 6),
    ("giu", 6),
    ("juil", 7),
    ("juli", 7),
    ("lug", 7),
    ("ago", 8),
    ("ao?t", 8),
    ("aout", 8),
    ("sept", 9),
    ("set", 9),
    ("okt", 10),
    ("ott", 10),
    ("out", 10),
    ("d?c", 12),
    ("dez", 12),
    ("dic", 12),
];

/// Reads the name of a month in front of a space. Returns its number, and the text behind it.
pub(super) fn start(text: &[u8]) -> Option<(u32, &[u8])> {
    let (name, rest) = text.split_at_checked(3)?;
    if rest.first() == Some(&b' ')
        && let Some(number) = month(name)
    {
        return Some((number, rest));
    }
    foreign(text)
}

fn foreign(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text
        .iter()
        .take(NAME_BYTES_MAX + 2)
        .position(|byte| *byte == b' ')?;
    let (name, rest) = text.split_at_checked(end)?;
    // A day follows; most words of prose are ruled out here.
    let day = rest.trim_ascii_start().first()?;
    if !day.is_ascii_digit() && *day != b'?' {
        return None;
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let found = NAMES.iter().find(|(known, _)| is_same(name, known));
    let number = found.map(|(_, number)| *number).or_else(|| month(name))?;
    Some((number, rest))
}

/// Compares without case. The letter in the place of `?` is not ASCII.
fn is_same(name: &[u8], known: &str) -> bool {
    let Some((head, tail)) = known.split_once('?') else {
        return name.eq_ignore_ascii_case(known.as_bytes());
    };
    let letter = name.get(head.len()..name.len().saturating_sub(tail.len()));
    letter.is_some_and(|letter| {
        !letter.is_empty()
            && !letter.is_ascii()
            && starts_with(name, head)
            && starts_with(
                name.get(head.len() + letter.len()..).unwrap_or_default(),
                tail,
            )
    })
}

fn starts_with(name: &[u8], part: &str) -> bool {
    let start = name.get(..part.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(part.as_bytes()))
}
