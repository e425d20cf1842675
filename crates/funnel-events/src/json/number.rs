//! Exact reading of decimal text: ids to integers, money to fixed point. No float is involved.

/// A decimal number: `digits × 10^exponent`.
struct Decimal {
    negative: bool,
    digits: i128,
    exponent: i32,
}

/// Reads `-12.50e3`. None when it is no number or has more digits than any of our columns.
fn read(text: &str) -> Option<Decimal> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at)?, rest.get(at + 1..)?.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || (mantissa.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits
            .checked_mul(10)?
            .checked_add(i128::from(byte - b'0'))?;
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    Some(Decimal {
        negative,
        digits,
        exponent,
    })
}

/// The number as a whole number of `10^-scale`, rounded half away from zero when `round` allows it.
fn scaled(text: &str, scale: i32, round: bool) -> Option<i128> {
    let Decimal {
        negative,
        mut digits,
        exponent,
    } = read(text)?;
    if digits == 0 {
        return Some(0);
    }
    let shift = exponent.checked_add(scale)?;
    if shift >= 0 {
        digits = digits.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?;
    } else {
        let divisor = 10_i128.checked_pow(shift.unsigned_abs());
        let Some(divisor) = divisor else {
            return round.then_some(0);
        };
        let rest = digits % divisor;
        if rest != 0 && !round {
            return None;
        }
        digits /= divisor;
        if rest >= divisor - rest {
            digits += 1;
        }
    }
    Some(if negative { -digits } else { digits })
}

/// The integer that a decimal text stands for: `7`, `7.0`, `70e-1`; None for `7.5` and beyond 64
/// bits.
pub(crate) fn integer(text: &str) -> Option<i64> {
    // Nearly all ids are plain digits.
    if text.len() <= 18 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(
            text.bytes()
                .fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')),
        );
    }
    i64::try_from(scaled(text, 0, false)?).ok()
}

/// The amount in units of `10^-scale`, rounded; None when it does not fit `precision` digits.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let amount = scaled(text, i32::from(scale), true)?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (amount.abs() < limit).then_some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_beyond_the_floats() {
        assert_eq!(integer("582133474295386119"), Some(582_133_474_295_386_119));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("1e400"), None);
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for text in [
            "4295386119",
            "4295386119.0",
            "4295386119.000",
            "42953861190e-1",
            "4.295386119E9",
        ] {
            assert_eq!(integer(text), Some(4_295_386_119), "{text}");
        }
        for text in ["4295386119.5", "1e-1", "", "-", "12a", "1.", "0x10", " 1"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    #[test]
    fn money_keeps_four_places_and_rounds_the_rest() {
        assert_eq!(decimal("64.5", 18, 4), Some(645_000));
        assert_eq!(decimal("150", 18, 4), Some(1_500_000));
        assert_eq!(decimal("0.00005", 18, 4), Some(1));
        assert_eq!(decimal("-0.00004", 18, 4), Some(0));
        assert_eq!(decimal("1e14", 18, 4), None);
        assert_eq!(
            decimal("99999999999999.9999", 18, 4),
            Some(999_999_999_999_999_999)
        );
    }
}
