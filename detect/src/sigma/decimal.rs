//! Parses text into the exact decimals that correlations compute with.

use weir_schema::Decimal;

/// Reads `-12`, `1.50`, `2e3` without rounding.
///
/// `None` if the text is not a number, exceeds [`Decimal::MAX`], or has more than nine decimals.
pub(crate) fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let part = part.trim_end_matches('0');
    let mut units: i128 = 0;
    for digit in whole.bytes().chain(part.bytes()) {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        units = units.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    // `units` has as many decimals as `part` has digits; the result has nine.
    let shift = i32::try_from(part.len()).ok()?;
    let shift = exponent.checked_sub(shift)?.checked_add(9)?;
    let power = 10i128.checked_pow(shift.unsigned_abs());
    let units = match (units, power) {
        (0, _) => 0,
        (units, Some(power)) if shift >= 0 => units.checked_mul(power)?,
        (units, Some(power)) if units % power == 0 => units / power,
        _ => return None, // Too large, or too many decimals.
    };
    (units <= Decimal::MAX).then_some(Decimal(if is_negative { -units } else { units }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_decimals_exactly_or_not_at_all() {
        for (text, units) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1.5", Some(1_500_000_000)),
            ("-2e3", Some(-2_000_000_000_000)),
            ("1.000000001", Some(1_000_000_001)),
            ("1.0000000010", Some(1_000_000_001)),
            ("1.0000000001", None),
            ("10e-10", Some(1)),
            (".5", Some(500_000_000)),
            ("100000000000000000", Some(Decimal::MAX)),
            ("100000000000000001", None),
            ("1e999999999", None),
            ("0e999999999", Some(0)),
            ("12 apples", None),
            ("0x10", None),
            ("", None),
            (".", None),
            ("--1", None),
        ] {
            assert_eq!(parse_decimal(text).map(|found| found.0), units, "{text}");
        }
    }
}
