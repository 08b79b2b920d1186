//! Sigma's text patterns: wildcards and case-insensitive comparison.
//!
//! An ASCII pattern compares ASCII letters without regard to case, in place. A pattern with other
//! letters compares the simple lower case of both sides, letter by letter; only then is the
//! event's text copied.

mod glob;

use memchr::memchr2;

use glob::Glob;

/// One piece of a pattern as the rule writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternToken {
    Literal(String),
    /// `?`: exactly one character.
    One,
    /// `*`: any run of characters.
    Star,
    /// Any of the dashes that command lines use for their flags.
    Dash,
}

/// The characters that `windash` treats as equal.
pub(crate) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// Where in a text another text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextPlace {
    Whole,
    Start,
    End,
    Anywhere,
}

/// How letters compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    Cased,
    Ascii,
    Unicode,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    fold: Fold,
    shape: PatternShape,
}

#[derive(Clone, Debug)]
enum PatternShape {
    Anything,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Needle),
    Glob(Glob),
}

impl Pattern {
    pub(crate) fn new(tokens: Vec<PatternToken>, cased: bool) -> Self {
        let ascii = |token: &PatternToken| !matches!(token, PatternToken::Literal(text) if !text.is_ascii());
        let fold = match (cased, tokens.iter().all(ascii)) {
            (true, _) => Fold::Cased,
            (false, true) => Fold::Ascii,
            (false, false) => Fold::Unicode,
        };
        let tokens = normalize(tokens, fold);
        let bytes = |text: &String| text.as_bytes().into();
        let shape = match tokens.as_slice() {
            [] => PatternShape::Exact(Box::default()),
            [PatternToken::Star] => PatternShape::Anything,
            [PatternToken::Literal(text)] => PatternShape::Exact(bytes(text)),
            [PatternToken::Literal(text), PatternToken::Star] => PatternShape::Prefix(bytes(text)),
            [PatternToken::Star, PatternToken::Literal(text)] => PatternShape::Suffix(bytes(text)),
            [
                PatternToken::Star,
                PatternToken::Literal(text),
                PatternToken::Star,
            ] => PatternShape::Contains(Needle::new(text.as_bytes())),
            _ => PatternShape::Glob(Glob::new(&tokens)), // All other patterns.
        };
        Self { fold, shape }
    }

    /// Describes the pattern to a search for many patterns at once.
    ///
    /// `None` if the search cannot tell anything about it.
    pub(crate) fn outline(&self) -> Option<PatternOutline<'_>> {
        if self.fold == Fold::Unicode {
            return (!self.shape.is_ascii()).then_some(PatternOutline::NonAscii);
        }
        Some(match &self.shape {
            PatternShape::Anything => return None,
            PatternShape::Exact(text) if self.fold == Fold::Ascii => PatternOutline::Whole(text),
            PatternShape::Prefix(text) if self.fold == Fold::Ascii => PatternOutline::Start(text),
            PatternShape::Suffix(text) if self.fold == Fold::Ascii => PatternOutline::End(text),
            PatternShape::Contains(needle) if self.fold == Fold::Ascii => {
                PatternOutline::Anywhere(&needle.bytes)
            }
            PatternShape::Exact(text) | PatternShape::Prefix(text) | PatternShape::Suffix(text) => {
                PatternOutline::Part(text)
            }
            PatternShape::Contains(needle) => PatternOutline::Part(&needle.bytes),
            PatternShape::Glob(glob) => match glob.dashed() {
                Some(texts) if self.fold == Fold::Ascii => glob.dashed_outline(texts),
                _ => PatternOutline::Part(glob.longest_literal()?.as_bytes()),
            },
        })
    }

    /// Same as [`Self::matches`], for a text whose [`to_lower`] is already computed.
    pub(crate) fn matches_lowered(&self, text: &str, lowered: &str) -> bool {
        match self.fold {
            Fold::Unicode => self.shape.matches(lowered, true),
            Fold::Cased | Fold::Ascii => self.matches(text),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self.fold {
            Fold::Cased => self.shape.matches(text, true),
            Fold::Ascii => self.shape.matches(text, false),
            Fold::Unicode => self.shape.matches(&to_lower(text), true),
        }
    }
}

