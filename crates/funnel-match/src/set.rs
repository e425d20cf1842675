//! Mode `set`: which steps a key has at all.

use crate::Row;
use crate::spec::Shape;
use crate::ties::bits;

/// The steps that some row satisfies, as far as no step is missing.
pub(crate) fn level(shape: Shape, rows: &[Row]) -> usize {
    let mut union = 0;
    for row in rows {
        union |= row.mask & shape.all;
        if union == shape.all {
            break;
        }
    }
    union.trailing_ones() as usize
}

/// The level, and the first row of each of its steps.
pub(crate) fn chain(shape: Shape, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
    let level = level(shape, rows);
    chain.resize(level, None);
    let mut reached = 0;
    for (position, row) in rows.iter().enumerate() {
        for step in bits(row.mask & !reached).take_while(|step| *step < level) {
            chain[step] = Some(position);
        }
        reached |= row.mask;
    }
    level
}
