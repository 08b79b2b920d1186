//! Compiles one `field|modifiers: values` of a rule into tests.

use regex::RegexBuilder;
use rsigma_parser::{Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

use crate::sigma::date::DatePart;
use crate::sigma::encode;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::matcher::Clause;
use crate::sigma::modifiers::{self, ModifierSet, comparison};
use crate::sigma::number::Number;
use crate::sigma::pattern::{DASHES, Pattern, PatternToken, TextPlace};
use crate::sigma::placeholders::{PlaceholderResolver, Placeholders};
use crate::sigma::value_test::{Comparison, FieldTest, Network, ValueTest};

/// Size limits for a compiled regular expression, tried in order.
///
/// The first that suffices is charged to the rule. Bounded runs of Unicode letters, such as
/// `\\w{1,256}`, need the last.
const REGEX_BYTES: [usize; 3] = [64 * 1024, 512 * 1024, 4 * 1024 * 1024];

/// Maximum size of all compiled regular expressions of one rule.
pub(crate) const REGEX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Maximum size of the lazy automaton that an expression caches while it searches.
const REGEX_CACHE_BYTES: usize = 1024 * 1024;

/// Maximum depth of nested groups. Compiling them recurses.
const REGEX_DEPTH_MAX: u32 = 64;

/// State that the clauses of one document share while they are compiled.
pub(crate) struct CompileContext<'a> {
    /// Bytes left for compiled regular expressions.
    regex_bytes: usize,
    pub resolver: PlaceholderResolver<'a>,
}

impl<'a> CompileContext<'a> {
    pub(crate) fn new(placeholders: &'a Placeholders) -> Self {
        Self {
            regex_bytes: REGEX_BYTES_MAX,
            resolver: PlaceholderResolver::new(placeholders),
        }
    }
}

/// Compiles one clause.
pub(crate) fn compile(
    field: Option<&str>,
    modifiers: &[Modifier],
    values: &[SigmaValue],
    ctx: &mut CompileContext<'_>,
) -> SigmaResult<Clause> {
    let name = field.unwrap_or("keywords");
    let set = modifiers::read(modifiers, field.is_none())?;
    if values.is_empty() {
        return Err(Issue::new(format!("`{name}` has an empty list of values")));
    }
    let expanded;
    let values = if set.expand {
        expanded = ctx.resolver.expand(values, set.is_regex())?;
        &expanded
    } else {
        values
    };
    let tests = (0..)
        .zip(values)
        .map(|(at, value)| {
            let made = test(&set, value, field.is_none(), &mut ctx.regex_bytes);
            made.map_err(|issue| issue.nth(at))
        })
        .collect::<SigmaResult<Vec<_>>>()?;
    Ok(Clause {
        field: field.map(|field| rsigma_parser::fieldpath::unescape_brackets(field).into_owned()),
        modifiers: modifiers
            .iter()
            .map(|m| modifiers::name(*m))
            .collect::<Vec<_>>()
            .join("|"),
        tests,
        patterns: values.iter().map(ToString::to_string).collect(),
        all: set.all,
        negated: set.neq,
    })
}

fn test(
    set: &ModifierSet,
    value: &SigmaValue,
    keyword: bool,
    regex_bytes: &mut usize,
) -> SigmaResult<ValueTest> {
    if let Some(part) = set.date {
        return date(set, part, value);
    }
    match set.kind {
        Some(Modifier::Re) => regex(set, value, regex_bytes),
        Some(Modifier::Cidr) => {
            let text = plain(value, "cidr")?;
            Network::parse(&text)
                .map(ValueTest::Network)
                .ok_or_else(|| {
                    Issue::new(format!("`{text}` is not a network"))
                        .hint("write its first address and a length, such as 10.0.0.0/8")
                })
        }
        Some(Modifier::Exists) => match value {
            SigmaValue::Bool(wanted) => Ok(ValueTest::Exists(*wanted)),
            other => Err(Issue::new(format!(
                "`exists` must be true or false, not `{other}`"
            ))),
        },
        Some(Modifier::FieldRef) => Ok(ValueTest::Field(FieldTest {
            name: plain(value, "fieldref")?,
            place: set.place.unwrap_or(TextPlace::Whole),
            cased: set.cased,
        })),
        kind => match kind.and_then(comparison) {
            Some(comparison) => compare(comparison, value),
            None => text(set, value, keyword),
        },
    }
}

fn date(set: &ModifierSet, part: DatePart, value: &SigmaValue) -> SigmaResult<ValueTest> {
    let text = plain(value, "a part of a date")?;
    let (range, comparison) = (part.range(), set.kind.and_then(comparison));
    let number = text.parse().ok();
    match number.filter(|number| comparison.is_some() || range.contains(number)) {
        Some(number) => Ok(ValueTest::Date(part, comparison, number)),
        None => Err(
            Issue::new(format!("`{text}` is not valid for this part of a date")).hint(format!(
                "a whole number of {} to {}",
                range.start(),
                range.end()
            )),
        ),
    }
}

