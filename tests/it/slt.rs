//! `tests/slt/*.slt`: what the SQL functions mean, as questions and answers in the format of
//! sqllogictest. `SLT_COMPLETE=1` writes the answers of today into the files.
//!
//! A value is printed as Arrow prints it, `NULL` for null; the values of a row are separated by spaces.
//! `$DIR` is an empty folder of the file's own.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use funnel_query::{QueryOptions, QuerySession};
use funnel_tests::material;
use tempfile::TempDir;

/// A question, its position in the file, and the answer that stands there.
struct Record {
    line: usize,
    head: String,
    sql: String,
    answer: Vec<String>,
}

#[tokio::test]
async fn answers_are_those_of_the_files() {
    let folder = material().join("slt");
    let entries = fs::read_dir(&folder).expect("a folder of questions");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no questions", folder.display());
    let mut wrong = Vec::new();
    for file in &files {
        wrong.extend(check(file).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn examples_of_the_documentation_are_taken() {
    let text = fs::read_to_string(material().join("../docs/funnels.md")).expect("the page");
    let (_, section) = text.split_once("\n## Functions\n").expect("its functions");
    let examples: Vec<&str> = section
        .split("\n```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect();
    assert!(examples.len() > 1, "{examples:?}");
    let session = QuerySession::from_batches(Vec::new(), QueryOptions::default());
    let session = session.await.expect("a session");
    for example in examples {
        if let Err(error) = session.collect(example).await {
            panic!("{example}\n{error:#?}");
        }
    }
}

/// What is wrong with a file; with `SLT_COMPLETE` nothing, because it is put right.
async fn check(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("the questions can be read");
    let records = records(&text);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if records.is_empty() {
        return vec![format!("{name} asks nothing")];
    }
    let dir = TempDir::new().expect("a folder");
    let options = QueryOptions {
        target_partitions: Some(2),
        ..QueryOptions::default()
    };
    let session = QuerySession::without_lake(options).expect("a session");
    let (mut wrong, mut lines) = (
        Vec::new(),
        text.lines().map(str::to_owned).collect::<Vec<_>>(),
    );
    // From the last, so that the positions of the others stay.
    let mut found = Vec::new();
    for record in &records {
        found.push(answer(&session, record, dir.path()).await);
    }
    for (record, found) in records.iter().zip(found).rev() {
        let expected = match record.head.strip_prefix("statement error ") {
            Some(part) if found.join("\n").contains(part) => continue,
            Some(part) => vec![format!("an error that contains: {part}")],
            None => record.answer.clone(),
        };
        if found == expected {
            continue;
        }
        if std::env::var_os("SLT_COMPLETE").is_some() && record.head.starts_with("query") {
            let begin = record.line + record.sql.lines().count() + 1;
            lines.splice(begin..begin + record.answer.len(), found);
            continue;
        }
        wrong.push(format!(
            "{name}:{}\n{}\nexpected:\n{}\nfound:\n{}",
            record.line,
            record.sql,
            expected.join("\n"),
            found.join("\n")
        ));
    }
    if std::env::var_os("SLT_COMPLETE").is_some() {
        fs::write(file, lines.join("\n") + "\n").expect("the answers can be written");
    }
    wrong.reverse();
    wrong
}

fn records(text: &str) -> Vec<Record> {
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(head) = lines.get(at) {
        at += 1;
        if head.is_empty() || head.starts_with('#') {
            continue;
        }
        let line = at;
        let mut until = |end: fn(&str) -> bool| {
            let part: Vec<&str> = lines[at..]
                .iter()
                .copied()
                .take_while(|line| !end(line))
                .collect();
            at += part.len() + 1;
            part
        };
        let (sql, answer) = match head.split(' ').next() {
            Some("statement") => (until(str::is_empty), Vec::new()),
            Some("query") => {
                let sql = until(|line| line == "----");
                (sql, until(str::is_empty))
            }
            _ => panic!("line {line}: neither a statement nor a query: {head}"),
        };
        records.push(Record {
            line,
            head: (*head).to_owned(),
            sql: sql.join("\n"),
            answer: answer.into_iter().map(str::to_owned).collect(),
        });
    }
    records
}

/// The lines of the answer; of an error its message.
async fn answer(session: &QuerySession, record: &Record, dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let sql = record.sql.replace("$DIR", &dir);
    let collected = match session.ctx().sql(&sql).await {
        Ok(query) => query.collect().await,
        Err(error) => Err(error),
    };
    let batches = match collected {
        Ok(batches) => batches,
        Err(error) => return vec![format!("error: {}", error.find_root())],
    };
    let mut head = record.head.split(' ');
    let (Some("query"), Some(types)) = (head.next(), head.next()) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = batches.iter().flat_map(rows).collect();
    if head.next() == Some("rowsort") {
        lines.sort();
    }
    if let Some(batch) = batches.first() {
        let schema = batch.schema();
        let found: String = schema
            .fields()
            .iter()
            .map(|field| letter(field.data_type()))
            .collect();
        if found != types {
            lines.insert(0, format!("columns are of types {found}, not {types}"));
        }
    }
    let text = lines
        .join("\n")
        .replace(dir.trim_start_matches('/'), "$DIR");
    text.lines().map(str::to_owned).collect()
}

fn letter(data_type: &DataType) -> char {
    match data_type {
        DataType::Boolean => 'B',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 'T',
        DataType::Timestamp(_, _) => 'P',
        DataType::Date32 | DataType::Date64 => 'D',
        integer if integer.is_integer() => 'I',
        float if float.is_floating() => 'R',
        _ => '?',
    }
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("values can be printed"))
        .collect();
    let row = |row| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join(" ")
    };
    (0..batch.num_rows()).map(row).collect()
}
