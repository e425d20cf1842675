use futures::future::join_all;

use super::*;
use crate::testing::{TestLake, append, place};

#[tokio::test]
async fn a_newer_lake_is_refused_with_both_versions() {
    let lake = TestLake::new().await;
    let newer = r#"{"format_version": 2, "created_by": "funnel 9.9.9", "more": []}"#;
    std::fs::write(lake.path(FORMAT_FILE), newer).unwrap();
    for opened in [
        Lake::open(place(lake.dir.path())).await,
        Lake::create_or_open(place(lake.dir.path())).await,
    ] {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooNew);
        let text = error.to_string();
        assert!(
            text.contains("format 2") && text.contains("funnel 9.9.9"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_no_lake_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Lake::open(place(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    std::fs::write(dir.path().join(FORMAT_FILE), "{}").unwrap();
    let error = Lake::create_or_open(place(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_lost_table_is_not_replaced_by_an_empty_one() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..3, "b1").await;
    std::fs::remove_dir_all(lake.path("events")).unwrap();
    let error = Lake::create_or_open(place(lake.dir.path()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("`events`"), "{error}");
}

#[tokio::test]
async fn a_half_made_lake_is_finished() {
    let lake = TestLake::new().await;
    std::fs::remove_file(lake.path(FORMAT_FILE)).unwrap();
    std::fs::remove_dir_all(lake.path("ledger")).unwrap();
    let again = Lake::create_or_open(place(lake.dir.path())).await.unwrap();
    assert_eq!(append(&again, 0, 0..3, "b1").await, 1);
}

#[tokio::test]
async fn paths_and_urls_open_the_same_lake() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..3, "b1").await;
    let by_url = Lake::open(lake.lake.url().as_str()).await.unwrap();
    assert_eq!(by_url.events().load().await.unwrap().version(), 1);
    assert_eq!(by_url.url(), lake.lake.url());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_make_the_lake_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let makers = (0..8).map(|_| Lake::create_or_open(place(dir.path())));
    for lake in join_all(makers).await {
        assert_eq!(lake.unwrap().events().load().await.unwrap().version(), 0);
    }
}
