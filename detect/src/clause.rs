//! One `field|modifiers: values` of a rule, from what it says to what it tests.

use regex::RegexBuilder;
use rsigma_parser::{Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

use crate::date::DatePart;
use crate::diagnostic::{Checked, Refusal};
use crate::encode;
use crate::expand::Resolver;
use crate::matcher::Clause;
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

/// What the modifiers of a clause ask for, in the order in which it matters.
#[derive(Default)]
struct Plan {
    place: Option<TextPlace>,
    encodings: Vec<Modifier>,
    windash: bool,
    cased: bool,
    all: bool,
    neq: bool,
    /// The kind of test, where it is not a comparison of texts.
    kind: Option<Modifier>,
    regex_flags: Vec<Modifier>,
    /// Placeholders are replaced.
    expand: bool,
    date: Option<DatePart>,
}

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

fn plan(modifiers: &[Modifier], keyword: bool) -> Checked<Plan> {
    let mut plan = Plan::default();
    for modifier in modifiers {
        plan.add(*modifier)?;
    }
    plan.check(keyword)?;
    Ok(plan)
}

impl Plan {
    fn add(&mut self, modifier: Modifier) -> Checked<()> {
        match modifier {
            Modifier::Contains => self.set_place(TextPlace::Anywhere)?,
            Modifier::StartsWith => self.set_place(TextPlace::Start)?,
            Modifier::EndsWith => self.set_place(TextPlace::End)?,
            Modifier::All => self.all = true,
            Modifier::Neq => self.neq = true,
            Modifier::Cased => self.cased = true,
            Modifier::WindAsh => self.windash = true,
            Modifier::Base64
            | Modifier::Base64Offset
            | Modifier::Wide
            | Modifier::Utf16
            | Modifier::Utf16be => {
                if self.place.is_some() || self.windash {
                    let message = format!("`{}` stands behind a wildcard", word(modifier));
                    return Err(Refusal::new(message)
                        .hint("write it in front, as in `wide|base64offset|contains`"));
                }
                self.encodings.push(modifier);
            }
            Modifier::Re
            | Modifier::Cidr
            | Modifier::Exists
            | Modifier::FieldRef
            | Modifier::Gt
            | Modifier::Gte
            | Modifier::Lt
            | Modifier::Lte => {
                if let Some(other) = self.kind.replace(modifier) {
                    return Err(clash(other, modifier));
                }
            }
            Modifier::IgnoreCase | Modifier::Multiline | Modifier::DotAll => {
                self.regex_flags.push(modifier);
            }
            Modifier::Expand => self.expand = true,
            Modifier::Minute => self.set_date(DatePart::Minute)?,
            Modifier::Hour => self.set_date(DatePart::Hour)?,
            Modifier::Day => self.set_date(DatePart::Day)?,
            Modifier::Week => self.set_date(DatePart::Week)?,
            Modifier::Month => self.set_date(DatePart::Month)?,
            Modifier::Year => self.set_date(DatePart::Year)?,
        }
        Ok(())
    }

    fn is_regex(&self) -> bool {
        self.kind == Some(Modifier::Re)
    }

    fn set_date(&mut self, part: DatePart) -> Checked<()> {
        match self.date.replace(part) {
            Some(_) => Err(Refusal::new("more than one part of a date in one clause")),
            None => Ok(()),
        }
    }

    fn set_place(&mut self, place: TextPlace) -> Checked<()> {
        match self.place.replace(place) {
            Some(other) if other != place => Err(Refusal::new(
                "more than one of `contains`, `startswith`, `endswith`",
            )),
            _ => Ok(()), // The first, or the same again.
        }
    }

    fn check(&self, keyword: bool) -> Checked<()> {
        if !self.regex_flags.is_empty() && self.kind != Some(Modifier::Re) {
            return Err(Refusal::new("`i`, `m` and `s` belong to `re`")
                .hint("write `re|i`; other comparisons disregard case already"));
        }
        let text_only = self.windash || !self.encodings.is_empty();
        if self.date.is_some() {
            let compares = |kind| {
                use Modifier::{Gt, Gte, Lt, Lte};
                matches!(kind, Gt | Gte | Lt | Lte)
            };
            let alone = !text_only && self.place.is_none() && !self.cased && !keyword;
            if !alone || !self.kind.is_none_or(compares) {
                return Err(Refusal::new("a part of a date is compared as a number")
                    .hint("with gt, gte, lt, lte, neq, or nothing but the number"));
            }
        }
        let Some(kind) = self.kind else {
            return Ok(());
        };
        if keyword && kind != Modifier::Re {
            return Err(Refusal::new(format!("`{}` needs a field", word(kind))));
        }
        let is_field = kind == Modifier::FieldRef;
        if text_only || (!is_field && (self.place.is_some() || self.cased)) {
            let message = format!("`{}` does not go with modifiers of text", word(kind));
            return Err(Refusal::new(message));
        }
        if kind == Modifier::Exists && (self.all || self.neq) {
            return Err(Refusal::new("`exists` stands alone").hint("write true or false"));
        }
        Ok(())
    }
}

fn clash(a: Modifier, b: Modifier) -> Refusal {
    Refusal::new(format!("`{}` does not go with `{}`", word(a), word(b)))
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

fn comparison(modifier: Modifier) -> Option<Comparison> {
    match modifier {
        Modifier::Gt => Some(Comparison::Greater),
        Modifier::Gte => Some(Comparison::GreaterOrEqual),
        Modifier::Lt => Some(Comparison::Less),
        Modifier::Lte => Some(Comparison::LessOrEqual),
        _ => None, // All others compare no order.
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

fn word(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16be => "utf16be",
        Modifier::Utf16 => "utf16",
        Modifier::WindAsh => "windash",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Cased => "cased",
        Modifier::Exists => "exists",
        Modifier::Expand => "expand",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Neq => "neq",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
    }
}