fn compare(comparison: Comparison, value: &SigmaValue) -> SigmaResult<ValueTest> {
    let text = plain(value, "comparison")?;
    let bound =
        Number::parse(&text).ok_or_else(|| Issue::new(format!("`{text}` is not a number")))?;
    Ok(ValueTest::Compare(comparison, bound))
}

fn regex(set: &ModifierSet, value: &SigmaValue, regex_bytes: &mut usize) -> SigmaResult<ValueTest> {
    let source = match value {
        SigmaValue::String(text) => text.original.clone(),
        SigmaValue::Integer(_) | SigmaValue::Float(_) => value.to_string(),
        SigmaValue::Bool(_) | SigmaValue::Null => {
            return Err(Issue::new(format!("`{value}` is not a regular expression")));
        }
    };
    let flag = |modifier| set.regex_flags.contains(&modifier);
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
                return Ok(ValueTest::Regex(Box::new(regex)));
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default();
                let last = last.trim_start_matches("error: ");
                return Err(Issue::new(format!("regular expression `{source}`: {last}"))
                    .hint("look-around and back-references are not supported"));
            }
        }
    }
    Err(Issue::new(format!(
        "regular expression `{source}` takes too much memory"
    ))
    .hint("shorten its bounded runs, such as {1,256}, or split the rule"))
}

/// Compiles a comparison of text; without text modifiers also of numbers, booleans and null.
fn text(set: &ModifierSet, value: &SigmaValue, keyword: bool) -> SigmaResult<ValueTest> {
    let as_is = set.place.is_none() && set.encodings.is_empty() && !keyword;
    match value {
        SigmaValue::Null if as_is => return Ok(ValueTest::Null),
        SigmaValue::Null => {
            return Err(Issue::new(
                "`null` cannot be combined with text modifiers or keywords",
            ));
        }
        SigmaValue::Integer(n) if as_is => return Ok(ValueTest::Number(Number::Int(*n))),
        SigmaValue::Float(_) if as_is => {
            let number = Number::parse(&value.to_string());
            return number
                .map(ValueTest::Number)
                .ok_or_else(|| Issue::new(format!("`{value}` is not a number")).hint("quote it"));
        }
        // All other values are compared as text.
        SigmaValue::String(_)
        | SigmaValue::Integer(_)
        | SigmaValue::Float(_)
        | SigmaValue::Bool(_) => {}
    }
    let forms = match (set.encodings.as_slice(), value) {
        ([], SigmaValue::String(text)) => vec![tokens(text)],
        ([], value) => vec![vec![PatternToken::Literal(value.to_string())]],
        (encodings, value) => encode::forms(plain(value, "encoding")?.into_bytes(), encodings)?
            .into_iter()
            .map(|form| vec![PatternToken::Literal(form)])
            .collect(),
    };
    let place = set.place.unwrap_or(if keyword {
        TextPlace::Anywhere
    } else {
        TextPlace::Whole
    });
    let mut tests: Vec<ValueTest> = forms
        .into_iter()
        .map(|form| ValueTest::Text(pattern(set, form, place)))
        .collect();
    match tests.pop() {
        Some(only) if tests.is_empty() => Ok(only),
        last => Ok(ValueTest::Any(tests.into_iter().chain(last).collect())),
    }
}

fn pattern(set: &ModifierSet, form: Vec<PatternToken>, place: TextPlace) -> Pattern {
    let mut tokens = Vec::with_capacity(form.len() + 2);
    if matches!(place, TextPlace::End | TextPlace::Anywhere) {
        tokens.push(PatternToken::Star);
    }
    for token in form {
        match token {
            PatternToken::Literal(text) if set.windash => {
                tokens.extend(text.chars().map(|c| match c {
                    c if DASHES.contains(&c) => PatternToken::Dash,
                    c => PatternToken::Literal(c.to_string()),
                }));
            }
            token => tokens.push(token),
        }
    }
    if matches!(place, TextPlace::Start | TextPlace::Anywhere) {
        tokens.push(PatternToken::Star);
    }
    Pattern::new(tokens, set.cased)
}

fn tokens(text: &SigmaString) -> Vec<PatternToken> {
    text.parts
        .iter()
        .map(|part| match part {
            StringPart::Plain(text) => PatternToken::Literal(text.clone()),
            StringPart::Special(SpecialChar::WildcardMulti) => PatternToken::Star,
            StringPart::Special(SpecialChar::WildcardSingle) => PatternToken::One,
        })
        .collect()
}

/// The text of a value that must not have wildcards; `reader` names the modifier for the message.
fn plain(value: &SigmaValue, reader: &str) -> SigmaResult<String> {
    match value {
        SigmaValue::String(text) => text.as_plain().ok_or_else(|| {
            Issue::new(format!(
                "`{text}` has wildcards, which {reader} does not support"
            ))
            .hint("escape them with a backslash to match them literally")
        }),
        SigmaValue::Null => Err(Issue::new(format!("{reader} needs a value, not null"))),
        SigmaValue::Integer(_) | SigmaValue::Float(_) | SigmaValue::Bool(_) => {
            Ok(value.to_string())
        }
    }
}
