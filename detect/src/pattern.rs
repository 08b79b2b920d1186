//! Text patterns of Sigma: wildcards, and comparison without regard to case, in place.
//!
//! Case: a pattern of ASCII compares ASCII letters without regard to case, in place. A pattern
//! with other letters compares the simple lower case of both sides, letter by letter; only then
//! is the event's text copied.

use memchr::{memchr2, memchr2_iter};

/// One piece of a pattern as the rule writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(String),
    /// `?`: exactly one character.
    One,
    /// `*`: any run of characters.
    Star,
    /// Any of the dashes that command lines use for their flags.
    Dash,
}

/// What `windash` takes for one another.
pub(crate) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

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
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Anything,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Needle),
    Glob(Glob),
}

impl Pattern {
    pub(crate) fn new(tokens: Vec<Token>, cased: bool) -> Self {
        let ascii = |token: &Token| !matches!(token, Token::Literal(text) if !text.is_ascii());
        let fold = match (cased, tokens.iter().all(ascii)) {
            (true, _) => Fold::Cased,
            (false, true) => Fold::Ascii,
            (false, false) => Fold::Unicode,
        };
        let tokens = tidy(tokens, fold);
        let bytes = |text: &String| text.as_bytes().into();
        let shape = match tokens.as_slice() {
            [] => Shape::Exact(Box::default()),
            [Token::Star] => Shape::Anything,
            [Token::Literal(text)] => Shape::Exact(bytes(text)),
            [Token::Literal(text), Token::Star] => Shape::Prefix(bytes(text)),
            [Token::Star, Token::Literal(text)] => Shape::Suffix(bytes(text)),
            [Token::Star, Token::Literal(text), Token::Star] => {
                Shape::Contains(Needle::new(text.as_bytes()))
            }
            _ => Shape::Glob(Glob::new(&tokens)), // Whatever is not one of the usual shapes.
        };
        Self { fold, shape }
    }

    /// What a search for many patterns at once can use of this one. `None`: nothing but the
    /// pattern itself can tell.
    pub(crate) fn outline(&self) -> Option<Outline<'_>> {
        if self.fold == Fold::Unicode {
            return (!self.shape.is_ascii()).then_some(Outline::Foreign);
        }
        Some(match &self.shape {
            Shape::Anything => return None,
            Shape::Exact(text) if self.fold == Fold::Ascii => Outline::Whole(text),
            Shape::Prefix(text) if self.fold == Fold::Ascii => Outline::Start(text),
            Shape::Suffix(text) if self.fold == Fold::Ascii => Outline::End(text),
            Shape::Contains(needle) if self.fold == Fold::Ascii => Outline::Within(&needle.bytes),
            Shape::Exact(text) | Shape::Prefix(text) | Shape::Suffix(text) => Outline::Part(text),
            Shape::Contains(needle) => Outline::Part(&needle.bytes),
            Shape::Glob(glob) => match glob.dashed() {
                Some(texts) if self.fold == Fold::Ascii => glob.dashed_outline(texts),
                _ => Outline::Part(glob.longest_literal()?.as_bytes()),
            },
        })
    }

    /// As [`Self::matches`], of a text that [`lower`] was asked for already.
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
            Fold::Unicode => self.shape.matches(&lower(text), true),
        }
    }
}

/// A pattern in view of a search through a text in ASCII lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outline<'p> {
    Whole(&'p [u8]),
    Start(&'p [u8]),
    End(&'p [u8]),
    Within(&'p [u8]),
    /// Where this is not in the text, in any case, the pattern does not match.
    Part(&'p [u8]),
    /// One of these, at a place: in a text of ASCII the pattern means just that. In other texts
    /// there are more dashes.
    Dashed(Dashed, Vec<Vec<u8>>),
    /// The pattern has letters beyond ASCII: no text of ASCII matches.
    Foreign,
}

/// Where in the text the forms of a pattern with dashes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dashed {
    Whole,
    Start,
    End,
    Within,
}

/// A pattern of more dashes is looked at by itself: each doubles the texts to search for.
const DASHES_MAX: usize = 4;

/// Joins neighbours and folds literals, so that equal patterns have one shape.
fn tidy(tokens: Vec<Token>, fold: Fold) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (out.last_mut(), token) {
            (Some(Token::Star), Token::Star) => {}
            (_, Token::Literal(text)) if text.is_empty() => {}
            (Some(Token::Literal(before)), Token::Literal(text)) => before.push_str(&text),
            (_, token) => out.push(token),
        }
    }
    for token in &mut out {
        if let Token::Literal(text) = token {
            match fold {
                Fold::Cased => {}
                Fold::Ascii => text.make_ascii_lowercase(),
                Fold::Unicode => *text = lower(text),
            }
        }
    }
    out
}

/// Lower case letter by letter, so that a part of a text folds as it does within the whole.
pub(crate) fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fn same(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    if cased {
        text == lowered
    } else {
        text.eq_ignore_ascii_case(lowered)
    }
}

fn starts(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    text.get(..lowered.len())
        .is_some_and(|head| same(head, lowered, cased))
}

fn ends(text: &[u8], lowered: &[u8], cased: bool) -> bool {
    text.len()
        .checked_sub(lowered.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| same(tail, lowered, cased))
}

impl Shape {
    fn is_ascii(&self) -> bool {
        match self {
            Self::Anything => true,
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text.is_ascii(),
            Self::Contains(needle) => needle.bytes.is_ascii(),
            Self::Glob(glob) => glob.segments.iter().flatten().all(|token| match token {
                Token::Literal(text) => text.is_ascii(),
                Token::One | Token::Dash | Token::Star => true,
            }),
        }
    }

    fn matches(&self, text: &str, cased: bool) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Anything => true,
            Self::Exact(needle) => bytes.len() == needle.len() && same(bytes, needle, cased),
            Self::Prefix(needle) => starts(bytes, needle, cased),
            Self::Suffix(needle) => ends(bytes, needle, cased),
            Self::Contains(needle) => needle.find(bytes, cased).is_some(),
            Self::Glob(glob) => glob.matches(text, cased),
        }
    }
}

