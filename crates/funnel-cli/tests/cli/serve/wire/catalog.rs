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

/// What Grafana's query builder sends, word by word, and what its macros become.
#[tokio::test]
async fn statements_of_grafana_are_answered() {
    let service = Service::start("");
    let client = connect(&service).await;
    let path = r#"quote_ident(table_schema) IN (
              SELECT
                CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
              FROM
                generate_series(
                  array_lower(string_to_array(current_setting('search_path'),','),1),
                  array_upper(string_to_array(current_setting('search_path'),','),1)
                ) as i,
                string_to_array(current_setting('search_path'),',') s
              )"#;
    let tables = format!(
        r#"SELECT
        CASE WHEN
              {path}
          THEN quote_ident(table_name)
          ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
        END AS "table"
        FROM information_schema.tables
        WHERE quote_ident(table_schema) NOT IN ('information_schema',
                                 'pg_catalog',
                                 '_timescaledb_cache',
                                 '_timescaledb_catalog',
                                 '_timescaledb_internal',
                                 '_timescaledb_config',
                                 'timescaledb_information',
                                 'timescaledb_experimental')
        ORDER BY CASE WHEN
              {path} THEN 0 ELSE 1 END, 1"#
    );
    let found = texts(&client, &tables).await;
    assert!(
        found.iter().any(|table| table.ends_with("offers")),
        "{found:?}"
    );
    let columns = format!(
        r#"SELECT quote_ident(column_name) AS "column", data_type AS "type"
        FROM information_schema.columns
        WHERE
          CASE WHEN array_length(parse_ident('public.offers'),1) = 2
            THEN quote_ident(table_schema) = (parse_ident('public.offers'))[1]
              AND quote_ident(table_name) = (parse_ident('public.offers'))[2]
            ELSE quote_ident(table_name) = 'public.offers'
              AND
              {path}
          END"#
    );
    let found = texts(&client, &columns).await;
    assert!(found.contains(&"account_id".to_owned()), "{found:?}");
    for (query, count) in [
        (
            "SELECT current_setting('server_version_num')::int/100 as version",
            1,
        ),
        (
            "SELECT floor(extract(epoch from event_time)/86400)*86400 AS \"time\", count(*) AS n FROM events \
             WHERE event_time BETWEEN '2024-03-04T00:00:00Z' AND '2024-03-06T23:59:59.999Z' GROUP BY 1 ORDER BY 1",
            3,
        ),
    ] {
        assert_eq!(texts(&client, query).await.len(), count, "{query}");
    }
}

#[tokio::test]
async fn named_queries_are_tables() {
    let service = Service::start("");
    let client = connect(&service).await;
    let names = texts(&client, "SELECT name FROM named_queries() ORDER BY 1").await;
    assert!(names.contains(&"metrics".to_owned()), "{names:?}");
    let accounts = texts(
        &client,
        "SELECT account_id FROM named_query('metrics', named_struct('from', '2024-03-01', 'to', '2024-04-30')) ORDER BY 1",
    )
    .await;
    assert_eq!(accounts, crate::serve::accounts());
}
