//! Times of all sources to microseconds since 1970.

use crate::json::{Kind, Value, integer};

/// Why a value is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeError {
    /// Neither text nor number.
    Type,
    Format,
    /// An integer beyond 64 bits.
    Range,
    /// Before 1970.
    TooOld,
    /// From 2200 on.
    Future,
}

/// 2200-01-01T00:00:00Z in milliseconds.
const END_MS: i64 = 7_258_118_400_000;

/// Milliseconds since 1970 as number or text, or ISO 8601 with an offset.
pub(crate) fn read_time(value: Value<'_, '_>) -> Result<i64, TimeError> {
    match value.kind() {
        Kind::Number => number_time(value.text()),
        Kind::String => text_time(value.text()),
        _ => Err(TimeError::Type),
    }
}

/// Whether a text is an ISO time.
pub(crate) fn is_time(text: &str) -> bool {
    iso_time(text.as_bytes()).is_some()
}

fn number_time(text: &str) -> Result<i64, TimeError> {
    match integer(text) {
        Some(ms) => checked(ms).map(|ms| ms * 1000),
        // The digits tell a fraction of a millisecond from a number that is too large.
        None if text.contains(['.', '-']) => Err(TimeError::Format),
        None => Err(TimeError::Range),
    }
}

fn checked(ms: i64) -> Result<i64, TimeError> {
    if ms < 0 {
        Err(TimeError::TooOld)
    } else if ms >= END_MS {
        Err(TimeError::Future)
    } else {
        Ok(ms)
    }
}

fn text_time(text: &str) -> Result<i64, TimeError> {
    if !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number_time(text);
    }
    let us = iso_time(text.as_bytes()).ok_or(TimeError::Format)?;
    checked(us.div_euclid(1000)).map(|_| us)
}

/// `2017-02-27T06:24:15.424-05:00`, also with a space for the T, with `+0000` or `+00`, and with Z.
/// A time without an offset is refused: it could be any of 27 hours.
fn iso_time(text: &[u8]) -> Option<i64> {
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        digits.iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    let shape = is(4, b'-')
        && is(7, b'-')
        && (is(10, b'T') || is(10, b' '))
        && is(13, b':')
        && is(16, b':');
    if !shape {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    // A leap second is read as the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    let days = i64::from(date.to_epoch_days());
    let (fraction_us, rest) = fraction(text.get(19..)?)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset(rest)?;
    Some(seconds * 1_000_000 + fraction_us)
}

/// Up to nine digits after the point, cut to microseconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let us = (0..6).fold(0, |us, place| {
        let digit = rest
            .get(place)
            .filter(|_| place < len)
            .map_or(0, |byte| i64::from(byte - b'0'));
        us * 10 + digit
    });
    Some((us, rest.get(len..)?))
}

/// Seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    let digits: Vec<i64> = match digits {
        [h1, h2] => vec![*h1, *h2, b'0', b'0'],
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => vec![*h1, *h2, *m1, *m2],
        _ => return None,
    }
    .into_iter()
    .map(|byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0')))
    .collect::<Option<_>>()?;
    let [h1, h2, m1, m2] = digits[..] else {
        return None;
    };
    let (hours, minutes) = (h1 * 10 + h2, m1 * 10 + m2);
    (hours <= 14 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> Result<i64, TimeError> {
        text_time(text)
    }

    #[test]
    fn every_spelling_of_one_instant_is_that_instant() {
        let spellings = [
            "2024-03-04T09:00:44.011-05:00",
            "2024-03-04T14:00:44.011Z",
            "2024-03-04 14:00:44.011+0000",
            "2024-03-04T14:00:44.011000999+00",
            "1709560844011",
        ];
        for text in spellings {
            assert_eq!(us(text), Ok(1_709_560_844_011_000), "{text}");
        }
    }

    #[test]
    fn text_without_an_offset_or_with_an_impossible_part_is_no_time() {
        let texts = [
            "2024-03-04T09:00:44.011",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-03-04T24:00:00Z",
            "2024-03-04T09:00:44.Z",
            "2024-03-04T09:00:44+15:00",
            "2024-03-04",
            "yesterday",
            "",
        ];
        for text in texts {
            assert_eq!(us(text), Err(TimeError::Format), "{text}");
        }
    }

    #[test]
    fn the_years_one_and_9999_are_refused() {
        assert_eq!(us("0001-01-01T00:00:00Z"), Err(TimeError::TooOld));
        assert_eq!(us("9999-12-31T23:59:59Z"), Err(TimeError::Future));
        assert_eq!(number_time("-1"), Err(TimeError::TooOld));
        assert_eq!(number_time("7258118400000"), Err(TimeError::Future));
        assert_eq!(number_time("7258118399999"), Ok(7_258_118_399_999_000));
        assert_eq!(number_time("92233720368547758080"), Err(TimeError::Range));
    }

    #[test]
    fn a_leap_second_is_the_next_minute() {
        assert_eq!(us("2016-12-31T23:59:60Z"), us("2017-01-01T00:00:00Z"));
    }
}
