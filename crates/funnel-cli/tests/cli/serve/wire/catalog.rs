//! What PostgreSQL has and clients ask for: the statements of real ones, replayed.

use super::{connect, text, texts};
use crate::serve::Service;

#[tokio::test]
async fn functions_that_clients_ask_for_are_there() {
    let service = Service::start("");
    let client = connect(&service).await;
    assert!(
        text(&client, "SELECT version()")
            .await
            .starts_with("PostgreSQL 15")
    );
    for (query, wanted) in [
        ("SELECT current_setting('server_version_num')", "150008"),
        ("SELECT current_setting('no.such', true)", "NULL"),
        ("SHOW server_version", "15.8"),
        ("SHOW transaction_isolation", "read committed"),
        ("SHOW standard_conforming_strings", "on"),
        ("SELECT current_schema()", "public"),
        ("SELECT pg_catalog.current_database()", "lake"),
        ("SELECT to_regtype('hstore')", "NULL"),
        ("SELECT pg_type_is_visible(16)", "t"),
        ("SELECT pg_function_is_visible(16)", "t"),
        (
            "SELECT pg_get_serial_sequence('events', 'event_id')",
            "NULL",
        ),
        ("SELECT pg_is_in_recovery()", "f"),
        ("SELECT has_table_privilege('events', 'SELECT')", "t"),
        ("SELECT count(*) FROM pg_catalog.pg_user", "0"),
        ("SELECT format_type(25, NULL)", "text"),
    ] {
        assert_eq!(text(&client, query).await, wanted, "{query}");
    }
}

#[tokio::test]
async fn tables_and_columns_are_in_the_catalog() {
    let service = Service::start("");
    let client = connect(&service).await;
    let tables = texts(
        &client,
        "SELECT relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' ORDER BY 1",
    )
    .await;
    for table in [
        "chats",
        "conversions",
        "events",
        "events_enriched",
        "ledger",
        "offers",
        "rejects",
        "sessions",
    ] {
        assert!(
            tables.iter().any(|known| known == table),
            "{table}: {tables:?}"
        );
    }
    let listed = texts(
        &client,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_catalog = 'lake' ORDER BY 1",
    )
    .await;
    assert_eq!(listed, tables);
    let oid = "SELECT 'events'::regclass::oid";
    assert_eq!(text(&client, oid).await, text(&client, oid).await);
    let columns = texts(
        &client,
        "SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = 'offers'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    )
    .await;
    assert!(
        columns.contains(&"account_id text".to_owned()),
        "{columns:?}"
    );
    assert!(
        columns.iter().any(|column| column.contains("timestamp")),
        "{columns:?}"
    );
}
