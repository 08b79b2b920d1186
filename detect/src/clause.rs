//! One `field|modifiers: values` of a rule, from what it says to what it tests.

use regex::RegexBuilder;
use rsigma_parser::{Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

use crate::date::DatePart;
use crate::diagnostic::{Checked, Refusal};
use crate::encode;
use crate::expand::Resolver;
use crate::matcher::Clause;
use crate::modifiers::{Plan, comparison, plan, word};
use crate::number::Number;
use crate::pattern::{DASHES, Pattern, Token};
use crate::settings::Placeholders;
use crate::test::{Comparison, FieldTest, Network, Test, TextPlace};

/// Sizes to which an expression may compile; it is charged with the first that is enough. Bounded
/// runs of Unicode letters, such as `\\w{1,256}`, need the last.
const REGEX_BYTES: [usize; 3] = [64 * 1024, 512 * 1024, 4 * 1024 * 1024];

/// What the expressions of one rule may take together.
pub(crate) const REGEX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What an expression may keep of its automaton while it searches.
const REGEX_CACHE_BYTES: usize = 1024 * 1024;

/// Groups nested deeper than this are refused, as compiling them recurses.
const REGEX_DEPTH_MAX: u32 = 64;

/// What the clauses of one document share while they are compiled.
pub(crate) struct Workshop<'a> {
    /// What is left for regular expressions.
    regex_bytes: usize,
    pub resolver: Resolver<'a>,
}

impl<'a> Workshop<'a> {
    pub(crate) fn new(placeholders: &'a Placeholders) -> Self {
        Self {
            regex_bytes: REGEX_BYTES_MAX,
            resolver: Resolver::new(placeholders),
        }
    }
}

/// Compiles one clause.
pub(crate) fn compile(
    field: Option<&str>,
    modifiers: &[Modifier],
    values: &[SigmaValue],
    shop: &mut Workshop<'_>,
) -> Checked<Clause> {
    let name = field.unwrap_or("keywords");
    let plan = plan(modifiers, field.is_none())?;
    if values.is_empty() {
        return Err(Refusal::new(format!(
            "`{name}` has an empty list of values"
        )));
    }
    let expanded;
    let values = if plan.expand {
        expanded = shop.resolver.expand(values, plan.is_regex())?;
        &expanded
    } else {
        values
    };
    let tests = (0..)
        .zip(values)
        .map(|(at, value)| {
            let made = test(&plan, value, field.is_none(), &mut shop.regex_bytes);
            made.map_err(|refusal| refusal.nth(at))
        })
        .collect::<Checked<Vec<_>>>()?;
    Ok(Clause {
        field: field.map(|field| rsigma_parser::fieldpath::unescape_brackets(field).into_owned()),
        modifiers: modifiers
            .iter()
            .map(|m| word(*m))
            .collect::<Vec<_>>()
            .join("|"),
        tests,
        patterns: values.iter().map(ToString::to_string).collect(),
        all: plan.all,
        negated: plan.neq,
    })
}

fn test(plan: &Plan, value: &SigmaValue, keyword: bool, regex_bytes: &mut usize) -> Checked<Test> {
    if let Some(part) = plan.date {
        return date(plan, part, value);
    }
    match plan.kind {
        Some(Modifier::Re) => regex(plan, value, regex_bytes),
        Some(Modifier::Cidr) => {
            let text = plain(value, "cidr")?;
            Network::parse(&text).map(Test::Network).ok_or_else(|| {
                Refusal::new(format!("`{text}` is no network"))
                    .hint("write its first address and a length, such as 10.0.0.0/8")
            })
        }
        Some(Modifier::Exists) => match value {
            SigmaValue::Bool(wanted) => Ok(Test::Exists(*wanted)),
            other => Err(Refusal::new(format!(
                "`exists` is true or false, not `{other}`"
            ))),
        },
        Some(Modifier::FieldRef) => Ok(Test::Field(FieldTest {
            name: plain(value, "fieldref")?,
            place: plan.place.unwrap_or(TextPlace::Whole),
            cased: plan.cased,
        })),
        kind => match kind.and_then(comparison) {
            Some(comparison) => compare(comparison, value),
            None => text(plan, value, keyword),
        },
    }
}

fn date(plan: &Plan, part: DatePart, value: &SigmaValue) -> Checked<Test> {
    let text = plain(value, "a part of a date")?;
    let (range, comparison) = (part.range(), plan.kind.and_then(comparison));
    let number = text.parse().ok();
    match number.filter(|number| comparison.is_some() || range.contains(number)) {
        Some(number) => Ok(Test::Date(part, comparison, number)),
        None => Err(
            Refusal::new(format!("`{text}` is no such part of a date")).hint(format!(
                "a whole number of {} to {}",
                range.start(),
                range.end()
            )),
        ),
    }
}

fn compare(comparison: Comparison, value: &SigmaValue) -> Checked<Test> {
    let text = plain(value, "comparison")?;
    let bound =
        Number::parse(&text).ok_or_else(|| Refusal::new(format!("`{text}` is no number")))?;
    Ok(Test::Compare(comparison, bound))
}

