//! A column of a row group: page by page, as many rows at a time as are asked for.

use std::sync::Arc;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use datafusion::arrow::array::{ArrayRef, GenericByteViewBuilder};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use datafusion::common::Result;
use datafusion::parquet::basic::Encoding;
use datafusion::parquet::column::page::{Page, PageReader};
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ColumnChunkMetaData;
use datafusion::parquet::file::reader::{ChunkReader, Length};
use datafusion::parquet::file::serialized_reader::SerializedPageReader;

use super::bits::broken;
use super::delta::Delta;
use super::hybrid::Hybrid;

/// The bytes of a column chunk, by their places in the file.
struct Chunk {
    begin: u64,
    bytes: Bytes,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let length = self.len().saturating_sub(start);
        Ok(self.get_bytes(start, length as usize)?.reader()) // No more than there are in memory.
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let begin = start.checked_sub(self.begin).map(|begin| begin as usize); // As above.
        let end = begin.and_then(|begin| begin.checked_add(length));
        match (begin, end) {
            (Some(begin), Some(end)) if end <= self.bytes.len() => Ok(self.bytes.slice(begin..end)),
            _ => Err(ParquetError::EOF(format!(
                "a page of {length} bytes at {start} is not within its column, which ends at {}",
                self.len()
            ))),
        }
    }
}

/// The values of a page, without those that are null.
pub(super) trait Values: Sized {
    type Value: Copy + Default;

    fn of(encoding: Encoding, bytes: Bytes) -> Result<Self>;

    fn read(&mut self, to: &mut [Self::Value]) -> Result<()>;
}

/// Numbers of dictionary values.
#[derive(Debug)]
pub(super) struct Ids(Hybrid);

impl Values for Ids {
    type Value = u32;

    fn of(encoding: Encoding, mut bytes: Bytes) -> Result<Self> {
        let is_dictionary = matches!(
            encoding,
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
        );
        if !is_dictionary {
            return Err(broken(
                "its values are not those of a dictionary, as the footer says",
            ));
        }
        // A page of nulls alone may be empty.
        let width = bytes.try_get_u8().unwrap_or_default();
        match width {
            // A page has fewer than 2^31 values.
            0..=31 => Ok(Self(Hybrid::new(bytes, width)?)),
            _ => Err(broken("its numbers of values have more than 31 bits")),
        }
    }

    fn read(&mut self, to: &mut [u32]) -> Result<()> {
        self.0.read(to)
    }
}

/// Whole numbers of 64 bits.
#[derive(Debug)]
pub(super) enum Ticks {
    Plain(Bytes),
    Delta(Delta),
    /// A page of nulls alone.
    None,
}

impl Values for Ticks {
    type Value = i64;

    fn of(encoding: Encoding, bytes: Bytes) -> Result<Self> {
        match encoding {
            _ if bytes.is_empty() => Ok(Self::None),
            Encoding::PLAIN => Ok(Self::Plain(bytes)),
            Encoding::DELTA_BINARY_PACKED => Ok(Self::Delta(Delta::new(bytes)?)),
            _ => Err(broken("its times are laid out as the footer does not say")),
        }
    }

    fn read(&mut self, to: &mut [i64]) -> Result<()> {
        match self {
            Self::Plain(bytes) => {
                let needed = bytes.try_split_to(size_of_val(to));
                let values = needed.ok_or_else(|| broken("it ends before its times do"))?;
                for (to, value) in to.iter_mut().zip(values.as_chunks().0) {
                    *to = i64::from_le_bytes(*value);
                }
                Ok(())
            }
            Self::Delta(delta) => delta.read(to),
            Self::None if to.is_empty() => Ok(()),
            Self::None => Err(broken("it has no times")),
        }
    }
}

trait Split: Sized {
    fn try_split_to(&mut self, length: usize) -> Option<Self>;
}

impl Split for Bytes {
    fn try_split_to(&mut self, length: usize) -> Option<Self> {
        (length <= self.len()).then(|| self.split_to(length))
    }
}

struct Opened<V> {
    left: usize,
    /// Which rows have a value; none: all.
    levels: Option<Hybrid>,
    values: V,
}

/// A column chunk.
pub(super) struct Column<V> {
    pages: SerializedPageReader<Chunk>,
    nullable: bool,
    /// A page that was read too early.
    held: Option<Page>,
    page: Option<Opened<V>>,
}

