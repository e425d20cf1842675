use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use super::*;
use crate::ErrorKind;
use crate::testing::{TestLake, batch, event_files, plain_rows, row};

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => files_below(&path),
            false => usize::from(path.extension().is_some_and(|e| e == "parquet")),
        })
        .sum()
}

#[tokio::test]
async fn rows_go_into_one_file_per_day_named_after_their_batch() {
    let lake = TestLake::new().await;
    let mut rows = plain_rows(0, 0..3);
    rows[1].day = 1;
    let first = batch(lake.lake.events().schema(), &rows, "b1");
    let second = batch(lake.lake.events().schema(), &plain_rows(0, 3..5), "b1");
    let files = encode_files(&[first, second], lake.lake.events(), "b1").unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "event_date=2026-05-01/b1-0000.parquet",
            "event_date=2026-05-02/b1-0001.parquet"
        ]
    );
    assert_eq!((files[0].rows, files[1].rows), (4, 1));
    for file in &files {
        let size = std::fs::metadata(lake.path("events").join(&file.path))
            .unwrap()
            .len();
        assert_eq!(u64::try_from(file.size).unwrap(), size);
    }
    let stats: serde_json::Value = serde_json::from_str(&files[0].stats).unwrap();
    assert_eq!(stats["numRecords"], 4);
    assert_eq!(stats["minValues"]["kafka_offset"], 0);
    assert_eq!(stats["maxValues"]["kafka_offset"], 4);
    assert_eq!(stats["nullCount"]["campaign_id"], 4);
    assert!(stats["minValues"].get("url").is_none());
}

#[tokio::test]
async fn files_are_written_as_funnel_scans_want_them() {
    let lake = TestLake::new().await;
    let files = event_files(&lake.lake, &plain_rows(0, 0..3), "b1");
    let file = File::open(lake.path("events").join(&files[0].path)).unwrap();
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(file, options).unwrap();
    let metadata = reader.metadata();
    assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
    let group = metadata.row_group(0);
    let column = |name: &str| -> &ColumnChunkMetaData {
        let mut columns = group.columns().iter();
        columns.find(|c| c.column_path().string() == name).unwrap()
    };
    for column in group.columns() {
        assert!(
            matches!(column.compression(), Compression::ZSTD(_)),
            "{column:?}"
        );
    }
    let encodings = |name: &str| column(name).encodings().collect::<Vec<_>>();
    assert!(encodings("event_time").contains(&Encoding::DELTA_BINARY_PACKED));
    assert!(encodings("event_id").contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY));
    assert!(encodings("event_type").contains(&Encoding::RLE_DICTIONARY));
    assert!(
        group
            .columns()
            .iter()
            .all(|c| c.column_path().string() != "event_date")
    );
}

#[tokio::test]
async fn a_file_of_the_same_name_is_never_replaced() {
    let lake = TestLake::new().await;
    let files = event_files(&lake.lake, &plain_rows(0, 0..3), "b1");
    let path = lake.path("events").join(&files[0].path);
    let before = std::fs::read(&path).unwrap();
    // The second day's file is in the way: the first one's must not stay behind.
    let mut rows = plain_rows(0, 0..2);
    rows[0].day = -1;
    let again = batch(lake.lake.events().schema(), &rows, "b1");
    std::fs::rename(&path, path.with_file_name("b1-0001.parquet")).unwrap();
    let error = encode_files(&[again], lake.lake.events(), "b1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(files_below(&lake.path("events")), 1);
    assert_eq!(
        std::fs::read(path.with_file_name("b1-0001.parquet")).unwrap(),
        before
    );
}

#[tokio::test]
async fn discarded_files_are_gone() {
    let lake = TestLake::new().await;
    let files = event_files(&lake.lake, &plain_rows(0, 0..3), "b1");
    discard_files(lake.lake.events(), &files);
    assert_eq!(files_below(&lake.path("events")), 0);
    discard_files(lake.lake.events(), &files);
}

#[tokio::test]
async fn rows_of_another_shape_are_refused_before_anything_is_written() {
    let lake = TestLake::new().await;
    let events = lake.lake.events();
    let fine = batch(events.schema(), &[row(0, 0)], "b1");
    let mut missing = fine.clone();
    missing.remove_column(3);
    let rejects = batch(lake.lake.rejects().schema(), &[row(0, 0)], "b1");
    for wrong in [missing, rejects] {
        let error = encode_files(&[fine.clone(), wrong], events, "b1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    for batch_id in ["", "a/b", "a b", "ä"] {
        let error = encode_files(std::slice::from_ref(&fine), events, batch_id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{batch_id}");
    }
    assert_eq!(files_below(&lake.path("events")), 0);
}

#[tokio::test]
async fn no_rows_give_no_files() {
    let lake = TestLake::new().await;
    let none = RecordBatch::new_empty(Arc::clone(lake.lake.events().schema()));
    assert_eq!(encode_files(&[none], lake.lake.events(), "b1").unwrap(), []);
}
