//! What must be the same before and after: how many rows, and which.

use arrow::array::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};

use crate::error::{LakeError, Result};

/// An odd number without pattern, so that the same value in another column makes another row.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// Number of rows and the sum of their hashes, which does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) rows: u64,
    hashes: u128,
}

impl Totals {
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut rows = vec![0_u64; batch.num_rows()];
        let mut column_hashes = vec![0_u64; batch.num_rows()];
        for (seed, column) in (0_u64..).zip(batch.columns()) {
            column_hashes.fill(0);
            create_hashes([column], &RandomState::with_seed(seed), &mut column_hashes)
                .map_err(|e| LakeError::internal("rows cannot be compared").with_source(e))?;
            for (row, hash) in rows.iter_mut().zip(&column_hashes) {
                *row = row.wrapping_mul(MIX).wrapping_add(*hash);
            }
        }
        self.rows += rows.len() as u64;
        for hash in rows {
            self.hashes = self.hashes.wrapping_add(u128::from(hash));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn totals(batches: &[[&[Option<&str>]; 2]]) -> Totals {
        let mut totals = Totals::default();
        for columns in batches {
            let column =
                |at: usize| -> ArrayRef { Arc::new(StringArray::from(columns[at].to_vec())) };
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("a", column(0), true),
                ("b", column(1), true),
            ]);
            totals.add(&batch.unwrap()).unwrap();
        }
        totals
    }

    #[test]
    fn order_and_batches_do_not_matter_and_every_value_does() {
        let (x, y, none) = (Some("x"), Some("y"), None);
        let rows = totals(&[[&[x, y, none], &[y, x, none]]]);
        assert_eq!(rows, totals(&[[&[none, y], &[none, x]], [&[x], &[y]]]));
        assert_ne!(rows, totals(&[[&[x, y, x], &[y, x, none]]]));
        assert_ne!(
            rows,
            totals(&[[&[x, x, none], &[y, y, none]]]),
            "values of other rows"
        );
        let pair = totals(&[[&[x], &[none]]]);
        assert_ne!(pair, totals(&[[&[none], &[x]]]), "the other column");
        assert_ne!(pair, totals(&[[&[x, x], &[none, none]]]), "twice");
    }
}