impl<V: Values> Column<V> {
    /// `bytes` are those of the whole chunk.
    pub(super) fn new(bytes: Bytes, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Self> {
        let begin = chunk.byte_range().0;
        let bytes = Arc::new(Chunk { begin, bytes });
        Ok(Self {
            pages: SerializedPageReader::new(bytes, chunk, rows, None)?,
            nullable: chunk.column_descr().max_def_level() > 0,
            held: None,
            page: None,
        })
    }

    fn next_page(&mut self) -> Result<Opened<V>> {
        let page = match self.held.take() {
            Some(page) => Some(page),
            None => self.pages.get_next_page()?,
        };
        let page = page.ok_or_else(|| broken("its column has fewer rows than its row group"))?;
        Opened::new(&page, self.nullable)
    }

    /// Fills `values`; where there is none it says `null`. Which there are, if not all.
    pub(super) fn read(
        &mut self,
        mut values: &mut [V::Value],
        null: V::Value,
    ) -> Result<Option<NullBuffer>> {
        let mut seen: Option<Vec<bool>> = None;
        let (rows, mut done) = (values.len(), 0);
        while !values.is_empty() {
            if self.page.as_ref().is_none_or(|page| page.left == 0) {
                self.page = Some(self.next_page()?);
            }
            let Some(page) = &mut self.page else { continue };
            let count = page.left.min(values.len());
            let (now, later) = values.split_at_mut(count);
            if let Some(is_there) = page.read(now, null)? {
                let seen = seen.get_or_insert_with(|| vec![true; rows]);
                seen[done..done + count].copy_from_slice(&is_there);
            }
            done += count;
            values = later;
        }
        Ok(seen.map(|seen| NullBuffer::new(BooleanBuffer::from(seen))))
    }
}

impl<V: Values> Opened<V> {
    fn new(page: &Page, nullable: bool) -> Result<Self> {
        let (rows, encoding) = (page.num_values() as usize, page.encoding());
        let mut bytes = page.buffer().clone();
        let levels = match page {
            Page::DictionaryPage { .. } => return Err(broken("it is a second dictionary")),
            Page::DataPage { .. } if !nullable => Some(Bytes::new()),
            Page::DataPage {
                def_level_encoding: Encoding::RLE,
                ..
            } => {
                let length = bytes.try_get_u32_le().ok();
                length.and_then(|length| bytes.try_split_to(length as usize))
            }
            Page::DataPage { .. } => {
                return Err(broken(
                    "its levels are laid out in a way that is out of use",
                ));
            }
            Page::DataPageV2 {
                rep_levels_byte_len: repeated,
                def_levels_byte_len: defined,
                ..
            } => {
                let repeated = bytes.try_split_to(*repeated as usize);
                repeated.and_then(|_| bytes.try_split_to(*defined as usize))
            }
        };
        let levels = levels.ok_or_else(|| broken("it ends within its levels"))?;
        let levels = match nullable {
            true => {
                let mut levels = Hybrid::new(levels, 1)?;
                let all = levels.are_all(1, rows)?;
                (!all).then_some(levels)
            }
            false => None,
        };
        Ok(Self {
            left: rows,
            levels,
            values: V::of(encoding, bytes)?,
        })
    }

    /// The next rows, which the page has.
    fn read(&mut self, values: &mut [V::Value], null: V::Value) -> Result<Option<Vec<bool>>> {
        self.left -= values.len();
        let Some(levels) = &mut self.levels else {
            self.values.read(values)?;
            return Ok(None);
        };
        let mut of_rows = vec![0; values.len()];
        levels.read(&mut of_rows)?;
        let is_there: Vec<bool> = of_rows.iter().map(|level| *level > 0).collect();
        let count = is_there.iter().filter(|is_there| **is_there).count();
        let mut found = vec![V::Value::default(); count];
        self.values.read(&mut found)?;
        let mut found = found.into_iter();
        for (value, is_there) in values.iter_mut().zip(&is_there) {
            *value = match is_there {
                true => found.next().unwrap_or(null),
                false => null,
            };
        }
        Ok((count < values.len()).then_some(is_there))
    }
}

impl Column<Ids> {
    /// The values that the numbers stand for, as views of `data_type`, and after them a null.
    pub(super) fn dictionary(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let page = self.pages.get_next_page()?;
        // A column without values has no dictionary.
        let (page, held) = match page {
            Some(page) if matches!(page, Page::DictionaryPage { .. }) => (Some(page), None),
            other => (None, other),
        };
        self.held = held;
        let (bytes, count) = match &page {
            Some(page) => (page.buffer().clone(), page.num_values()),
            None => (Bytes::new(), 0),
        };
        let ranges = lengths(&bytes, count)?;
        match data_type {
            DataType::Utf8View => views::<StringViewType>(bytes, ranges),
            _ => views::<BinaryViewType>(bytes, ranges),
        }
    }
}

/// The texts at these places, and a null.
fn views<T: ByteViewType>(bytes: Bytes, ranges: Vec<(u32, u32)>) -> Result<ArrayRef> {
    let mut values = GenericByteViewBuilder::<T>::with_capacity(ranges.len() + 1);
    let block = values.append_block(bytes.into());
    for (at, length) in ranges {
        values.try_append_view(block, at, length)?;
    }
    values.append_null();
    Ok(Arc::new(values.finish()))
}

/// Where the texts of a page are that has the length of each before it.
fn lengths(bytes: &[u8], count: u32) -> Result<Vec<(u32, u32)>> {
    let mut ranges = Vec::new();
    let mut at = 0_usize;
    for _ in 0..count {
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk());
        let length = u32::from_le_bytes(*length.ok_or_else(|| broken("it ends within a text"))?);
        at += size_of::<u32>();
        ranges.push((at as u32, length)); // A page has fewer than 2^32 bytes.
        at = at.saturating_add(length as usize);
    }
    Ok(ranges)
}
