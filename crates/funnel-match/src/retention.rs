//! Which conditions are met by the keys that meet the first one, whatever the order.

/// Most conditions, as in ClickHouse's `retention`.
pub const RETENTION_CONDITIONS_MAX: usize = 32;

/// ClickHouse's `retention(c1, …)` from the conditions that any row of the key meets (bit 0 is the
/// first): bit 0 as it is, every other one only together with bit 0. The union of masks is all that
/// must be kept of the rows.
#[must_use]
pub const fn retention(met: u32) -> u32 {
    if met & 1 == 1 { met } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_count_only_together_with_the_first() {
        assert_eq!(retention(0b1011), 0b1011);
        assert_eq!(retention(0b1010), 0);
        assert_eq!(retention(0b0001), 0b0001);
        assert_eq!(retention(0), 0);
    }
}
