//! Events as a Parquet file.

use std::fs::File;
use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};
use funnel_datagen::clickstream::{self, Event, Shape};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{AnyError, Arguments};

/// What 128 random bits are in base64 without padding.
const ID_CHARS: usize = 22;
const ID_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const BATCH_ROWS: usize = 65_536;

/// As the lake writes its sorted days.
const ROW_GROUP_ROWS: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 3;

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), AnyError> {
    let out = arguments.text("--out")?.ok_or("--out PATH is missing")?;
    let events = usize::try_from(arguments.number("--events", 1_000_000)?)?;
    let shape = Shape {
        events,
        visitors: usize::try_from(arguments.number("--visitors", events as u64 / 20)?)?,
        ties: true,
        days: u16::try_from(arguments.number("--days", 30)?)?,
    };
    let files = usize::try_from(arguments.number("--files", 0)?)?;
    let seed = arguments.number("--seed", 7)?;
    let text = match arguments.text("--key")?.as_deref() {
        None | Some("text") => true,
        Some("int") => false,
        Some(other) => return Err(format!("--key is text or int, not '{other}'").into()),
    };
    let shuffled = arguments.flag("--shuffled");
    arguments.end()?;

    let mut made = clickstream::events(shape, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed + 1);
    let visitors = made.last().map_or(0, |event| event.visitor as usize + 1);
    let keys = Keys::new(text, visitors, &mut rng);
    if shuffled {
        made.shuffle(&mut rng);
    }
    if files == 0 {
        write_file(Path::new(&out), &made, &keys, !shuffled)?;
    } else {
        std::fs::create_dir_all(&out)?;
        for (number, part) in parts(&made, files).iter().enumerate() {
            let path = Path::new(&out).join(format!("{number:04}.parquet"));
            write_file(&path, part, &keys, !shuffled)?;
        }
    }
    let order = if shuffled {
        "shuffled"
    } else {
        "sorted by visitor and ts"
    };
    writeln!(stdout(), "{out}: {} events, {order}", made.len())?;
    Ok(())
}

/// The events of each of `files` equal stretches of time, in the order in which they were.
fn parts(made: &[Event], files: usize) -> Vec<Vec<Event>> {
    let times = made.iter().map(|event| event.ts);
    let (first, last) = (times.clone().min(), times.max());
    let (Some(first), Some(last)) = (first, last) else {
        return Vec::new();
    };
    let stretch = (last - first) / files as i64 + 1;
    let mut parts = vec![Vec::new(); files];
    for event in made {
        let part = usize::try_from((event.ts - first) / stretch).unwrap_or_default();
        parts[part].push(*event);
    }
    parts
}

/// Keys that are in the order of the visitors' numbers.
enum Keys {
    Text(Vec<String>),
    Int,
}

impl Keys {
    fn new(text: bool, visitors: usize, rng: &mut ChaCha8Rng) -> Self {
        if !text {
            return Keys::Int;
        }
        let mut ids: Vec<String> = (0..visitors)
            .map(|_| (0..ID_CHARS).map(|_| letter(rng)).collect())
            .collect();
        ids.sort_unstable();
        Keys::Text(ids)
    }

    fn column(&self, events: &[Event]) -> ArrayRef {
        match self {
            Keys::Text(ids) => {
                let id = |event: &Event| ids.get(event.visitor as usize).map(String::as_str);
                Arc::new(events.iter().map(id).collect::<StringArray>())
            }
            Keys::Int => Arc::new(Int64Array::from_iter_values(
                events.iter().map(|event| i64::from(event.visitor)),
            )),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Keys::Text(_) => DataType::Utf8,
            Keys::Int => DataType::Int64,
        }
    }
}

fn letter(rng: &mut ChaCha8Rng) -> char {
    char::from(ID_ALPHABET[rng.random_range(0..ID_ALPHABET.len())])
}

fn write_file(path: &Path, events: &[Event], keys: &Keys, sorted: bool) -> Result<(), AnyError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("visitor", keys.data_type(), false),
        Field::new("ts", DataType::Int64, false),
        Field::new("code", DataType::UInt8, false),
    ]));
    let ascending = |column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_column_dictionary_enabled("ts".into(), false)
        .set_column_encoding("ts".into(), Encoding::DELTA_BINARY_PACKED)
        .set_sorting_columns(sorted.then(|| vec![ascending(0), ascending(1)]))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path)?, Arc::clone(&schema), Some(properties))?;
    for events in events.chunks(BATCH_ROWS) {
        let ts = Int64Array::from_iter_values(events.iter().map(|event| event.ts));
        let code = UInt8Array::from_iter_values(events.iter().map(|event| event.code));
        let columns: [ArrayRef; 3] = [keys.column(events), Arc::new(ts), Arc::new(code)];
        writer.write(&RecordBatch::try_new(
            Arc::clone(&schema),
            columns.to_vec(),
        )?)?;
    }
    writer.close()?;
    Ok(())
}
