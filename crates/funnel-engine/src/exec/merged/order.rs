//! Keys as bytes that compare as the streams are sorted.

use datafusion::arrow::array::{ArrayRef, BinaryArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::LexOrdering;

use crate::exec::FunnelParts;
use crate::exec::keys::as_view;

/// The order of the keys.
#[derive(Debug)]
pub(super) struct Order {
    converter: RowConverter,
    /// Which of the group keys is sorted by first, which then.
    keys: Vec<usize>,
    parts: FunnelParts,
}

impl Order {
    /// `ordering`: the group keys in some order, then time.
    pub(super) fn new(parts: &FunnelParts, ordering: &LexOrdering) -> Result<Self> {
        let (mut keys, mut fields) = (Vec::new(), Vec::new());
        for by in ordering.iter().take(parts.group.len()) {
            let Some(key) = parts.group.iter().position(|(expr, _)| expr.eq(&by.expr)) else {
                return internal_err!("a funnel is sorted by what is no key of it");
            };
            let data_type = as_view(parts.schema.field(key).data_type());
            fields.push(SortField::new_with_options(data_type, by.options));
            keys.push(key);
        }
        Ok(Self {
            converter: RowConverter::new(fields)?,
            keys,
            parts: parts.clone(),
        })
    }

    /// The group key that is sorted by first.
    pub(super) fn first(&self) -> Option<usize> {
        self.keys.first().copied()
    }

    /// The bytes of each row of the group keys.
    pub(super) fn encode(&self, keys: &[ArrayRef]) -> Result<Rows> {
        let columns = self.keys.iter().map(|key| {
            let data_type = as_view(self.parts.schema.field(*key).data_type());
            Ok(cast(&keys[*key], &data_type)?)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// The group keys that bytes were made of.
    pub(super) fn decode(&self, bytes: BinaryArray) -> Result<Vec<ArrayRef>> {
        let rows = self.converter.from_binary(bytes);
        let sorted = self.converter.convert_rows(rows.iter())?;
        let mut columns = sorted.clone();
        for (column, key) in sorted.iter().zip(&self.keys) {
            columns[*key] = cast(column, self.parts.schema.field(*key).data_type())?;
        }
        Ok(columns)
    }
}
