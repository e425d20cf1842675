//! Exact statistics of lengths of time.

/// Lengths of time, ascending once finished.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Times(Vec<f64>);

/// How many values lie in each of several equally wide ranges.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    /// Where the first range begins.
    pub(crate) from: f64,
    /// Zero where all values are the same.
    pub(crate) width: f64,
    pub(crate) counts: Vec<i64>,
}

impl Times {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// To be called once all values are there.
    pub(crate) fn finish(&mut self) {
        self.0.sort_unstable_by(f64::total_cmp);
    }

    /// The value below which `fraction` of the times lie, between neighbours in proportion.
    pub(crate) fn percentile(&self, fraction: f64) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        let place = fraction * as_float(last);
        let below = whole(place).min(last);
        let (low, high) = (self.0[below], self.0[(below + 1).min(last)]);
        Some(low + (high - low) * (place - place.floor()))
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.0.first().copied()
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / as_float(self.0.len()))
    }

    /// The cube root of the number of values, rounded up, is the number of ranges; 60 at most.
    pub(crate) fn histogram(&self) -> Option<Histogram> {
        let (from, to) = (self.min()?, self.max()?);
        let ranges = (1..60)
            .find(|ranges: &usize| ranges.pow(3) >= self.0.len())
            .unwrap_or(60);
        let width = (to - from) / as_float(ranges);
        if width <= 0.0 {
            let counts = vec![i64::try_from(self.0.len()).unwrap_or(i64::MAX)];
            return Some(Histogram {
                from,
                width: 0.0,
                counts,
            });
        }
        let mut counts = vec![0; ranges];
        for value in &self.0 {
            counts[whole((value - from) / width).min(ranges - 1)] += 1;
        }
        Some(Histogram {
            from,
            width,
            counts,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "fewer than 2^53 times fit into memory"
)]
fn as_float(number: usize) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among values is not negative and fits"
)]
fn whole(place: f64) -> usize {
    place.floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[f64]) -> Times {
        let mut times = Times(values.to_vec());
        times.finish();
        times
    }

    #[test]
    fn a_histogram_has_the_cube_root_of_the_values_as_ranges_and_holds_all_of_them() {
        let nine: Vec<f64> = (0..9).map(f64::from).collect();
        let histogram = times(&nine).histogram().unwrap();
        assert_eq!(histogram.counts, [3, 3, 3]);
        assert!((histogram.width - 8.0 / 3.0).abs() < 1e-12);
        assert_eq!(times(&[5.0; 9]).histogram().unwrap().counts, [9]);
        assert_eq!(times(&[]).histogram(), None);
        let many: Vec<f64> = (0..300_000).map(f64::from).collect();
        let histogram = times(&many).histogram().unwrap();
        assert_eq!(histogram.counts.len(), 60);
        assert_eq!(histogram.counts.iter().sum::<i64>(), 300_000);
    }

    #[test]
    fn percentiles_lie_between_neighbours_in_proportion() {
        let times = times(&[40.0, 10.0, 30.0, 20.0]);
        assert_eq!(times.percentile(0.5), Some(25.0));
        assert_eq!(times.percentile(1.0), Some(40.0));
        assert_eq!(
            (times.min(), times.mean(), times.max()),
            (Some(10.0), Some(25.0), Some(40.0))
        );
    }
}
