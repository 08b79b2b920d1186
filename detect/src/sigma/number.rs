//! Exact comparison of numbers: `i64` values, or decimal text of any length. No floats.

use std::cmp::Ordering;

use weir_schema::Value;

/// A number in a rule.
#[derive(Clone, Debug)]
pub(crate) enum Number {
    Int(i64),
    Decimal(Box<str>),
}

impl Number {
    /// Reads `-12`, `1.50`, `2e3`. `None` if the text is not a number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(n) = text.parse() {
            return Some(Self::Int(n));
        }
        Decimal::parse(text).map(|_| Self::Decimal(text.into()))
    }

    /// Compares the event's value with this number. `None` if the value is not a number.
    pub(crate) fn compare(&self, value: &Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::Int(value), Self::Int(bound)) => Some(value.cmp(bound)),
            (Value::Int(value), Self::Decimal(bound)) => {
                compare_texts(IntText::new(*value).as_str(), bound)
            }
            (Value::Number(text) | Value::Text(text), Self::Decimal(bound)) => {
                compare_texts(text, bound)
            }
            (Value::Number(text) | Value::Text(text), Self::Int(bound)) => {
                match text.parse::<i64>() {
                    Ok(value) => Some(value.cmp(bound)),
                    Err(_) => compare_texts(text, IntText::new(*bound).as_str()),
                }
            }
            // Booleans, lists and null are not numbers.
            (Value::Null | Value::Bool(_) | Value::List(_), _) => None,
        }
    }
}

/// The text of an `i64`, without a heap allocation.
pub(crate) struct IntText {
    bytes: [u8; 20],
    start: usize,
}

impl IntText {
    pub(crate) fn new(value: i64) -> Self {
        let (mut bytes, mut start, mut rest) = ([0; 20], 20, value.unsigned_abs());
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1; // At most 19 digits, so there is room for the sign.
            bytes[start] = b'-';
        }
        Self { bytes, start }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.start..]).unwrap_or_default()
    }
}

fn compare_texts(a: &str, b: &str) -> Option<Ordering> {
    Some(Decimal::parse(a)?.compare(&Decimal::parse(b)?))
}

/// A number as `0.d1 d2 d3 ... * 10^magnitude`, d1 not zero. Zero has no digits.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    magnitude: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            // With nine digits no sum of exponents can overflow.
            Some((digits, exponent)) if exponent.len() <= 10 => (digits, exponent.parse().ok()?),
            Some(_) => return None,
            None => (rest, 0i64),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').as_bytes();
        let mut magnitude = whole.len() as i64 + exponent;
        let mut fraction = fraction.trim_end_matches('0');
        if whole.is_empty() {
            let significant = fraction.trim_start_matches('0');
            magnitude -= (fraction.len() - significant.len()) as i64;
            fraction = significant;
        }
        Some(Self {
            negative,
            whole,
            fraction: fraction.as_bytes(),
            magnitude,
        })
    }

    fn sign(&self) -> i8 {
        match (
            self.whole.is_empty() && self.fraction.is_empty(),
            self.negative,
        ) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = self.sign();
        let by_sign = sign.cmp(&other.sign());
        if sign == 0 || by_sign != Ordering::Equal {
            return by_sign;
        }
        let by_size = self
            .magnitude
            .cmp(&other.magnitude)
            .then_with(|| self.compare_digits(other));
        if sign < 0 { by_size.reverse() } else { by_size }
    }

    fn compare_digits(&self, other: &Self) -> Ordering {
        let digit = |number: &Self, at: usize| {
            let fraction = at.checked_sub(number.whole.len());
            let found = match fraction {
                None => number.whole.get(at),
                Some(at) => number.fraction.get(at),
            };
            found.copied().unwrap_or(b'0')
        };
        let length = |number: &Self| number.whole.len() + number.fraction.len();
        (0..length(self).max(length(other)))
            .map(|at| digit(self, at).cmp(&digit(other, at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_compare_exactly() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            ("1", "1.0", Some(Equal)),
            ("0", "-0.000", Some(Equal)),
            ("1e3", "1000", Some(Equal)),
            ("0.0010", "1e-3", Some(Equal)),
            ("9007199254740993", "9007199254740992", Some(Greater)),
            ("-2", "-10", Some(Greater)),
            ("0.09", "0.1", Some(Less)),
            ("1.25", "1.3", Some(Less)),
            ("99999999999999999999", "1e20", Some(Less)),
            ("1e999999999", "1", Some(Greater)),
            ("", "1", None),
            (".", "1", None),
            ("1e9999999999999", "1", None),
            ("0x10", "1", None),
        ] {
            assert_eq!(compare_texts(a, b), expected, "{a:?} against {b:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_compare_as_their_texts(a: i64, b: i64) {
            prop_assert_eq!(compare_texts(&a.to_string(), &b.to_string()), Some(a.cmp(&b)));
            let text = IntText::new(a);
            prop_assert_eq!(text.as_str(), a.to_string());
        }

        #[test]
        fn compare_never_panics(a in ".{0,20}", b in "[-+0-9.eE]{0,12}") {
            let _ = compare_texts(&a, &b);
        }
    }
}
