//! Finds texts that every match of a regular expression contains, for a search of many at once.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Minimum length of such a text. Shorter ones are in most values.
const BYTES_MIN: usize = 3;

/// Maximum number of alternatives. Searching for more costs more than the expression.
const ALTERNATIVES_MAX: usize = 64;

/// Maximum depth of an expression; the limit of the compiler of rules.
const DEPTH_MAX: u32 = 64;

/// Returns texts in ASCII lower case: an ASCII text that matches contains one of them, in any case.
///
/// `None` if there are none. The expression's flags do not matter: it is read as
/// case-insensitive, which can only match more.
pub(crate) fn required(expression: &str) -> Option<Vec<Vec<u8>>> {
    let mut parser = ParserBuilder::new()
        .case_insensitive(true)
        .nest_limit(DEPTH_MAX)
        .build();
    let hir = parser.parse(expression).ok()?;
    required_of(&hir).filter(|texts| shortest(texts) >= BYTES_MIN)
}

fn shortest(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

fn required_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => letters(hir).map(|text| vec![text]),
        HirKind::Repetition(repetition) if repetition.min > 0 => required_of(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => required_of(&capture.sub),
        HirKind::Concat(parts) => required_of_sequence(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.append(&mut required_of(part)?);
            }
            (all.len() <= ALTERNATIVES_MAX).then_some(all)
        }
    }
}

/// The longest texts among the runs of letters and the required texts of the other parts.
fn required_of_sequence(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut best: Option<Vec<Vec<u8>>> = None;
    let mut offer = |texts: Vec<Vec<u8>>| {
        let better = |known: &Vec<Vec<u8>>| shortest(&texts) > shortest(known);
        if best.as_ref().is_none_or(better) {
            best = Some(texts);
        }
    };
    let mut run = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Empty | HirKind::Look(_) => {} // They separate no letters.
            _ => match letters(part) {
                Some(mut more) => run.append(&mut more),
                None => {
                    offer(vec![std::mem::take(&mut run)]);
                    if let Some(texts) = required_of(part) {
                        offer(texts);
                    }
                }
            },
        }
    }
    offer(vec![run]);
    best
}

/// The text that `hir` matches, in ASCII lower case, if it is a single text except for case.
fn letters(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.is_ascii().then(|| literal.0.to_ascii_lowercase()),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            let ranges = ranges.map(|r| (u32::from(r.start()), u32::from(r.end())));
            one_letter(ranges).map(|letter| vec![letter])
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges().iter();
            let ranges = ranges.map(|r| (u32::from(r.start()), u32::from(r.end())));
            one_letter(ranges).map(|letter| vec![letter])
        }
        _ => None, // All others can match several texts.
    }
}

/// The ASCII letter of the ranges, if they have a single one except for case.
///
/// Characters outside ASCII are ignored: they are in no ASCII text.
fn one_letter(ranges: impl Iterator<Item = (u32, u32)>) -> Option<u8> {
    let mut found = None;
    for (start, end) in ranges {
        for code in start..=end.min(127) {
            let letter = u8::try_from(code).ok()?.to_ascii_lowercase();
            if found.is_some_and(|known| known != letter) {
                return None;
            }
            found = Some(letter);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_the_required_texts_of_expressions() {
        for (expression, expected) in [
            ("Invoke-(?:Foo|Bar)baz", Some(vec!["invoke-"])),
            ("(?:abc|defg)+", Some(vec!["abc", "defg"])),
            (r"\bkernel32\b", Some(vec!["kernel32"])),
            (r"a.{0,5}Longest\\x", Some(vec![r"longest\x"])),
            ("[Aa]b[Cc]", Some(vec!["abc"])),
            ("(?i)mask", Some(vec!["mask"])),
            ("(abcd)?x", None),
            ("ab", None),
            (r"\d+\w*", None),
            ("foo|b", None),
            ("ünd", None),
        ] {
            let found = required(expression);
            let expected = expected.map(|texts| {
                texts
                    .into_iter()
                    .map(|t| t.as_bytes().to_vec())
                    .collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{expression}");
        }
    }
}