/// A text to be found anywhere, by its rarest byte.
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
            return Some(0); // The empty text is everywhere.
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
            if same(&text[start..start + self.bytes.len()], &self.bytes, cased) {
                return Some(start);
            }
            from = start + 1;
        }
        None
    }
}

/// How common a byte is in logs, roughly; the search looks for the least common one first.
fn commonness(byte: u8) -> u8 {
    match byte {
        b' ' | b'e' | b's' | b'o' | b'r' | b't' | b'a' | b'n' | b'i' => 5,
        b'd' | b'c' | b'l' | b'm' | b'p' | b'u' | b'0' | b'1' | b'2' => 4,
        b'.' | b':' | b'/' | b'-' | b'3'..=b'9' | b'f' | b'g' | b'h' => 3,
        b'=' | b'_' | b'\\' | b'"' | b'b' | b'v' | b'w' | b'y' => 2,
        b'j' | b'k' | b'q' | b'x' | b'z' => 1,
        _ => 0, // Everything else is rarer still.
    }
}

/// Pieces without stars, in order; the text must have them one behind the other.
#[derive(Clone, Debug)]
struct Glob {
    segments: Vec<Vec<Token>>,
    open_start: bool,
    open_end: bool,
}

impl Glob {
    fn new(tokens: &[Token]) -> Self {
        Self {
            segments: tokens
                .split(|token| *token == Token::Star)
                .filter(|segment| !segment.is_empty())
                .map(<[Token]>::to_vec)
                .collect(),
            open_start: tokens.first() == Some(&Token::Star),
            open_end: tokens.last() == Some(&Token::Star),
        }
    }

    /// The texts of ASCII that a pattern of letters and a few dashes stands for.
    fn dashed(&self) -> Option<Vec<Vec<u8>>> {
        let [segment] = self.segments.as_slice() else {
            return None;
        };
        let is_dash = |token: &&Token| **token == Token::Dash;
        if segment.iter().filter(is_dash).count() > DASHES_MAX {
            return None;
        }
        let mut texts = vec![Vec::new()];
        for token in segment {
            match token {
                Token::Literal(more) => {
                    texts.iter_mut().for_each(|text| text.extend(more.bytes()));
                }
                Token::Dash => {
                    let ascii = DASHES.iter().filter(|dash| dash.is_ascii());
                    let with = |dash: &char| {
                        let texts = texts.iter().cloned();
                        let dash = *dash as u8; // ASCII, as the filter says.
                        texts.map(move |mut text| {
                            text.push(dash);
                            text
                        })
                    };
                    texts = ascii.flat_map(with).collect();
                }
                Token::One | Token::Star => return None,
            }
        }
        Some(texts)
    }

