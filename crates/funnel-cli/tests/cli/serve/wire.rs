//! The PostgreSQL wire from outside, by a client that we did not write.

mod catalog;
mod ends;
pub(super) mod hostile;
mod protocol;
mod rows;
mod sight;
mod tools;

use std::time::Duration;

use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::Service;

/// Runs longer than any test waits.
const ENDLESS: &str = "SELECT count(*) FROM events AS a, events AS b, events AS c, events AS d \
                       WHERE a.event_time < d.event_time";
/// No answer takes so long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(service: &Service) -> Config {
    let mut config = Config::new();
    config
        .host(service.pg.ip().to_string())
        .port(service.pg.port())
        .user("tester")
        .dbname("lake")
        .connect_timeout(PATIENCE);
    config
}

async fn connect_as(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub(super) async fn connect(service: &Service) -> Client {
    connect_as(&config(service)).await.unwrap()
}

/// Why nobody can connect.
pub(super) async fn refused(service: &Service) -> DbError {
    match connect_as(&config(service)).await {
        Ok(_) => panic!("it was let in"),
        Err(error) => db_error(&error),
    }
}

/// The first column of the rows of the last statement.
pub(super) async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await;
    let messages = messages.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    });
    rows.collect()
}

/// The only value of a statement.
pub(super) async fn text(client: &Client, sql: &str) -> String {
    let mut texts = texts(client, sql).await;
    assert_eq!(texts.len(), 1, "{sql}");
    texts.remove(0)
}

/// Why a statement was refused.
async fn refusal(client: &Client, sql: &str) -> DbError {
    match client.simple_query(sql).await {
        Ok(found) => panic!("{sql} was not refused: {found:?}"),
        Err(error) => db_error(&error),
    }
}

#[track_caller]
fn db_error(error: &tokio_postgres::Error) -> DbError {
    let known = error.as_db_error();
    known
        .unwrap_or_else(|| panic!("not an answer of the server: {error:?}"))
        .clone()
}
