//! The simplest implementation of text clauses by the specification, to decide which engine is
//! right.

use serde_json::Value as Json;

use super::differences::Leaf;

const DASHES: &str = "-/\u{2013}\u{2014}\u{2015}";

#[derive(Clone, Copy, Debug)]
enum Token {
    Letter(char),
    Dash,
    One,
    Star,
}

/// Whether the clause matches. `None` if it is not only about text.
pub fn matches(leaf: &Leaf) -> Option<bool> {
    const KNOWN: [&str; 7] = [
        "contains",
        "startswith",
        "endswith",
        "cased",
        "neq",
        "all",
        "windash",
    ];
    let texts: Vec<&str> = leaf
        .values
        .iter()
        .map(Json::as_str)
        .collect::<Option<_>>()?;
    let known = |modifier: &String| KNOWN.contains(&modifier.as_str());
    if !leaf.modifiers.iter().all(known) {
        return None;
    }
    let holds = |text: &&str| {
        let pattern = pattern(leaf, text);
        let read = if leaf.field {
            leaf.event.get("f")
        } else {
            Some(&leaf.event)
        };
        read.is_some_and(|read| any_text(read, &|text| is_match(&pattern, text, leaf.has("cased"))))
    };
    let passed = if leaf.has("all") {
        texts.iter().all(holds)
    } else {
        texts.iter().any(holds)
    };
    Some(passed != leaf.is_negated())
}

fn pattern(leaf: &Leaf, text: &str) -> Vec<Token> {
    let anywhere =
        leaf.has("contains") || !(leaf.field || leaf.has("startswith") || leaf.has("endswith"));
    let mut pattern = Vec::new();
    if anywhere || leaf.has("endswith") {
        pattern.push(Token::Star);
    }
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            '\\' if letters.peek().is_some_and(|next| "*?\\".contains(*next)) => {
                // A backslash escapes a wildcard or another backslash.
                Token::Letter(letters.next().unwrap_or('\\'))
            }
            '*' => Token::Star,
            '?' => Token::One,
            letter if leaf.has("windash") && DASHES.contains(letter) => Token::Dash,
            letter => Token::Letter(letter),
        };
        match token {
            Token::Letter(letter) if !leaf.has("cased") => {
                pattern.extend(letter.to_lowercase().map(Token::Letter));
            }
            token => pattern.push(token),
        }
    }
    if anywhere || leaf.has("startswith") {
        pattern.push(Token::Star);
    }
    pattern
}

fn any_text(value: &Json, holds: &impl Fn(&str) -> bool) -> bool {
    match value {
        Json::Null => false,
        Json::String(text) => holds(text),
        Json::Bool(_) | Json::Number(_) => holds(&value.to_string()),
        Json::Array(values) => values.iter().any(|value| any_text(value, holds)),
        Json::Object(fields) => fields.values().any(|value| any_text(value, holds)),
    }
}

fn is_match(pattern: &[Token], text: &str, cased: bool) -> bool {
    let letters: Vec<char> = if cased {
        text.chars().collect()
    } else {
        text.chars().flat_map(char::to_lowercase).collect()
    };
    // For each prefix of the text, whether the tokens so far match it.
    let mut ends = vec![false; letters.len() + 1];
    ends[0] = true;
    for token in pattern {
        let accepts = |letter: char| match token {
            Token::Letter(own) => *own == letter,
            Token::Dash => DASHES.contains(letter),
            Token::One | Token::Star => true,
        };
        let mut next = vec![false; ends.len()];
        let star = matches!(token, Token::Star);
        for at in 0..ends.len() {
            next[at] |= star && ends[at];
            if at < letters.len() && accepts(letters[at]) {
                next[at + 1] |= ends[at] || (star && next[at]);
            }
        }
        ends = next;
    }
    ends[letters.len()]
}