    fn dashed_outline(&self, texts: Vec<Vec<u8>>) -> Outline<'_> {
        let place = match (self.open_start, self.open_end) {
            (false, false) => Dashed::Whole,
            (false, true) => Dashed::Start,
            (true, false) => Dashed::End,
            (true, true) => Dashed::Within,
        };
        Outline::Dashed(place, texts)
    }

    fn longest_literal(&self) -> Option<&str> {
        let tokens = self.segments.iter().flatten();
        let literals = tokens.filter_map(|token| match token {
            Token::Literal(text) => Some(text.as_str()),
            Token::One | Token::Dash | Token::Star => None,
        });
        literals.max_by_key(|text| text.len())
    }

    /// Leftmost match of each piece is enough, since a later one leaves less room for the rest.
    fn matches(&self, text: &str, cased: bool) -> bool {
        let mut rest = text;
        let mut middle = self.segments.as_slice();
        if !self.open_start {
            let Some((first, others)) = middle.split_first() else {
                return text.is_empty();
            };
            let Some(after) = strip_front(first, rest, cased) else {
                return false;
            };
            if others.is_empty() && !self.open_end {
                return after.is_empty();
            }
            (rest, middle) = (after, others);
        }
        if !self.open_end {
            let Some((last, others)) = middle.split_last() else {
                return rest.is_empty();
            };
            let Some(before) = strip_back(last, rest, cased) else {
                return false;
            };
            (rest, middle) = (before, others);
        }
        middle
            .iter()
            .all(|segment| match find(segment, rest, cased) {
                Some(after) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }
}

/// What follows the leftmost place where `segment` is in `text`.
fn find<'t>(segment: &[Token], text: &'t str, cased: bool) -> Option<&'t str> {
    if let Some(Token::Literal(literal)) = segment.first()
        && let Some(&first) = literal.as_bytes().first()
    {
        let other = if cased {
            first
        } else {
            first.to_ascii_uppercase()
        };
        let mut places = memchr2_iter(first, other, text.as_bytes());
        return places.find_map(|at| strip_front(segment, text.get(at..)?, cased));
    }
    text.char_indices()
        .find_map(|(at, _)| strip_front(segment, &text[at..], cased))
        .or_else(|| strip_front(segment, "", cased).map(|_| ""))
}

fn strip_front<'t>(segment: &[Token], text: &'t str, cased: bool) -> Option<&'t str> {
    segment.iter().try_fold(text, |rest, token| match token {
        Token::Literal(literal) => starts(rest.as_bytes(), literal.as_bytes(), cased)
            .then(|| rest.get(literal.len()..))
            .flatten(),
        Token::One => rest.chars().next().map(|c| &rest[c.len_utf8()..]),
        Token::Dash => {
            let dash = rest.chars().next().filter(|c| DASHES.contains(c))?;
            Some(&rest[dash.len_utf8()..])
        }
        Token::Star => Some(rest), // Segments have none.
    })
}

fn strip_back<'t>(segment: &[Token], text: &'t str, cased: bool) -> Option<&'t str> {
    segment.iter().rev().try_fold(text, |rest, token| {
        let last = rest.chars().next_back();
        match token {
            Token::Literal(literal) => ends(rest.as_bytes(), literal.as_bytes(), cased)
                .then(|| rest.get(..rest.len() - literal.len()))
                .flatten(),
            Token::One => last.map(|c| &rest[..rest.len() - c.len_utf8()]),
            Token::Dash => {
                let dash = last.filter(|c| DASHES.contains(c))?;
                Some(&rest[..rest.len() - dash.len_utf8()])
            }
            Token::Star => Some(rest), // Segments have none.
        }
    })
}

/// Whether `name` is of the form of `glob`, which knows `*` alone and minds case.
pub(crate) fn name_matches(glob: &str, name: &str) -> bool {
    let mut tokens = Vec::new();
    for (at, part) in glob.split('*').enumerate() {
        if at > 0 {
            tokens.push(Token::Star);
        }
        tokens.push(Token::Literal(part.to_owned()));
    }
    Pattern::new(tokens, true).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<Token> {
        text.chars()
            .map(|c| match c {
                '*' => Token::Star,
                '?' => Token::One,
                '~' => Token::Dash,
                c => Token::Literal(c.to_string()),
            })
            .collect()
    }

    /// The meaning of patterns, as short as it can be said.
    fn plain(pattern: &[Token], text: &[char]) -> bool {
        let Some((token, rest)) = pattern.split_first() else {
            return text.is_empty();
        };
        let head = text.first();
        let tail = text.get(1..).unwrap_or_default();
        match token {
            Token::Star => plain(rest, text) || (head.is_some() && plain(pattern, tail)),
            Token::One => head.is_some() && plain(rest, tail),
            Token::Dash => head.is_some_and(|c| DASHES.contains(c)) && plain(rest, tail),
            Token::Literal(literal) => {
                head.is_some_and(|c| lower(literal) == lower(&c.to_string())) && plain(rest, tail)
            }
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_it_says(
            pattern in "[abBä*?~-]{0,7}",
            text in "[aAbBäÄ–/-]{0,9}",
        ) {
            let tokens = tokens(&pattern);
            let chars: Vec<char> = text.chars().collect();
            let expected = plain(&tokens, &chars);
            prop_assert_eq!(Pattern::new(tokens, false).matches(&text), expected);
        }

        #[test]
        fn any_pattern_meets_any_text(pattern in "\\PC{0,20}", text in "\\PC{0,40}", cased: bool) {
            let _ = Pattern::new(tokens(&pattern), cased).matches(&text);
        }
    }
}
