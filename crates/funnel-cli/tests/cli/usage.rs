//! Wrong calls: exit 2, nothing on stdout, and a message that helps.

use super::{empty_dir, funnel, run};

#[track_caller]
fn refused(words: &[&str]) -> String {
    let dir = empty_dir();
    let (out, err) = run(funnel(dir.path()).args(words), 2);
    assert_eq!(out, "", "{words:?}");
    err
}

#[test]
fn no_command_shows_the_help_and_is_wrong_usage() {
    assert!(refused(&[]).contains("Usage: funnel"));
}

#[test]
fn a_misspelt_command_or_flag_is_corrected() {
    assert!(refused(&["reprot"]).contains("report"));
    assert!(refused(&["sql", "--formt", "csv"]).contains("--format"));
}

#[test]
fn a_command_without_a_lake_says_how_to_name_one() {
    for words in [
        &["audit"][..],
        &["rejects", "list"],
        &["publish", "--date", "2024-03-04"],
        &[
            "report",
            "monitored",
            "--from",
            "2024-03-04",
            "--to",
            "2024-03-04",
        ],
    ] {
        let message = refused(words);
        assert!(
            message.contains("--lake") && message.contains("FUNNEL_LAKE"),
            "{message}"
        );
    }
}

#[test]
fn a_funnel_that_does_not_exist_is_answered_with_those_that_do() {
    let message = refused(&[
        "report",
        "monitord",
        "--from",
        "2024-03-04",
        "--to",
        "2024-03-04",
    ]);
    assert!(
        message.contains("`monitord`") && message.contains("`monitored`"),
        "{message}"
    );
}

#[test]
fn days_are_checked_before_anything_is_opened() {
    let message = refused(&[
        "report",
        "monitored",
        "--from",
        "2024-02-30",
        "--to",
        "2024-03-04",
    ]);
    assert!(message.contains("YYYY-MM-DD"), "{message}");
    let message = refused(&["publish", "--from", "2024-03-05", "--to", "2024-03-04"]);
    assert!(message.contains("lies after"), "{message}");
    refused(&["publish"]);
    refused(&[
        "publish",
        "--date",
        "2024-03-04",
        "--from",
        "2024-03-04",
        "--to",
        "2024-03-05",
    ]);
    refused(&["publish", "--from", "2024-03-04"]);
}

#[test]
fn a_lake_that_is_not_there_fails_with_its_place() {
    let dir = empty_dir();
    let (out, err) = run(funnel(dir.path()).args(["audit", "--lake", "nowhere"]), 1);
    assert_eq!(out, "");
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn a_query_that_does_not_exist_is_answered_with_those_that_do() {
    let message = refused(&["run", "no_such_query"]);
    assert!(message.contains("no_such_query"), "{message}");
}

#[test]
fn an_unreachable_kafka_is_worth_another_try() {
    let dir = empty_dir();
    let command = ["generate", "--sessions", "1", "--kafka", "127.0.0.1:1"];
    let (_, err) = run(funnel(dir.path()).args(command), 75);
    assert!(err.contains("127.0.0.1:1"), "{err}");
}

#[test]
fn a_directory_that_is_not_of_a_demo_is_left_alone() {
    let dir = empty_dir();
    std::fs::write(dir.path().join("thesis.txt"), "all of it").unwrap();
    let (_, err) = run(funnel(dir.path()).args(["demo", "--dir", "."]), 2);
    assert!(err.contains("not empty"), "{err}");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("thesis.txt")).unwrap(),
        "all of it"
    );
}
