//! One comparison of a rule with one value of an event.

use std::cmp::Ordering;
use std::net::IpAddr;

use regex::Regex;
use weir_schema::Value;

use crate::date::DatePart;
use crate::matcher::View;
use crate::number::{IntText, Number};
use crate::pattern::{Pattern, lower};

/// What a value must be.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Text(Pattern),
    Number(Number),
    Compare(Comparison, Number),
    /// A part of a date; `None`: equal.
    Date(DatePart, Option<Comparison>, i64),
    Regex(Box<Regex>),
    Network(Network),
    /// Absent, or present without a value.
    Null,
    /// Present, whatever its value, or absent.
    Exists(bool),
    Field(FieldTest),
    /// Several forms of one value, any of which will do.
    Any(Vec<Test>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A comparison with another field of the same event.
#[derive(Clone, Debug)]
pub(crate) struct FieldTest {
    pub name: String,
    pub place: TextPlace,
    pub cased: bool,
}

/// Where in a text another one must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextPlace {
    Whole,
    Start,
    End,
    Anywhere,
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    V4 { base: u32, mask: u32 },
    V6 { base: u128, mask: u128 },
}

impl Network {
    /// Reads `10.0.0.0/8`, `fe80::/10` or one address; `None` where bits beyond the mask are set.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(address) => {
                let host = 32u32.checked_sub(length.unwrap_or(32))?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                let base = u32::from(address);
                (base & mask == base).then_some(Self::V4 { base, mask })
            }
            IpAddr::V6(address) => {
                let host = 128u32.checked_sub(length.unwrap_or(128))?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                let base = u128::from(address);
                (base & mask == base).then_some(Self::V6 { base, mask })
            }
        }
    }

    fn has(self, text: &str) -> bool {
        match (self, text.parse()) {
            (Self::V4 { base, mask }, Ok(IpAddr::V4(address))) => u32::from(address) & mask == base,
            (Self::V6 { base, mask }, Ok(IpAddr::V6(address))) => {
                u128::from(address) & mask == base
            }
            // No address, or one of the other family.
            _ => false,
        }
    }
}

impl Test {
    /// Whether the field's value passes; of a list, one element must.
    pub(crate) fn holds(&self, value: Option<&Value<'_>>, view: &View<'_>) -> bool {
        match (self, value) {
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (Self::Null, None) => true,
            (_, None) => false,
            (Self::Any(tests), value) => tests.iter().any(|test| test.holds(value, view)),
            (_, Some(Value::List(values))) => {
                values.iter().any(|value| self.holds(Some(value), view))
            }
            (Self::Field(field), Some(value)) => field.holds(value, view),
            (_, Some(value)) => self.holds_single(value),
        }
    }

    pub(crate) fn holds_single(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Text(pattern) => with_text(value, |text| pattern.matches(text)),
            Self::Regex(regex) => with_text(value, |text| regex.is_match(text)),
            Self::Network(network) => with_text(value, |text| network.has(text)),
            Self::Number(number) => number.compare(value).is_some_and(|order| order.is_eq()),
            Self::Compare(comparison, bound) => {
                let order = bound.compare(value);
                order.is_some_and(|order| comparison.holds(order))
            }
            Self::Date(part, comparison, bound) => with_text(value, |text| {
                let order = part.of(text).map(|found| found.cmp(bound));
                order.is_some_and(|order| match comparison {
                    Some(comparison) => comparison.holds(order),
                    None => order.is_eq(),
                })
            }),
            Self::Null => matches!(value, Value::Null),
            // Decided by the caller, which knows the event.
            Self::Exists(_) | Self::Field(_) | Self::Any(_) => false,
        }
    }

    /// Whether a text of no particular field passes: the message, or a part of a keyword search.
    pub(crate) fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Any(tests) => tests.iter().any(|test| test.holds_text(text)),
            // A keyword is a text or an expression; all else is refused when it is compiled.
            Self::Number(_)
            | Self::Compare(..)
            | Self::Date(..)
            | Self::Network(_)
            | Self::Null
            | Self::Exists(_)
            | Self::Field(_) => false,
        }
    }
}

/// Calls `f` with the value's text, without a copy; false where it has none.
fn with_text(value: &Value<'_>, f: impl FnOnce(&str) -> bool) -> bool {
    match value {
        Value::Text(text) | Value::Number(text) => f(text),
        Value::Int(n) => f(IntText::new(*n).as_str()),
        Value::Bool(true) => f("true"),
        Value::Bool(false) => f("false"),
        Value::Null | Value::List(_) => false,
    }
}

/// Whether some text of the value passes.
pub(crate) fn any_text(value: &Value<'_>, f: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| any_text(value, f)),
        value => with_text(value, f),
    }
}

impl FieldTest {
    fn holds(&self, value: &Value<'_>, view: &View<'_>) -> bool {
        let Some(other) = view.get(&self.name) else {
            return false;
        };
        any_text(other, &|other| {
            with_text(value, |text| self.compare(text, other))
        })
    }

    fn compare(&self, text: &str, other: &str) -> bool {
        if !self.cased && self.place == TextPlace::Whole && text == other {
            return true;
        }
        let fold = |text: &str| {
            if self.cased {
                text.to_owned()
            } else {
                lower(text)
            }
        };
        let (text, other) = (fold(text), fold(other));
        match self.place {
            TextPlace::Whole => text == other,
            TextPlace::Start => text.starts_with(&other),
            TextPlace::End => text.ends_with(&other),
            TextPlace::Anywhere => text.contains(&other),
        }
    }
}
