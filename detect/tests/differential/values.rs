//! Random values for clauses and events.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value as Json, json};

/// Names of fields. They are few, so clauses often find a value.
pub const FIELDS: [&str; 5] = ["Image", "CommandLine", "User", "EventID", "Nested.Name"];

/// Values that public rules rarely have, and all values if there are no public rules.
pub const VALUES: [&str; 24] = [
    "whoami",
    r"\cmd.exe",
    r"C:\Windows\System32\*.exe",
    "a?c",
    "?",
    "*",
    "",
    r"\*",
    r"\\*x",
    r"\?",
    r"a\\b",
    r"\\\\server\\share",
    "-enc ",
    " /c ",
    "–x",
    "Ä?ö",
    "straße",
    "İx",
    "10",
    "1.5",
    "true",
    "10.0.0.0/8",
    "fe80::/10",
    "%x%",
];

pub const EXPRESSIONS: [&str; 8] = [
    "^a.*c$",
    r"\d{2,4}",
    "(?i)cmd|powershell",
    "[A-Z]{3}",
    r"\\\\.{1,5}\\",
    ".",
    "x*",
    r"a\.b",
];

pub const NETWORKS: [&str; 5] = [
    "10.0.0.0/8",
    "192.168.1.1/32",
    "10.1.2.3",
    "fe80::/10",
    "::/0",
];

pub fn pick<'a, T: ?Sized>(random: &mut impl Rng, from: &'a [&'a T]) -> &'a T {
    from.choose(random).expect("none of these lists is empty")
}

pub fn chance(random: &mut impl Rng, of_a_hundred: u32) -> bool {
    random.random_range(0..100) < of_a_hundred
}

/// Sometimes returns another value: one of [`VALUES`], or the value with a wildcard. If it is `bare`
/// of modifiers, also numbers, booleans and null.
pub fn mutated(random: &mut impl Rng, value: &Json, bare: bool) -> Json {
    match (random.random_range(0..20), value.as_str()) {
        (0..=2, _) => json!(pick(random, &VALUES)),
        (3, _) if bare => json!(random.random_range(-2..5000)),
        (4, _) if bare && chance(random, 50) => Json::Null,
        (5, _) if bare && chance(random, 50) => json!(chance(random, 50)),
        (6, _) if bare && chance(random, 50) => json!(1.5),
        (7..=10, Some(text)) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = random.random_range(0..=letters.len());
            let letter = ['*', '?', '\\', '-', '/'].choose(random);
            letters.insert(at, *letter.expect("there are letters"));
            json!(letters.into_iter().collect::<String>())
        }
        // The value of the rule.
        _ => value.clone(),
    }
}

/// A value that nearly matches an item.
pub fn near(random: &mut impl Rng, values: &[Json], modifiers: &[String]) -> Json {
    match random.random_range(0..24) {
        0 => return Json::Null,
        1 => return json!(random.random_range(-2..20)),
        2 => return json!(""),
        3 => return json!(pick(random, &["10.1.2.3", "192.168.1.1", "fe80::1", "::1"])),
        4 => return json!(chance(random, 50)),
        5 => return json!(1.5),
        6 | 7 => {
            let list = (0..random.random_range(0..3)).map(|_| near(random, values, modifiers));
            return Json::Array(list.filter(|value| !value.is_array()).collect());
        }
        _ => {} // A text; see below.
    }
    let value = values.choose(random).expect("an item has values");
    let text = match value {
        Json::String(text) => text.clone(),
        other if chance(random, 50) => return other.clone(),
        other => other.to_string(),
    };
    let mut text = filled(random, &text);
    if modifiers.iter().any(|modifier| modifier == "windash") {
        text = text.replace(['-', '/'], pick(random, &["-", "/", "–", "—", "―"]));
    }
    match random.random_range(0..10) {
        0 => text = text.to_uppercase(),
        1 => text = text.to_lowercase(),
        2 => text = text.chars().skip(1).collect(),
        3 => {
            text.pop();
        }
        4 => text = format!("x{text}"),
        5 => text = format!("{text}\ny"),
        6 => text = format!("ab {text} cd"),
        _ => {} // Unchanged.
    }
    json!(text)
}

/// The text with its wildcards replaced by text.
pub fn filled(random: &mut impl Rng, text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek().is_some_and(|next| "*?\\".contains(*next)) => {
                out.extend(letters.next());
            }
            '*' => out.push_str(pick(random, &["", "x", "a b", "\\", "\n"])),
            '?' => out.push_str(pick(random, &["x", "ü", "", "ab", "\n"])),
            letter => out.push(letter),
        }
    }
    out
}
