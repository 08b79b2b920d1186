//! The modifiers of a clause: their combined meaning, and the combinations that are refused.

use rsigma_parser::Modifier;

use crate::sigma::date::DatePart;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::pattern::TextPlace;
use crate::sigma::value_test::Comparison;

/// The combined meaning of the modifiers of a clause.
#[derive(Default)]
pub(crate) struct ModifierSet {
    pub place: Option<TextPlace>,
    pub encodings: Vec<Modifier>,
    pub windash: bool,
    pub cased: bool,
    pub all: bool,
    pub neq: bool,
    /// The kind of test, unless it is a comparison of texts.
    pub kind: Option<Modifier>,
    pub regex_flags: Vec<Modifier>,
    /// Placeholders are substituted.
    pub expand: bool,
    pub date: Option<DatePart>,
}

pub(crate) fn read(modifiers: &[Modifier], keyword: bool) -> SigmaResult<ModifierSet> {
    let mut set = ModifierSet::default();
    for modifier in modifiers {
        set.add(*modifier)?;
    }
    set.check(keyword)?;
    Ok(set)
}

impl ModifierSet {
    fn add(&mut self, modifier: Modifier) -> SigmaResult<()> {
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
                    let message = format!(
                        "`{}` comes after a modifier that adds wildcards",
                        name(modifier)
                    );
                    return Err(Issue::new(message)
                        .hint("write it first, as in `wide|base64offset|contains`"));
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
                    return Err(conflict(other, modifier));
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

    pub(crate) fn is_regex(&self) -> bool {
        self.kind == Some(Modifier::Re)
    }

    fn set_date(&mut self, part: DatePart) -> SigmaResult<()> {
        match self.date.replace(part) {
            Some(_) => Err(Issue::new("more than one part of a date in one clause")),
            None => Ok(()),
        }
    }

    fn set_place(&mut self, place: TextPlace) -> SigmaResult<()> {
        match self.place.replace(place) {
            Some(other) if other != place => Err(Issue::new(
                "more than one of `contains`, `startswith`, `endswith`",
            )),
            _ => Ok(()), // The first one, or the same one again.
        }
    }

    fn check(&self, keyword: bool) -> SigmaResult<()> {
        if !self.regex_flags.is_empty() && self.kind != Some(Modifier::Re) {
            return Err(Issue::new("`i`, `m` and `s` belong to `re`")
                .hint("write `re|i`; other comparisons disregard case already"));
        }
        encodings_reach_text(&self.encodings)?;
        let text_only = self.windash || !self.encodings.is_empty();
        if self.date.is_some() {
            let compares = |kind| {
                use Modifier::{Gt, Gte, Lt, Lte};
                matches!(kind, Gt | Gte | Lt | Lte)
            };
            let alone = !text_only && self.place.is_none() && !self.cased && !keyword;
            if !alone || !self.kind.is_none_or(compares) {
                return Err(Issue::new("a part of a date is compared as a number")
                    .hint("use gt, gte, lt, lte, neq, or the number alone"));
            }
        }
        let Some(kind) = self.kind else {
            return Ok(());
        };
        if keyword && kind != Modifier::Re {
            return Err(Issue::new(format!("`{}` needs a field", name(kind))));
        }
        let is_field = kind == Modifier::FieldRef;
        if text_only || (!is_field && (self.place.is_some() || self.cased)) {
            let message = format!("`{}` cannot be combined with text modifiers", name(kind));
            return Err(Issue::new(message));
        }
        if kind == Modifier::Exists && (self.all || self.neq) {
            return Err(
                Issue::new("`exists` cannot be combined with `all` or `neq`")
                    .hint("write true or false"),
            );
        }
        Ok(())
    }
}

/// Refuses encodings that end in bytes, which no text of an event can have, whatever the values are.
fn encodings_reach_text(encodings: &[Modifier]) -> SigmaResult<()> {
    let is_text =
        |encoding: &&Modifier| matches!(encoding, Modifier::Base64 | Modifier::Base64Offset);
    let hint = "add `base64` or `base64offset` after it";
    for (at, encoding) in encodings.iter().enumerate() {
        if is_text(&encoding) {
            continue;
        }
        match encodings.get(at + 1) {
            Some(next) if is_text(&next) => {}
            Some(_) => return Err(Issue::new("UTF-16 is applied twice").hint(hint)),
            None => {
                let message = format!(
                    "`{}` makes UTF-16, which cannot be compared with text directly",
                    name(*encoding)
                );
                return Err(Issue::new(message).hint(hint));
            }
        }
    }
    Ok(())
}

fn conflict(a: Modifier, b: Modifier) -> Issue {
    Issue::new(format!(
        "`{}` cannot be combined with `{}`",
        name(a),
        name(b)
    ))
}

pub(crate) fn comparison(modifier: Modifier) -> Option<Comparison> {
    match modifier {
        Modifier::Gt => Some(Comparison::Greater),
        Modifier::Gte => Some(Comparison::GreaterOrEqual),
        Modifier::Lt => Some(Comparison::Less),
        Modifier::Lte => Some(Comparison::LessOrEqual),
        _ => None, // The other modifiers do not compare an order.
    }
}

pub(crate) fn name(modifier: Modifier) -> &'static str {
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