fn regex(plan: &Plan, value: &SigmaValue, regex_bytes: &mut usize) -> Checked<Test> {
    let source = match value {
        SigmaValue::String(text) => text.original.clone(),
        SigmaValue::Integer(_) | SigmaValue::Float(_) => value.to_string(),
        SigmaValue::Bool(_) | SigmaValue::Null => {
            return Err(Refusal::new(format!("`{value}` is no regular expression")));
        }
    };
    let flag = |modifier| plan.regex_flags.contains(&modifier);
    let mut builder = RegexBuilder::new(&source);
    builder
        .case_insensitive(flag(Modifier::IgnoreCase))
        .multi_line(flag(Modifier::Multiline))
        .dot_matches_new_line(flag(Modifier::DotAll))
        .dfa_size_limit(REGEX_CACHE_BYTES)
        .nest_limit(REGEX_DEPTH_MAX);
    for bytes in REGEX_BYTES {
        let Some(rest) = regex_bytes.checked_sub(bytes) else {
            break;
        };
        match builder.size_limit(bytes).build() {
            Ok(regex) => {
                *regex_bytes = rest;
                return Ok(Test::Regex(Box::new(regex)));
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default();
                let last = last.trim_start_matches("error: ");
                return Err(
                    Refusal::new(format!("regular expression `{source}`: {last}"))
                        .hint("look-around and back-references are not supported"),
                );
            }
        }
    }
    Err(Refusal::new(format!(
        "regular expression `{source}` takes too much memory"
    ))
    .hint("shorten its bounded runs, such as {1,256}, or split the rule"))
}

/// A comparison of text; of numbers, truth values and nothing where no modifier asks for text.
fn text(plan: &Plan, value: &SigmaValue, keyword: bool) -> Checked<Test> {
    let as_is = plan.place.is_none() && plan.encodings.is_empty() && !keyword;
    match value {
        SigmaValue::Null if as_is => return Ok(Test::Null),
        SigmaValue::Null => {
            return Err(Refusal::new(
                "`null` does not go with modifiers of text, nor keywords",
            ));
        }
        SigmaValue::Integer(n) if as_is => return Ok(Test::Number(Number::Int(*n))),
        SigmaValue::Float(_) if as_is => {
            let number = Number::parse(&value.to_string());
            return number
                .map(Test::Number)
                .ok_or_else(|| Refusal::new(format!("`{value}` is no number")).hint("quote it"));
        }
        // All that is left is compared as text.
        SigmaValue::String(_)
        | SigmaValue::Integer(_)
        | SigmaValue::Float(_)
        | SigmaValue::Bool(_) => {}
    }
    let forms = match (plan.encodings.as_slice(), value) {
        ([], SigmaValue::String(text)) => vec![tokens(text)],
        ([], value) => vec![vec![Token::Literal(value.to_string())]],
        (encodings, value) => encode::forms(plain(value, "encoding")?.into_bytes(), encodings)?
            .into_iter()
            .map(|form| vec![Token::Literal(form)])
            .collect(),
    };
    let place = plan.place.unwrap_or(if keyword {
        TextPlace::Anywhere
    } else {
        TextPlace::Whole
    });
    let mut tests: Vec<Test> = forms
        .into_iter()
        .map(|form| Test::Text(pattern(plan, form, place)))
        .collect();
    match tests.pop() {
        Some(only) if tests.is_empty() => Ok(only),
        last => Ok(Test::Any(tests.into_iter().chain(last).collect())),
    }
}

fn pattern(plan: &Plan, form: Vec<Token>, place: TextPlace) -> Pattern {
    let mut tokens = Vec::with_capacity(form.len() + 2);
    if matches!(place, TextPlace::End | TextPlace::Anywhere) {
        tokens.push(Token::Star);
    }
    for token in form {
        match token {
            Token::Literal(text) if plan.windash => {
                tokens.extend(text.chars().map(|c| match c {
                    c if DASHES.contains(&c) => Token::Dash,
                    c => Token::Literal(c.to_string()),
                }));
            }
            token => tokens.push(token),
        }
    }
    if matches!(place, TextPlace::Start | TextPlace::Anywhere) {
        tokens.push(Token::Star);
    }
    Pattern::new(tokens, plan.cased)
}

fn tokens(text: &SigmaString) -> Vec<Token> {
    text.parts
        .iter()
        .map(|part| match part {
            StringPart::Plain(text) => Token::Literal(text.clone()),
            StringPart::Special(SpecialChar::WildcardMulti) => Token::Star,
            StringPart::Special(SpecialChar::WildcardSingle) => Token::One,
        })
        .collect()
}

/// The text of a value that may have no wildcards.
fn plain(value: &SigmaValue, what: &str) -> Checked<String> {
    match value {
        SigmaValue::String(text) => text.as_plain().ok_or_else(|| {
            Refusal::new(format!("`{text}` has wildcards, which {what} cannot read"))
                .hint("escape them with a backslash if they are meant as such")
        }),
        SigmaValue::Null => Err(Refusal::new(format!("{what} needs a value, not null"))),
        SigmaValue::Integer(_) | SigmaValue::Float(_) | SigmaValue::Bool(_) => {
            Ok(value.to_string())
        }
    }
}
