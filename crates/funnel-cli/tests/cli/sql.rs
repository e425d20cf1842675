//! `funnel sql` without a lake: formats, scripts, the prompt's commands, errors.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::{empty_dir, funnel, run};

/// Three rows with what is easily printed wrongly: big integers, decimals, times, nulls, commas.
fn write_sample(path: &Path) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(9_007_199_254_740_993),
        Some(2),
        None,
    ]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a,b"),
        Some("quote \" here"),
        None,
    ]));
    let times: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![
            Some(1_709_547_600_000_000),
            Some(1_709_547_600_250_000),
            None,
        ])
        .with_timezone("UTC"),
    );
    let amounts: ArrayRef = Arc::new(
        Decimal128Array::from(vec![Some(199_900), Some(-5), None])
            .with_precision_and_scale(18, 4)
            .unwrap(),
    );
    let batch = RecordBatch::try_from_iter([
        ("id", ids),
        ("name", names),
        ("at", times),
        ("amount", amounts),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// `funnel sql` over the sample; no lake, no configuration.
#[track_caller]
fn sql(words: &[&str], code: i32) -> (String, String) {
    let dir = empty_dir();
    write_sample(&dir.path().join("t.parquet"));
    run(
        funnel(dir.path())
            .args(["sql", "--table", "t=t.parquet"])
            .args(words),
        code,
    )
}

const ALL: &str = "SELECT * FROM t ORDER BY id NULLS LAST";

#[test]
fn a_pipe_gets_csv() {
    let (out, err) = sql(&["-c", "SELECT * FROM t ORDER BY id DESC NULLS LAST"], 0);
    assert_eq!(
        out,
        "id,name,at,amount\n\
         9007199254740993,\"a,b\",2024-03-04T10:20:00Z,19.9900\n\
         2,\"quote \"\" here\",2024-03-04T10:20:00.250Z,-0.0005\n\
         ,,,\n"
    );
    assert_eq!(err, "");
}

#[test]
fn json_is_one_array_of_objects_with_exact_numbers() {
    let (out, _) = sql(&["-c", ALL, "--format", "json"], 0);
    assert_eq!(
        out,
        "[{\"id\":2,\"name\":\"quote \\\" here\",\"at\":\"2024-03-04T10:20:00.250Z\",\"amount\":-0.0005},\
         {\"id\":9007199254740993,\"name\":\"a,b\",\"at\":\"2024-03-04T10:20:00Z\",\"amount\":19.9900},\
         {\"id\":null,\"name\":null,\"at\":null,\"amount\":null}]\n"
    );
    let (out, _) = sql(
        &["-c", "SELECT * FROM t WHERE id = 0", "--format", "json"],
        0,
    );
    assert_eq!(out, "[]\n");
}

#[test]
fn ndjson_is_an_object_a_line() {
    let (out, _) = sql(&["-c", ALL, "--format", "ndjson"], 0);
    assert_eq!(out.lines().count(), 3);
    assert!(
        out.lines()
            .all(|line| line.starts_with("{\"id\":") && line.ends_with('}')),
        "{out}"
    );
    let (out, _) = sql(
        &["-c", "SELECT * FROM t WHERE id = 0", "--format", "ndjson"],
        0,
    );
    assert_eq!(out, "");
}

#[test]
fn a_table_shows_nulls_and_a_heading_without_rows() {
    let (out, _) = sql(&["-c", ALL, "--format", "table"], 0);
    assert!(out.contains("│ 9007199254740993 ┆ a,b"), "{out}");
    assert!(out.contains("NULL"), "{out}");
    let (out, _) = sql(
        &["-c", "SELECT id FROM t WHERE id = 0", "--format", "table"],
        0,
    );
    assert!(out.contains("id"), "{out}");
}

#[test]
fn no_rows_still_have_a_header_in_csv() {
    let (out, _) = sql(&["-c", "SELECT id, name FROM t WHERE id = 0"], 0);
    assert_eq!(out, "id,name\n");
}

#[test]
fn nested_values_are_json_text_in_csv_and_json_in_json() {
    let query = "SELECT [1, 2] AS list, named_struct('a', 1, 'b', 'x') AS struct";
    let (out, _) = sql(&["-c", query], 0);
    assert_eq!(
        out,
        "list,struct\n\"[1,2]\",\"{\"\"a\"\":1,\"\"b\"\":\"\"x\"\"}\"\n"
    );
    let (out, _) = sql(&["-c", query, "--format", "ndjson"], 0);
    assert_eq!(out, "{\"list\":[1,2],\"struct\":{\"a\":1,\"b\":\"x\"}}\n");
}

#[test]
fn timestamps_of_any_zone_are_shown_in_utc() {
    let query = "SELECT arrow_cast('2024-03-04T12:00:00', 'Timestamp(Nanosecond, Some(\"+02:00\"))') AS a, \
                 TIMESTAMP '2024-03-04 12:00:00' AS b";
    let (out, _) = sql(&["-c", query], 0);
    assert_eq!(out, "a,b\n2024-03-04T10:00:00Z,2024-03-04T12:00:00Z\n");
}

#[test]
fn a_file_takes_the_format_of_its_ending_and_holds_the_answer_whole() {
    let dir = empty_dir();
    write_sample(&dir.path().join("t.parquet"));
    let query = ["sql", "--table", "t=t.parquet", "-c", ALL, "-o"];
    let (out, _) = run(funnel(dir.path()).args(query).arg("answer.parquet"), 0);
    assert_eq!(out, "");
    let file = File::open(dir.path().join("answer.parquet")).unwrap();
    let rows: usize = ParquetRecordBatchReader::try_new(file, 1024)
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 3);
    run(funnel(dir.path()).args(query).arg("answer.ndjson"), 0);
    let text = std::fs::read_to_string(dir.path().join("answer.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn a_failed_query_leaves_an_older_answer_as_it_was() {
    let dir = empty_dir();
    std::fs::write(dir.path().join("answer.csv"), "old\n").unwrap();
    let query = ["sql", "-c", "SELECT 1 / (SELECT 0)", "-o", "answer.csv"];
    run(funnel(dir.path()).args(query), 1);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("answer.csv")).unwrap(),
        "old\n"
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".funnel-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_of_parquet_files_is_one_table() {
    let dir = empty_dir();
    let parts = dir.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    write_sample(&parts.join("1.parquet"));
    write_sample(&parts.join("2.parquet"));
    let query = [
        "sql",
        "--table",
        "p=parts",
        "-c",
        "SELECT count(*) AS n FROM p",
    ];
    let (out, _) = run(funnel(dir.path()).args(query), 0);
    assert_eq!(out, "n\n6\n");
}

#[test]
fn sql_errors_go_to_stderr_with_exit_1_and_suggest_a_name() {
    let (out, err) = sql(&["-c", "SELECT nam FROM t"], 1);
    assert_eq!(out, "");
    assert!(err.contains("nam") && err.contains("name"), "{err}");
    let (out, err) = sql(&["-c", "SELEC 1"], 1);
    assert_eq!(out, "");
    assert!(err.starts_with("error: "), "{err}");
    sql(&["-c", "SELECT * FROM no_such_table"], 1);
}

#[test]
fn statements_run_in_order_up_to_the_first_error() {
    let (out, err) = sql(&["-c", "SELECT 1 AS a; SELECT broken; SELECT 3 AS c"], 1);
    assert_eq!(out, "a\n1\n");
    assert!(err.contains("broken"), "{err}");
}

#[test]
fn a_script_from_stdin_is_read_like_the_prompt() {
    let dir = empty_dir();
    write_sample(&dir.path().join("t.parquet"));
    let mut command = funnel(dir.path());
    command.args(["sql", "--table", "t=t.parquet"]);
    command.write_stdin(
        "\\d\n\\d t\nCREATE VIEW v AS\n  SELECT ';' AS x;\nSELECT x FROM v;\n\\q\nSELECT 9;\n",
    );
    let (out, _) = run(&mut command, 0);
    assert!(out.starts_with("name,kind\nt,table\n"), "{out}");
    assert!(out.contains("\nid,Int64,true\n"), "{out}");
    assert!(out.ends_with("x\n;\n"), "{out}");
}

#[test]
fn timing_goes_to_stderr() {
    let dir = empty_dir();
    let mut command = funnel(dir.path());
    command
        .args(["sql"])
        .write_stdin("\\timing\nSELECT 1 AS a;\n");
    let (out, err) = run(&mut command, 0);
    assert_eq!(out, "a\n1\n");
    assert!(err.contains("(1 row, ") && err.contains(" s)"), "{err}");
}

#[test]
fn the_funnel_functions_are_there_without_a_lake() {
    let query = "SELECT window_funnel(INTERVAL '1 hour', 'ordered', at, name = 'a,b', id = 2) AS level FROM t";
    let (out, _) = sql(&["-c", query], 0);
    assert_eq!(out, "level\n2\n");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = empty_dir();
    let binary = assert_cmd::cargo::cargo_bin!("funnel");
    let mut child = std::process::Command::new(binary)
        .args([
            "sql",
            "-c",
            "SELECT value, repeat('x', 100) FROM generate_series(1, 100000)",
        ])
        .current_dir(dir.path())
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_table_that_is_not_there_is_named() {
    let dir = empty_dir();
    let query = ["sql", "--table", "t=missing.parquet", "-c", "SELECT 1"];
    let (_, err) = run(funnel(dir.path()).args(query), 2);
    assert!(err.contains("missing.parquet"), "{err}");
}
