//! Exact statistics of lengths of time.

/// Lengths of time, ascending once finished.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Times(Vec<f64>);

/// How many values lie in each of several ranges.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    /// Where each range begins, and where the last one ends.
    pub(crate) edges: Vec<f64>,
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

    /// The cube root of the number of values, rounded up, is the number of ranges; 60 at most. They are
    /// equally wide on the scale of `ln(1 + t)`: seconds and days can stand in one picture, and zero, too.
    pub(crate) fn histogram(&self) -> Option<Histogram> {
        let (from, to) = (self.min()?, self.max()?);
        let ranges = (1..60)
            .find(|ranges: &usize| ranges.pow(3) >= self.0.len())
            .unwrap_or(60);
        let (low, high) = (from.ln_1p(), to.ln_1p());
        let width = (high - low) / as_float(ranges);
        if width <= 0.0 {
            return Some(Histogram {
                edges: vec![from, to],
                counts: vec![i64::try_from(self.0.len()).unwrap_or(i64::MAX)],
            });
        }
        let edge = |range: usize| match range {
            0 => from,
            last if last == ranges => to,
            range => (low + width * as_float(range)).exp_m1(),
        };
        let edges: Vec<f64> = (0..=ranges).map(edge).collect();
        let mut counts = vec![0; ranges];
        let mut range = 0;
        for value in &self.0 {
            while range + 1 < ranges && *value >= edges[range + 1] {
                range += 1;
            }
            counts[range] += 1;
        }
        Some(Histogram { edges, counts })
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
        // 1 + t grows by the cube root of 9 from edge to edge.
        for (edge, wanted) in histogram.edges.iter().zip([0.0, 1.080_084, 3.326_749, 8.0]) {
            assert!((edge - wanted).abs() < 1e-6, "{:?}", histogram.edges);
        }
        assert_eq!(histogram.counts, [2, 2, 5]);
        let same = times(&[5.0; 9]).histogram().unwrap();
        assert_eq!((same.edges, same.counts), (vec![5.0, 5.0], vec![9]));
        assert_eq!(times(&[]).histogram(), None);
        let many: Vec<f64> = (0..300_000).map(f64::from).collect();
        let histogram = times(&many).histogram().unwrap();
        assert_eq!((histogram.counts.len(), histogram.edges.len()), (60, 61));
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