/// A pattern as a search through a text in ASCII lower case sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternOutline<'p> {
    Whole(&'p [u8]),
    Start(&'p [u8]),
    End(&'p [u8]),
    Anywhere(&'p [u8]),
    /// The pattern matches only texts that contain this, in any case.
    Part(&'p [u8]),
    /// An ASCII text matches exactly if it has one of these texts at this place. Other texts may
    /// have other dashes.
    Dashed(TextPlace, Vec<Vec<u8>>),
    /// The pattern has letters outside ASCII, so no ASCII text matches.
    NonAscii,
}

/// Joins adjacent tokens and folds literals, so equal patterns get the same shape.
fn normalize(tokens: Vec<PatternToken>, fold: Fold) -> Vec<PatternToken> {
    let mut out: Vec<PatternToken> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (out.last_mut(), token) {
            (Some(PatternToken::Star), PatternToken::Star) => {}
            (_, PatternToken::Literal(text)) if text.is_empty() => {}
            (Some(PatternToken::Literal(before)), PatternToken::Literal(text)) => {
                before.push_str(&text)
            }
            (_, token) => out.push(token),
        }
    }
    for token in &mut out {
        if let PatternToken::Literal(text) = token {
            match fold {
                Fold::Cased => {}
                Fold::Ascii => text.make_ascii_lowercase(),
                Fold::Unicode => *text = to_lower(text),
            }
        }
    }
    out
}

/// Returns the lower case, letter by letter: a part of a text folds as it does in the whole.
///
/// The Greek sigma has two lower cases, of which one stands at the end of words; both are one letter.
pub(crate) fn to_lower(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

fn eq_lowered(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    if cased {
        text == lowered
    } else {
        text.eq_ignore_ascii_case(lowered)
    }
}

fn starts_with(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    text.get(..lowered.len())
        .is_some_and(|head| eq_lowered(head, lowered, cased))
}

fn ends_with(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    text.len()
        .checked_sub(lowered.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| eq_lowered(tail, lowered, cased))
}

impl PatternShape {
    fn is_ascii(&self) -> bool {
        match self {
            Self::Anything => true,
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text.is_ascii(),
            Self::Contains(needle) => needle.bytes.is_ascii(),
            Self::Glob(glob) => glob.segments.iter().flatten().all(|token| match token {
                PatternToken::Literal(text) => text.is_ascii(),
                PatternToken::One | PatternToken::Dash | PatternToken::Star => true,
            }),
        }
    }

    fn matches(&self, text: &str, cased: bool) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Anything => true,
            Self::Exact(needle) => bytes.len() == needle.len() && eq_lowered(bytes, needle, cased),
            Self::Prefix(needle) => starts_with(bytes, needle, cased),
            Self::Suffix(needle) => ends_with(bytes, needle, cased),
            Self::Contains(needle) => needle.find(bytes, cased).is_some(),
            Self::Glob(glob) => glob.matches(text, cased),
        }
    }
}

/// A text to find anywhere, by its rarest byte.
#[derive(Clone, Debug)]
struct Needle {
    bytes: Box<[u8]>,
    rare: usize,
}

impl Needle {
    fn new(bytes: &[u8]) -> Self {
        let rare = (0..bytes.len()).min_by_key(|&at| commonness(bytes[at]));
        Self {
            bytes: bytes.into(),
            rare: rare.unwrap_or(0),
        }
    }

    fn find(&self, text: &[u8], cased: bool) -> Option<usize> {
        let Some(&rare) = self.bytes.get(self.rare) else {
            return Some(0); // The empty text is in every text.
        };
        let last = text.len().checked_sub(self.bytes.len())?;
        let window = &text[self.rare..=last + self.rare];
        let other = if cased {
            rare
        } else {
            rare.to_ascii_uppercase()
        };
        let mut from = 0;
        while let Some(hit) = memchr2(rare, other, &window[from..]) {
            let start = from + hit;
            if eq_lowered(&text[start..start + self.bytes.len()], &self.bytes, cased) {
                return Some(start);
            }
            from = start + 1;
        }
        None
    }
}

/// A rough rank of how common a byte is in logs. The search starts from the rarest one.
fn commonness(byte: u8) -> u8 {
    match byte {
        b' ' | b'e' | b's' | b'o' | b'r' | b't' | b'a' | b'n' | b'i' => 5,
        b'd' | b'c' | b'l' | b'm' | b'p' | b'u' | b'0' | b'1' | b'2' => 4,
        b'.' | b':' | b'/' | b'-' | b'3'..=b'9' | b'f' | b'g' | b'h' => 3,
        b'=' | b'_' | b'\\' | b'"' | b'b' | b'v' | b'w' | b'y' => 2,
        b'j' | b'k' | b'q' | b'x' | b'z' => 1,
        _ => 0, // All other bytes are rarer.
    }
}

/// Whether `name` matches `glob`. Only `*` is special, and case matters.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let mut tokens = Vec::new();
    for (at, part) in glob.split('*').enumerate() {
        if at > 0 {
            tokens.push(PatternToken::Star);
        }
        tokens.push(PatternToken::Literal(part.to_owned()));
    }
    Pattern::new(tokens, true).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<PatternToken> {
        text.chars()
            .map(|c| match c {
                '*' => PatternToken::Star,
                '?' => PatternToken::One,
                '~' => PatternToken::Dash,
                c => PatternToken::Literal(c.to_string()),
            })
            .collect()
    }

    /// The simplest implementation of patterns, as the reference.
    fn reference(pattern: &[PatternToken], text: &[char]) -> bool {
        let Some((token, rest)) = pattern.split_first() else {
            return text.is_empty();
        };
        let head = text.first();
        let tail = text.get(1..).unwrap_or_default();
        match token {
            PatternToken::Star => {
                reference(rest, text) || (head.is_some() && reference(pattern, tail))
            }
            PatternToken::One => head.is_some() && reference(rest, tail),
            PatternToken::Dash => head.is_some_and(|c| DASHES.contains(c)) && reference(rest, tail),
            PatternToken::Literal(literal) => {
                head.is_some_and(|c| to_lower(literal) == to_lower(&c.to_string()))
                    && reference(rest, tail)
            }
        }
    }

    proptest! {
        #[test]
        fn patterns_match_like_the_reference(
            pattern in "[abBä*?~-]{0,7}",
            text in "[aAbBäÄ–/-]{0,9}",
        ) {
            let tokens = tokens(&pattern);
            let chars: Vec<char> = text.chars().collect();
            let expected = reference(&tokens, &chars);
            prop_assert_eq!(Pattern::new(tokens, false).matches(&text), expected);
        }

        #[test]
        fn matching_never_panics(pattern in "\\PC{0,20}", text in "\\PC{0,40}", cased: bool) {
            let _ = Pattern::new(tokens(&pattern), cased).matches(&text);
        }
    }
}
