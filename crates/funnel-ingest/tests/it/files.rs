use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use funnel_ingest::{Ingest, IngestConfig, Summary};
use funnel_lake::Lake;
use tokio_util::sync::CancellationToken;

use crate::support::{audited, coordinates, page, place};

async fn ingest(lake: &Lake, paths: &[&std::path::Path]) -> Summary {
    let config = IngestConfig::for_files(&toml::Table::new()).expect("valid");
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    Ingest::start_files(config, lake.clone(), paths, CancellationToken::new())
        .await
        .expect("started")
        .finished()
        .await
        .expect("read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_plain_and_gzip_are_read_once_and_read_on_when_they_grow() {
    let folder = tempfile::tempdir().expect("folder");
    let plain = folder.path().join("a.ndjson");
    let lines: String = (0..20).map(|n| page(n) + "\n").collect();
    std::fs::write(&plain, format!("{lines}\nnot json\n")).expect("written");
    let gzip = folder.path().join("b.ndjson.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let wrapped = "{\"key\":\"k\",\"valueBase64\":null}\n{\"key\":null,\"valueBase64\":\"AAE=\"}\n";
    encoder
        .write_all(format!("{}\n{wrapped}", page(100)).as_bytes())
        .expect("packed");
    std::fs::write(&gzip, encoder.finish().expect("packed")).expect("written");
    let place = place().await;

    let first = ingest(&place.lake, &[folder.path()]).await;
    assert_eq!(first.totals.accepted, 21);
    assert_eq!(first.totals.rejected, 2);
    assert_eq!(first.totals.tombstone, 1);
    assert_eq!(first.totals.holes, 1, "the empty line");
    let again = ingest(&place.lake, &[&plain, &gzip]).await;
    assert_eq!(again.totals, Default::default());

    let mut grown = std::fs::OpenOptions::new()
        .append(true)
        .open(&plain)
        .expect("open");
    grown
        .write_all((page(200) + "\n").as_bytes())
        .expect("written");
    let rest = ingest(&place.lake, &[&plain]).await;
    assert_eq!(rest.totals.accepted, 1);
    let events = coordinates(place.lake.events(), &place.lake).await;
    let line = ("file:a.ndjson".to_owned(), 0, 22, None);
    assert!(events.contains(&line), "the line number is the offset");
    audited(&place.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_of_one_name_are_refused_with_both_paths() {
    let folder = tempfile::tempdir().expect("folder");
    let mut paths = Vec::new();
    for name in ["x", "y"] {
        let inside = folder.path().join(name);
        std::fs::create_dir(&inside).expect("folder");
        paths.push(inside.join("a.ndjson"));
        std::fs::write(inside.join("a.ndjson"), "").expect("written");
    }
    let place = place().await;
    let config = IngestConfig::for_files(&toml::Table::new()).expect("valid");
    let started = Ingest::start_files(config, place.lake, paths, CancellationToken::new()).await;
    let error = started.expect_err("two topics would be one").to_string();
    assert!(error.contains("/x/") && error.contains("/y/"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_to_its_end_while_others_are_started() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, lines) in [("a", 0..3_000), ("b", 3_000..3_050), ("c", 3_050..3_100)] {
        let text: String = lines.map(|n| page(n) + "\n").collect();
        std::fs::write(folder.path().join(format!("{name}.ndjson")), text).expect("written");
    }
    let place = place().await;
    let summary = ingest(&place.lake, &[folder.path()]).await;
    assert_eq!(summary.totals.accepted, 3_100);
}
