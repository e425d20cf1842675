//! Rates, and how far chance alone may have moved them.

/// The normal quantile that leaves 2.5 % on either side.
const Z: f64 = 1.959_963_984_540_054;

/// `part` of `whole`; of nobody there is no rate.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Between which bounds the true value lies with a confidence of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Wilson's score interval of a rate: it stays within 0 and 1, and holds for few cases and for rates near
/// either end. What exceeds its whole is no proportion and has none.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn wilson(part: i64, whole: i64) -> Option<Interval> {
    if !(0..=whole).contains(&part) {
        return None;
    }
    let (rate, n) = (rate(part, whole)?, whole as f64);
    let shrink = 1.0 + Z * Z / n;
    let center = (rate + Z * Z / (2.0 * n)) / shrink;
    let half = Z / shrink * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At the ends the bound is the end itself, whatever was rounded on the way.
    Some(Interval {
        low: if part == 0 { 0.0 } else { center - half },
        high: if part == whole { 1.0 } else { center + half },
    })
}

/// The bounds of the difference of two rates that were seen apart, each as part and whole: Newcombe's,
/// made of the bounds of either.
pub(super) fn difference(now: (i64, i64), then: (i64, i64)) -> Option<Interval> {
    let (new, old) = (wilson(now.0, now.1)?, wilson(then.0, then.1)?);
    let (rate, past) = (rate(now.0, now.1)?, rate(then.0, then.1)?);
    Some(Interval {
        low: rate - past - (rate - new.low).hypot(old.high - past),
        high: rate - past + (new.high - rate).hypot(past - old.low),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
    #[test]
    fn intervals_are_the_published_ones() {
        for (part, whole, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(part, whole).unwrap();
            assert!((found.low - low).abs() < 5e-5, "{part}/{whole}: {found:?}");
            assert!(
                (found.high - high).abs() < 5e-5,
                "{part}/{whole}: {found:?}"
            );
        }
    }

    /// Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10.
    #[test]
    fn intervals_of_differences_are_the_published_ones() {
        for (now, then, low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((6, 7), (2, 7), 0.0582, 0.8062),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((0, 10), (0, 20), -0.1611, 0.2775),
            ((0, 10), (0, 10), -0.2775, 0.2775),
            ((10, 10), (0, 20), 0.6791, 1.0),
            ((10, 10), (0, 10), 0.6075, 1.0),
        ] {
            let found = difference(now, then).unwrap();
            assert!(
                (found.low - low).abs() < 5e-5,
                "{now:?} {then:?}: {found:?}"
            );
            assert!(
                (found.high - high).abs() < 5e-5,
                "{now:?} {then:?}: {found:?}"
            );
        }
    }

    /// What Wilson's bounds are: the rates from which the one seen lies just `Z` standard errors away. Found by
    /// bisection, without the closed form.
    #[test]
    fn bounds_are_where_the_score_test_turns() {
        let far = |true_rate: f64, seen: f64, n: f64| {
            (seen - true_rate).abs() > Z * (true_rate * (1.0 - true_rate) / n).sqrt()
        };
        let turn = |mut inside: f64, mut outside: f64, seen: f64, n: f64| {
            for _ in 0..200 {
                let middle = f64::midpoint(inside, outside);
                let moved = if far(middle, seen, n) {
                    &mut outside
                } else {
                    &mut inside
                };
                *moved = middle;
            }
            inside
        };
        for whole in [1, 2, 7, 30, 1_000, 123_457] {
            for part in [0, 1, whole / 3, whole - 1, whole] {
                let (seen, n) = (f64::from(part) / f64::from(whole), f64::from(whole));
                let found = wilson(part.into(), whole.into()).unwrap();
                let (low, high) = (turn(seen, 0.0, seen, n), turn(seen, 1.0, seen, n));
                assert!((found.low - low).abs() < 1e-9, "{part}/{whole}: {found:?}");
                assert!(
                    (found.high - high).abs() < 1e-9,
                    "{part}/{whole}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_proportion_has_no_interval() {
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(3, 2), None);
        assert_eq!(rate(3, 2), Some(1.5));
        assert_eq!(rate(0, 0), None);
    }
}
