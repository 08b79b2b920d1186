//! Placeholders: what `expand` puts in place of `%name%` in the values of a clause.

use std::collections::BTreeSet;

use rsigma_parser::{SigmaString, SigmaValue};

use crate::diagnostic::{Checked, Refusal};
use crate::settings::{Placed, Placeholders, is_name_byte};

/// A clause expands to no more values: two placeholders in one value multiply.
const EXPANDED_MAX: usize = 10_000;

/// Values of placeholders, and which of them a document asked for.
pub(crate) struct Resolver<'a> {
    values: &'a Placeholders,
    pub asked: BTreeSet<String>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(values: &'a Placeholders) -> Self {
        Self {
            values,
            asked: BTreeSet::new(),
        }
    }

    /// The values of a clause with every placeholder replaced; `raw` where wildcards are none.
    pub(crate) fn expand(&mut self, values: &[SigmaValue], raw: bool) -> Checked<Vec<SigmaValue>> {
        let mut out = Vec::new();
        if !values.iter().any(has_name) {
            return Err(
                Refusal::new("`expand` finds no placeholder such as `%Name%`")
                    .hint("its name has letters, digits and `_-.`"),
            );
        }
        for (at, value) in values.iter().enumerate() {
            let SigmaValue::String(text) = value else {
                out.push(value.clone());
                continue;
            };
            let mut found = self.text(&text.original, raw).map_err(|r| r.nth(at))?;
            out.append(&mut found);
            if out.len() > EXPANDED_MAX {
                let message = format!("placeholders expand to more than {EXPANDED_MAX} values");
                return Err(Refusal::new(message).nth(at));
            }
        }
        Ok(out)
    }

    fn text(&mut self, text: &str, raw: bool) -> Checked<Vec<SigmaValue>> {
        let pieces = pieces(text);
        if let [Piece::Name(name)] = pieces.as_slice() {
            let values = self.values(name)?.iter();
            return Ok(values
                .map(|value| match value {
                    Placed::Int(n) => SigmaValue::Integer(*n),
                    Placed::Text(text) => written(text, raw),
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
                        return Err(Refusal::new(format!(
                            "placeholders expand to more than {EXPANDED_MAX} values"
                        )));
                    }
                    let with = |text: &String| -> Vec<String> {
                        let value = |value: &Placed| match value {
                            Placed::Int(n) => format!("{text}{n}"),
                            Placed::Text(value) => format!("{text}{value}"),
                        };
                        values.iter().map(value).collect()
                    };
                    texts = texts.iter().flat_map(with).collect();
                }
            }
        }
        Ok(texts.iter().map(|text| written(text, raw)).collect())
    }

    fn values(&mut self, name: &str) -> Checked<&'a [Placed]> {
        self.asked.insert(name.to_owned());
        let values = self.values.get(name).map(Vec::as_slice);
        values.ok_or_else(|| {
            Refusal::new(format!("the placeholder `%{name}%` has no value")).hint(format!(
                "give it one in the configuration: `[detection.placeholders]`, `{name} = [...]`"
            ))
        })
    }
}

fn has_name(value: &SigmaValue) -> bool {
    let SigmaValue::String(text) = value else {
        return false;
    };
    let mut pieces = pieces(&text.original).into_iter();
    pieces.any(|piece| matches!(piece, Piece::Name(_)))
}

fn written(text: &str, raw: bool) -> SigmaValue {
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

/// Cuts a text at its `%name%`; a `%` that begins none stands for itself.
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
    fn texts_are_cut_at_their_placeholders() {
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
