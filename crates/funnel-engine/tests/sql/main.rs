//! The functions as SQL sees them.

#![cfg(test)]

mod arguments;
mod clickhouse;
mod fuzz;
mod hashed;
mod hold;
mod ids;
mod local_time;
mod options;
mod oracle;
mod pages;
mod session;
mod sorted;
mod state;
mod types;
mod views;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::prelude::SessionContext;
use funnel_engine::SessionBuilder;

fn session() -> SessionContext {
    SessionBuilder::new().target_partitions(2).build().unwrap()
}

async fn run(session: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    session.sql(sql).await?.collect().await
}

/// The answer as a table of text, without its frame.
async fn text(session: &SessionContext, sql: &str) -> String {
    let batches = run(session, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n{error}"));
    table(&batches)
}

fn table(batches: &[RecordBatch]) -> String {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" | ")
    };
    rows.map(cells).collect::<Vec<_>>().join("\n")
}

/// The message of the error that `sql` ends with, however far it gets.
async fn error(session: &SessionContext, sql: &str) -> String {
    match run(session, sql).await {
        Ok(_) => panic!("{sql}\nhas an answer"),
        Err(error) => error.find_root().to_string(),
    }
}
