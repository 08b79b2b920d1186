//! The test of one value of an event against one value of a rule.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

use regex::Regex;
use weir_schema::Value;

use crate::sigma::date::DatePart;
use crate::sigma::number::{IntText, Number};
use crate::sigma::pattern::{Pattern, TextPlace, to_lower};
use crate::sigma::view::EventView;

/// A test that a value of an event passes or fails.
#[derive(Clone, Debug)]
pub(crate) enum ValueTest {
    Text(Pattern),
    Number(Number),
    Compare(Comparison, Number),
    /// Compares a part of a date. `None` means equality.
    Date(DatePart, Option<Comparison>, i64),
    Regex(Box<Regex>),
    Network(Network),
    /// Passes if the field is absent or null.
    Null,
    /// Passes if the field is present (`true`), null included, or absent (`false`).
    Exists(bool),
    Field(FieldTest),
    /// Passes if one of these tests does; they are the encodings of one value.
    Any(Vec<ValueTest>),
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

/// Reads an address. IPv4 in IPv6 form is IPv4, and the zone of an IPv6 address (`fe80::1%12`), which
/// says on which interface it was seen, does not count.
pub(crate) fn read_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address.parse::<Ipv6Addr>().ok()?.into(),
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    Some(address.to_canonical())
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    V4 { base: u32, mask: u32 },
    V6 { base: u128, mask: u128 },
}

impl Network {
    /// Reads `10.0.0.0/8`, `fe80::/10` or one address. `None` if bits outside the mask are set.
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
                if base & mask != base {
                    return None;
                }
                // IPv4 in IPv6 form is IPv4.
                match address.to_ipv4_mapped() {
                    Some(mapped) if host <= 32 => Some(Self::V4 {
                        base: u32::from(mapped),
                        mask: u32::MAX.checked_shl(host).unwrap_or(0),
                    }),
                    _ => Some(Self::V6 { base, mask }),
                }
            }
        }
    }

    fn contains(self, text: &str) -> bool {
        match (self, read_address(text)) {
            (Self::V4 { base, mask }, Some(IpAddr::V4(address))) => {
                u32::from(address) & mask == base
            }
            (Self::V6 { base, mask }, Some(IpAddr::V6(address))) => {
                u128::from(address) & mask == base
            }
            // Not an address, or one of the other family.
            _ => false,
        }
    }
}

impl ValueTest {
    /// Whether the field's value passes. A list passes if one element does.
    pub(crate) fn holds(&self, value: Option<&Value<'_>>, view: &EventView<'_>) -> bool {
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
            Self::Network(network) => with_text(value, |text| network.contains(text)),
            Self::Number(number) => number.compare(value).is_some_and(|order| order.is_eq()),
            Self::Compare(comparison, bound) => {
                let order = bound.compare(value);
                order.is_some_and(|order| comparison.holds(order))
            }
            Self::Date(part, comparison, bound) => with_text(value, |text| {
                let order = part.parse(text).map(|found| found.cmp(bound));
                order.is_some_and(|order| match comparison {
                    Some(comparison) => comparison.holds(order),
                    None => order.is_eq(),
                })
            }),
            Self::Null => matches!(value, Value::Null),
            // `holds` decides these; they need the event.
            Self::Exists(_) | Self::Field(_) | Self::Any(_) => false,
        }
    }

    /// Whether a text passes as a keyword.
    pub(crate) fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Any(tests) => tests.iter().any(|test| test.holds_text(text)),
            // The compiler only accepts text and regular expressions as keywords.
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

/// Calls `f` with the value's text, without a copy. False if the value has no text.
fn with_text(value: &Value<'_>, f: impl FnOnce(&str) -> bool) -> bool {
    match value {
        Value::Text(text) | Value::Number(text) => f(text),
        Value::Int(n) => f(IntText::new(*n).as_str()),
        Value::Bool(true) => f("true"),
        Value::Bool(false) => f("false"),
        Value::Null | Value::List(_) => false,
    }
}

/// Whether the value, or an element of a list, has a text for which `f` holds.
pub(crate) fn any_text(value: &Value<'_>, f: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| any_text(value, f)),
        value => with_text(value, f),
    }
}

impl FieldTest {
    fn holds(&self, value: &Value<'_>, view: &EventView<'_>) -> bool {
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
                to_lower(text)
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
