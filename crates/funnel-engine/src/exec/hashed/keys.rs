//! Key columns as byte strings, and back.

use datafusion::arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryViewBuilder, StringViewArray,
    StringViewBuilder, make_array,
};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_datafusion_err};

use super::spill::Bytes;
use super::table::Table;
use crate::exec::keys::as_view;

/// How the keys of a `GROUP BY` become bytes.
#[derive(Debug)]
pub(super) enum Codec {
    /// One column of text: its own bytes.
    Text(DataType),
    /// One column of bytes.
    Binary(DataType),
    /// One column of numbers or times, of so many bytes each.
    Fixed(DataType, usize),
    /// Everything else.
    Rows(RowConverter, Vec<DataType>),
}

/// The keys of a batch.
#[derive(Debug)]
pub(super) enum Encoded {
    Text(StringViewArray),
    Binary(datafusion::arrow::array::BinaryViewArray),
    Fixed {
        values: Buffer,
        width: usize,
        nulls: Option<NullBuffer>,
    },
    Rows(Rows),
}

impl Codec {
    /// For the first `keys` columns of `schema`.
    pub(super) fn new(schema: &SchemaRef, keys: usize) -> Result<Self> {
        let types: Vec<DataType> = schema.fields()[..keys]
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        if let [one] = types.as_slice()
            && (one.is_integer() || one.is_temporal())
            && let Some(width) = one.primitive_width()
        {
            return Ok(Self::Fixed(one.clone(), width));
        }
        Ok(match types.as_slice() {
            [one] if one.is_string() => Self::Text(one.clone()),
            [one] if one.is_binary() && !matches!(one, DataType::FixedSizeBinary(_)) => {
                Self::Binary(one.clone())
            }
            _ => {
                let fields = types
                    .iter()
                    .map(|key| SortField::new(as_view(key)))
                    .collect();
                Self::Rows(RowConverter::new(fields)?, types)
            }
        })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        Ok(match (self, columns) {
            (Self::Text(_), [column]) => {
                Encoded::Text(cast(column, &DataType::Utf8View)?.as_string_view().clone())
            }
            (Self::Binary(_), [column]) => Encoded::Binary(
                cast(column, &DataType::BinaryView)?
                    .as_binary_view()
                    .clone(),
            ),
            (Self::Fixed(_, width), [column]) => {
                let data = column.to_data();
                let values = data.buffers().first();
                let values = values.ok_or_else(|| exec_datafusion_err!("a key has no values"))?;
                Encoded::Fixed {
                    values: values.slice_with_length(data.offset() * width, data.len() * width),
                    width: *width,
                    nulls: column
                        .nulls()
                        .filter(|nulls| nulls.null_count() > 0)
                        .cloned(),
                }
            }
            (Self::Rows(converter, types), columns) => {
                let columns = columns.iter().zip(types);
                let columns = columns.map(|(column, key)| Ok(cast(column, &as_view(key))?));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                Encoded::Rows(converter.convert_columns(&columns)?)
            }
            _ => return Err(exec_datafusion_err!("a funnel by one key has several")),
        })
    }

    /// The keys of `table`, in the order of their numbers.
    pub(super) fn decode(&self, table: &Table) -> Result<Vec<ArrayRef>> {
        let keys = (0..table.keys().len()).map(|number| number as u32); // Counted in 32 bits.
        let keys =
            keys.map(|number| (table.null() != Some(number)).then(|| table.keys().get(number)));
        match self {
            Self::Text(data_type) => {
                let mut texts = StringViewBuilder::with_capacity(table.len());
                for key in keys {
                    let text = key.map(std::str::from_utf8).transpose();
                    texts.append_option(text.map_err(|error| exec_datafusion_err!("{error}"))?);
                }
                Ok(vec![cast(&texts.finish(), data_type)?])
            }
            Self::Binary(data_type) => {
                let mut bytes = BinaryViewBuilder::with_capacity(table.len());
                keys.for_each(|key| bytes.append_option(key));
                Ok(vec![cast(&bytes.finish(), data_type)?])
            }
            Self::Fixed(data_type, width) => {
                let mut values = Vec::with_capacity(table.len() * width);
                let mut valid = Vec::with_capacity(table.len());
                for key in keys {
                    valid.push(key.is_some());
                    values.extend_from_slice(key.unwrap_or_default());
                    values.resize(valid.len() * width, 0);
                }
                let column = ArrayData::builder(data_type.clone())
                    .len(valid.len())
                    .add_buffer(Buffer::from_vec(values))
                    .nulls(Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0))
                    .align_buffers(true)
                    .build()?;
                Ok(vec![make_array(column)])
            }
            Self::Rows(converter, types) => {
                let bytes = BinaryArray::from_iter_values(keys.map(Option::unwrap_or_default));
                let rows = converter.from_binary(bytes);
                let columns = converter.convert_rows(rows.iter())?;
                let columns = columns.iter().zip(types);
                let typed = columns.map(|(column, data_type)| Ok(cast(column, data_type)?));
                typed.collect()
            }
        }
    }
}

impl Encoded {
    /// Appends the keys of these rows to `keys`, and to `null_numbers` the numbers of those that are null and
    /// not encoded otherwise.
    pub(super) fn append(
        &self,
        rows: &[u32],
        keys: &mut Bytes,
        null_numbers: &mut Vec<u32>,
    ) -> Result<()> {
        let rows = rows.iter().map(|row| *row as usize);
        match self {
            Self::Text(texts) if texts.null_count() == 0 => {
                keys.extend(rows.map(|row| texts.value(row).as_bytes()))
            }
            Self::Binary(bytes) if bytes.null_count() == 0 => {
                keys.extend(rows.map(|row| bytes.value(row)))
            }
            Self::Fixed {
                values,
                width,
                nulls: None,
            } => {
                let values = values.as_slice();
                keys.extend(rows.map(|row| &values[row * width..(row + 1) * width]))
            }
            Self::Fixed {
                values,
                width,
                nulls: Some(nulls),
            } => rows.into_iter().try_for_each(|row| {
                let value = &values.as_slice()[row * width..(row + 1) * width];
                append_one(nulls.is_valid(row).then_some(value), keys, null_numbers)
            }),
            Self::Rows(encoded) => keys.extend(rows.map(|row| encoded.row(row).data())),
            Self::Text(texts) => rows.into_iter().try_for_each(|row| {
                let key = texts.is_valid(row).then(|| texts.value(row).as_bytes());
                append_one(key, keys, null_numbers)
            }),
            Self::Binary(bytes) => rows.into_iter().try_for_each(|row| {
                let key = bytes.is_valid(row).then(|| bytes.value(row));
                append_one(key, keys, null_numbers)
            }),
        }
    }
}

fn append_one(key: Option<&[u8]>, keys: &mut Bytes, nulls: &mut Vec<u32>) -> Result<()> {
    let number = keys.push(key.unwrap_or_default())?;
    if key.is_none() {
        nulls.push(number);
    }
    Ok(())
}
