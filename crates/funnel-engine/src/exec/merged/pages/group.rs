//! A row group: the columns of a funnel, from pages to pieces.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::parquet::file::metadata::RowGroupMetaData;

use super::super::order::Order;
use super::super::piece::Piece;
use super::bits::broken;
use super::column::{Column, Ids, Ticks};
use super::{Needed, Place};
use crate::exec::FunnelParts;
use crate::exec::keys::starts;
use crate::udaf::{StepsOf, Ticked};

/// Rows of a piece: enough that what is done once for a piece does not count.
const PIECE_ROWS: usize = 16 * 1024;

/// A column of texts: which of its values each row has.
struct Texts {
    column: Column<Ids>,
    /// The values, then a null.
    values: ArrayRef,
    /// The numbers of the rows at hand.
    ids: UInt32Array,
    /// Have the rows at hand different values?
    differ: bool,
    /// Has one of them none?
    has_null: bool,
}

impl Texts {
    fn new(mut column: Column<Ids>, data_type: &DataType) -> Result<Self> {
        Ok(Self {
            values: column.dictionary(data_type)?,
            column,
            ids: UInt32Array::from(Vec::<u32>::new()),
            differ: false,
            has_null: false,
        })
    }

    fn read(&mut self, rows: usize) -> Result<()> {
        let null = (self.values.len() - 1) as u32; // A page has fewer than 2^32 values.
        let mut ids = vec![null; rows];
        let there = self.column.read(&mut ids, null)?;
        let nulls = there.map_or(0, |there| there.null_count());
        // Both have fewer than 32 bits: signed numbers are compared faster.
        let (null, first) = (null.cast_signed(), ids.first().copied().unwrap_or_default());
        let (mut beyond, mut differ) = (0, false);
        for id in &ids {
            beyond += u32::from(id.cast_signed() >= null);
            differ |= *id != first;
        }
        if beyond as usize != nulls {
            return Err(broken("its dictionary has fewer values"));
        }
        self.has_null = nulls > 0;
        self.differ = differ;
        self.ids = UInt32Array::from(ids);
        Ok(())
    }
}

/// A column of times.
struct Times {
    column: Column<Ticks>,
    at_hand: Ticked,
}

impl Times {
    fn read(&mut self, rows: usize) -> Result<()> {
        let mut ticks = vec![0; rows];
        let there = self.column.read(&mut ticks, 0)?;
        self.at_hand = Ticked {
            ticks: ScalarBuffer::from(ticks),
            there,
        };
        Ok(())
    }
}

pub(super) struct Group<'a> {
    needed: &'a Needed,
    texts: Vec<Texts>,
    times: Vec<Times>,
    /// Of each call, the steps of each value of its column.
    steps: Vec<StepsOf>,
    /// Rows that were not read yet.
    left: usize,
}

impl<'a> Group<'a> {
    /// `chunks`: the bytes of the columns of `needed`, which lie at `places`.
    pub(super) fn new(
        needed: &'a Needed,
        parts: &FunnelParts,
        group: &RowGroupMetaData,
        places: &[Place],
        chunks: Vec<Bytes>,
    ) -> Result<Self> {
        let rows = usize::try_from(group.num_rows())
            .map_err(|_| broken("its row group has less than no rows"))?;
        let (mut texts, mut times) = (Vec::new(), Vec::new());
        for ((place, bytes), column) in places.iter().zip(chunks).zip(&needed.columns) {
            let chunk = group.column(place.0);
            match &column.data_type {
                text @ (DataType::Utf8View | DataType::BinaryView) => {
                    texts.push(Texts::new(Column::new(bytes, chunk, rows)?, text)?);
                }
                _ => times.push(Times {
                    column: Column::new(bytes, chunk, rows)?,
                    at_hand: Ticked::default(),
                }),
            }
        }
        let steps = parts.calls.iter().zip(&needed.calls);
        let steps = steps.map(|(call, of)| call.steps_of(&texts[of.steps].values));
        Ok(Self {
            steps: steps.collect::<Result<_>>()?,
            needed,
            texts,
            times,
            left: rows,
        })
    }

    /// The next rows; none if there are none.
    pub(super) fn next(
        &mut self,
        parts: &FunnelParts,
        order: &Order,
        before: &mut Option<Vec<u8>>,
    ) -> Result<Option<Piece>> {
        let rows = PIECE_ROWS.min(self.left);
        if rows == 0 {
            return Ok(None);
        }
        self.left -= rows;
        self.texts
            .iter_mut()
            .try_for_each(|column| column.read(rows))?;
        self.times
            .iter_mut()
            .try_for_each(|column| column.read(rows))?;
        let mut offsets = self.starts()?;
        let keys = self.keys(&offsets)?;
        offsets.push(rows);
        let calls = parts.calls.iter().zip(&self.needed.calls).zip(&self.steps);
        let calls = calls.map(|((call, of), steps)| {
            let (times, texts) = (&self.times[of.time].at_hand, &self.texts[of.steps]);
            let batch = call.read_ids(times, steps, texts.ids.values(), texts.has_null);
            batch.into_piece(&offsets)
        });
        let calls = calls.collect();
        Ok(Some(Piece::new(&keys, order, before, calls)?))
    }

    /// The first row of each run of equal keys.
    fn starts(&self) -> Result<Vec<usize>> {
        let keys = self.needed.keys.iter().map(|key| &self.texts[*key]);
        let keys = keys.filter(|key| key.differ);
        let keys: Vec<ArrayRef> = keys.map(|key| Arc::new(key.ids.clone()) as _).collect();
        match keys.is_empty() {
            true => Ok(vec![0]),
            false => starts(&keys),
        }
    }

    /// The keys of the rows at `starts`.
    fn keys(&self, starts: &[usize]) -> Result<Vec<ArrayRef>> {
        let of_starts = |key: &usize| {
            let column = &self.texts[*key];
            let ids = starts.iter().map(|row| column.ids.value(*row));
            let ids = UInt32Array::from_iter_values(ids);
            Ok(take(column.values.as_ref(), &ids, None)?)
        };
        self.needed.keys.iter().map(of_starts).collect()
    }
}
