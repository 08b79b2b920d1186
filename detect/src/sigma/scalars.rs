//! Values without quotes that YAML, or an older YAML, reads as something else than their text.

use std::collections::BTreeSet;

use crate::sigma::issue::{Issue, PathStep};
use crate::sigma::span;
use crate::sigma::yaml::YamlNode;

/// Maximum number of values of a document that are looked up in its text; each takes a walk.
const LOOKUPS_MAX: usize = 64;

/// Maximum number of remarks of a document. More say nothing new.
const REMARKS_MAX: usize = 8;

/// A value of a selection that may be meant as a text.
struct Suspect<'n> {
    path: Vec<PathStep>,
    node: &'n YamlNode,
}

/// Remarks on values of the section `kind`.
pub(crate) fn remarks(text: &str, node: &YamlNode, kind: &str) -> Vec<Issue> {
    let odd = odd_numbers(text);
    let mut suspects = Vec::new();
    let mut path = vec![PathStep::Key(kind.to_owned())];
    let section = node.get(kind).unwrap_or(&YamlNode::Null);
    collect(section, &odd, &mut path, &mut suspects);
    let mut found = Vec::new();
    for suspect in suspects.into_iter().take(LOOKUPS_MAX) {
        let written = written(text, node, &suspect.path);
        let Some((message, hint)) = remark(&written, suspect.node) else {
            continue; // It is quoted, or another writing of the same value.
        };
        let mut issue = Issue::new(message).hint(hint);
        for step in suspect.path.into_iter().rev() {
            issue = match step {
                PathStep::Key(key) => issue.key(&key),
                PathStep::Nth(at) => issue.nth(at),
            };
        }
        found.push(issue);
        if found.len() >= REMARKS_MAX {
            break;
        }
    }
    found
}

fn collect<'n>(
    node: &'n YamlNode,
    odd: &BTreeSet<String>,
    path: &mut Vec<PathStep>,
    out: &mut Vec<Suspect<'n>>,
) {
    match node {
        YamlNode::Map(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| key != "condition") {
                path.push(PathStep::Key(key.clone()));
                collect(value, odd, path, out);
                path.pop();
            }
        }
        YamlNode::List(values) => {
            for (at, value) in values.iter().enumerate() {
                path.push(PathStep::Nth(at));
                collect(value, odd, path, out);
                path.pop();
            }
        }
        scalar => {
            let is_suspect = match scalar {
                YamlNode::Int(n) => !odd.is_empty() && odd.contains(&n.to_string()),
                YamlNode::Number(text) => odd.contains(text),
                YamlNode::Text(text) => older_meaning(text).is_some(),
                _ => false, // True and false are no numbers, and null is empty.
            };
            if is_suspect && out.len() < LOOKUPS_MAX {
                let mut path = path.clone();
                if !matches!(path.last(), Some(PathStep::Nth(_))) {
                    path.push(PathStep::Nth(0)); // The value itself, not its key.
                }
                out.push(Suspect { path, node: scalar });
            }
        }
    }
}

/// The values of all words of the text that are numbers in an unusual writing: `0x3e7`, `1030e0`.
fn odd_numbers(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')));
    let is_number =
        |word: &&str| word.len() <= 32 && word.starts_with(|c: char| c.is_ascii_digit());
    words
        .filter(is_number)
        .filter_map(|word| {
            let lower = word.to_ascii_lowercase();
            let radix = |prefix: &str, radix| {
                let digits = lower.strip_prefix(prefix)?;
                i64::from_str_radix(digits, radix).ok()
            };
            let whole = radix("0x", 16).or_else(|| radix("0o", 8));
            let whole = whole.or_else(|| radix("0b", 2)).map(|n| n.to_string());
            let float = || {
                let number: f64 = lower.contains('e').then(|| lower.parse().ok())??;
                Some(number.to_string())
            };
            whole.or_else(float)
        })
        .collect()
}

/// The text of a value as it is written, without what follows it.
fn written(text: &str, node: &YamlNode, path: &[PathStep]) -> String {
    let (line, column) = span::locate(text, node, path);
    let line = text.lines().nth(line.saturating_sub(1) as usize);
    let rest: String = line
        .unwrap_or_default()
        .chars()
        .skip(column.saturating_sub(1) as usize)
        .collect();
    let end = rest.find([',', ']', '}', '#']).unwrap_or(rest.len());
    rest[..end].trim().to_owned()
}

/// The remark on a value that is written so, with a hint; `None` if it means what it seems to.
fn remark(written: &str, node: &YamlNode) -> Option<(String, &'static str)> {
    let quote = "quote it if the text is meant";
    match node {
        YamlNode::Int(n) if written != n.to_string() => is_odd(written).then(|| {
            let message = format!("`{written}` without quotes is the number {n}");
            (message, quote)
        }),
        YamlNode::Number(number) if written != number => is_odd(written).then(|| {
            let message = format!("`{written}` without quotes is the number {number}");
            (message, quote)
        }),
        YamlNode::Text(text) if written == text => older_meaning(text).map(|meaning| {
            let message = format!("other tools read `{text}` without quotes as {meaning}");
            (message, "quote it; here it is a text")
        }),
        _ => None, // Quoted.
    }
}

fn is_odd(written: &str) -> bool {
    !odd_numbers(written).is_empty()
}

/// The value that YAML 1.1, which other tools read, makes of a text without quotes.
fn older_meaning(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "yes" | "on" => return Some("true".to_owned()),
        "no" | "off" => return Some("false".to_owned()),
        _ => {} // Perhaps a number.
    }
    let octal = |digits: &str| i64::from_str_radix(digits, 8).ok();
    if let Some(digits) = text.strip_prefix('0')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return octal(digits).map(|n| format!("the number {n}"));
    }
    let mut parts = text.split(':');
    let first = parts.next()?;
    let is_number = |part: &str| {
        (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let rest: Vec<i64> = parts
        .map(|part| part.parse().ok().filter(|n| is_number(part) && *n < 60))
        .collect::<Option<_>>()?;
    if rest.is_empty() || rest.len() > 3 || !is_number(first) {
        return None;
    }
    let n = rest
        .iter()
        .fold(first.parse::<i64>().ok()?, |n, part| n * 60 + part);
    Some(format!("the number {n}"))
}
