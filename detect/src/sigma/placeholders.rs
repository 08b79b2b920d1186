//! Placeholders: the values that `expand` substitutes for `%name%` in a clause.

use std::collections::{BTreeMap, BTreeSet};

use rsigma_parser::{SigmaString, SigmaValue};
use serde::{Deserialize, Serialize};

use crate::sigma::issue::{Issue, SigmaResult};

/// Maximum number of values of an expanded clause. Two placeholders in one value multiply.
const EXPANDED_MAX: usize = 10_000;

/// One value of a placeholder, as it would stand in a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PlaceholderValue {
    Int(i64),
    /// With wildcards and backslashes as in a rule.
    Text(String),
}

/// Placeholder name, without its `%`, to values.
pub type Placeholders = BTreeMap<String, Vec<PlaceholderValue>>;

/// Whether the byte may stand in the name of a placeholder.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Substitutes placeholders, and records which of them a document uses.
pub(crate) struct PlaceholderResolver<'a> {
    values: &'a Placeholders,
    pub names_used: BTreeSet<String>,
}

impl<'a> PlaceholderResolver<'a> {
    pub(crate) fn new(values: &'a Placeholders) -> Self {
        Self {
            values,
            names_used: BTreeSet::new(),
        }
    }

    /// Replaces every placeholder in the values of a clause.
    ///
    /// `raw`: the values are regular expressions, where `*` and `?` are not wildcards.
    pub(crate) fn expand(
        &mut self,
        values: &[SigmaValue],
        raw: bool,
    ) -> SigmaResult<Vec<SigmaValue>> {
        let mut out = Vec::new();
        if !values.iter().any(has_placeholder) {
            return Err(Issue::new("`expand` finds no placeholder such as `%Name%`")
                .hint("its name has letters, digits and `_-.`"));
        }
        for (at, value) in values.iter().enumerate() {
            let SigmaValue::String(text) = value else {
                out.push(value.clone());
                continue;
            };
            let mut expanded = self
                .expand_text(&text.original, raw)
                .map_err(|r| r.nth(at))?;
            out.append(&mut expanded);
            if out.len() > EXPANDED_MAX {
                let message = format!("placeholders expand to more than {EXPANDED_MAX} values");
                return Err(Issue::new(message).nth(at));
            }
        }
        Ok(out)
    }

    fn expand_text(&mut self, text: &str, raw: bool) -> SigmaResult<Vec<SigmaValue>> {
        let pieces = pieces(text);
        if let [Piece::Name(name)] = pieces.as_slice() {
            let values = self.values(name)?.iter();
            return Ok(values
                .map(|value| match value {
                    PlaceholderValue::Int(n) => SigmaValue::Integer(*n),
                    PlaceholderValue::Text(text) => sigma_text(text, raw),
                })
                .collect());
        }
        let mut texts = vec![String::new()];
        for piece in pieces {
            match piece {
                Piece::Text(text) => texts.iter_mut().for_each(|t| t.push_str(text)),
                Piece::Name(name) => {
                    let values = self.values(name)?;
                    if texts.len().saturating_mul(values.len()) > EXPANDED_MAX {
                        return Err(Issue::new(format!(
                            "placeholders expand to more than {EXPANDED_MAX} values"
                        )));
                    }
                    let with = |text: &String| -> Vec<String> {
                        let value = |value: &PlaceholderValue| match value {
                            PlaceholderValue::Int(n) => format!("{text}{n}"),
                            PlaceholderValue::Text(value) => format!("{text}{value}"),
                        };
                        values.iter().map(value).collect()
                    };
                    texts = texts.iter().flat_map(with).collect();
                }
            }
        }
        Ok(texts.iter().map(|text| sigma_text(text, raw)).collect())
    }

    fn values(&mut self, name: &str) -> SigmaResult<&'a [PlaceholderValue]> {
        self.names_used.insert(name.to_owned());
        let values = self.values.get(name).map(Vec::as_slice);
        values.ok_or_else(|| {
            Issue::new(format!("the placeholder `%{name}%` has no value")).hint(format!(
                "give it one in the configuration: `[detection.placeholders]`, `{name} = [...]`"
            ))
        })
    }
}

fn has_placeholder(value: &SigmaValue) -> bool {
    let SigmaValue::String(text) = value else {
        return false;
    };
    let mut pieces = pieces(&text.original).into_iter();
    pieces.any(|piece| matches!(piece, Piece::Name(_)))
}

fn sigma_text(text: &str, raw: bool) -> SigmaValue {
    SigmaValue::String(if raw {
        SigmaString::from_raw(text)
    } else {
        SigmaString::new(text)
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// Splits a text at its `%name%`. Any other `%` stands for itself.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = text[from..].find('%').map(|at| from + at) {
        let name = &text[open + 1..];
        let length = name.bytes().take_while(|b| is_name_byte(*b)).count();
        if length == 0 || name.as_bytes().get(length) != Some(&b'%') {
            from = open + 1;
            continue;
        }
        if start < open {
            pieces.push(Piece::Text(&text[start..open]));
        }
        pieces.push(Piece::Name(&name[..length]));
        start = open + length + 2;
        from = start;
    }
    if start < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[start..]));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_texts_at_their_placeholders() {
        use Piece::{Name, Text};
        for (text, expected) in [
            ("", vec![Text("")]),
            ("%A%", vec![Name("A")]),
            (
                "x%A%y%B_1%",
                vec![Text("x"), Name("A"), Text("y"), Name("B_1")],
            ),
            ("100%", vec![Text("100%")]),
            ("%%", vec![Text("%%")]),
            ("%a b%c%", vec![Text("%a b"), Name("c")]),
            ("%A-1.b%x", vec![Name("A-1.b"), Text("x")]),
            ("ä%ä%", vec![Text("ä%ä%")]),
        ] {
            assert_eq!(pieces(text), expected, "{text:?}");
        }
    }
}
