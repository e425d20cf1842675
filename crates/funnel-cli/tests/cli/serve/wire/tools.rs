//! Statements of tools that are not in our tests themselves, or only in those that take long: replayed as they are sent.

use tokio_postgres::types::ToSql;

use super::{connect, text, texts};
use crate::serve::{Service, accounts};

/// The rows of a statement with parameters, each with its columns as texts.
async fn rows(
    client: &tokio_postgres::Client,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Vec<Vec<Option<String>>> {
    let rows = client.query(sql, values).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    let cell = |row: &tokio_postgres::Row, at: usize| match row.columns()[at].type_().name() {
        "bool" => row.get::<_, Option<bool>>(at).map(|v| v.to_string()),
        "int4" => row.get::<_, Option<i32>>(at).map(|v| v.to_string()),
        "int8" => row.get::<_, Option<i64>>(at).map(|v| v.to_string()),
        _ => row.get(at),
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|at| cell(row, at)).collect())
        .collect()
}

/// What Metabase asks for when it looks at a database.
#[tokio::test]
async fn metabase_finds_tables() {
    let service = Service::start("");
    let client = connect(&service).await;
    let schema: [&(dyn ToSql + Sync); 1] = [&"public"];
    let tables = r#"SELECT "n"."nspname" AS "schema", "c"."relname" AS "name", CASE "c"."relkind" WHEN 'r' THEN 'TABLE'
        WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW'
        ELSE NULL END AS "type", "d"."description" AS "description", "stat"."n_live_tup" AS "estimated_row_count"
        FROM "pg_catalog"."pg_class" AS "c" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "c"."relnamespace" = "n"."oid"
        LEFT JOIN "pg_catalog"."pg_description" AS "d" ON ("c"."oid" = "d"."objoid") AND ("d"."objsubid" = 0)
        AND ("d"."classoid" = 'pg_class'::regclass) LEFT JOIN "pg_stat_user_tables" AS "stat"
        ON ("n"."nspname" = "stat"."schemaname") AND ("c"."relname" = "stat"."relname")
        WHERE ("c"."relnamespace" = "n"."oid") AND ("n"."nspname" !~ '^pg_') AND ("n"."nspname" <> 'information_schema')
        AND c.relkind in ('r', 'p', 'v', 'f', 'm') AND ("n"."nspname" IN ($1))
        ORDER BY "type" ASC, "schema" ASC, "name" ASC"#;
    let found = rows(&client, tables, &schema).await;
    let found: Vec<_> = found
        .iter()
        .map(|row| format!("{} {}", row[2].as_ref().unwrap(), row[1].as_ref().unwrap()))
        .collect();
    let wanted = [
        "TABLE events",
        "TABLE ledger",
        "TABLE rejects",
        "VIEW chats",
        "VIEW conversions",
        "VIEW events_enriched",
        "VIEW offers",
        "VIEW sessions",
    ];
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn metabase_finds_fields_with_their_types() {
    let service = Service::start("");
    let client = connect(&service).await;
    let fields = r#"SELECT "c"."column_name" AS "name", CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog')
        THEN FORMAT('%s', "c"."udt_name") ELSE FORMAT('"%s"."%s"', "c"."udt_schema", "c"."udt_name") END AS "database-type",
        "c"."ordinal_position" - 1 AS "database-position", "c"."table_schema" AS "table-schema", "c"."table_name" AS "table-name",
        "pk"."column_name" IS NOT NULL AS "pk?", COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST("c"."table_schema" AS TEXT),
        CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID), "c"."ordinal_position") AS "field-comment",
        (("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO')
        AND NOT ((("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO'))
        AS "database-required", (("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%'))
        OR ("is_identity" <> 'NO') AS "database-is-auto-increment" FROM "information_schema"."columns" AS "c"
        LEFT JOIN (SELECT "tc"."table_schema", "tc"."table_name", "kc"."column_name" FROM "information_schema"."table_constraints" AS "tc"
        INNER JOIN "information_schema"."key_column_usage" AS "kc" ON ("tc"."constraint_name" = "kc"."constraint_name")
        AND ("tc"."table_schema" = "kc"."table_schema") AND ("tc"."table_name" = "kc"."table_name")
        WHERE "tc"."constraint_type" = 'PRIMARY KEY') AS "pk" ON ("c"."table_schema" = "pk"."table_schema")
        AND ("c"."table_name" = "pk"."table_name") AND ("c"."column_name" = "pk"."column_name")
        WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN ($1))
        UNION ALL SELECT "pa"."attname" AS "name", CASE WHEN "ptn"."nspname" IN ('public', 'pg_catalog')
        THEN FORMAT('%s', "pt"."typname") ELSE FORMAT('"%s"."%s"', "ptn"."nspname", "pt"."typname") END AS "database-type",
        "pa"."attnum" - 1 AS "database-position", "pn"."nspname" AS "table-schema", "pc"."relname" AS "table-name", FALSE AS "pk?",
        NULL AS "field-comment", FALSE AS "database-required", FALSE AS "database-is-auto-increment"
        FROM "pg_catalog"."pg_class" AS "pc" INNER JOIN "pg_catalog"."pg_namespace" AS "pn" ON "pn"."oid" = "pc"."relnamespace"
        INNER JOIN "pg_catalog"."pg_attribute" AS "pa" ON "pa"."attrelid" = "pc"."oid"
        INNER JOIN "pg_catalog"."pg_type" AS "pt" ON "pt"."oid" = "pa"."atttypid"
        INNER JOIN "pg_catalog"."pg_namespace" AS "ptn" ON "ptn"."oid" = "pt"."typnamespace"
        WHERE ("pc"."relkind" = 'm') AND ("pa"."attnum" >= 1) AND ("pn"."nspname" IN ($2))
        ORDER BY "table-schema" ASC, "table-name" ASC, "database-position" ASC"#;
    let found = rows(&client, fields, &[&"public", &"public"]).await;
    let offers: Vec<_> = found
        .iter()
        .filter(|row| row[4].as_deref() == Some("offers"))
        .map(|row| {
            (
                row[0].as_deref().unwrap(),
                row[1].as_deref().unwrap(),
                row[7].as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(offers[0], ("offer_key", "text", "false"));
    assert_eq!(offers[1], ("account_id", "text", "true"));
    assert!(
        offers.contains(&("session_start_time", "timestamptz", "false")),
        "{offers:?}"
    );
    assert!(
        offers.contains(&("session_start_date", "date", "false")),
        "{offers:?}"
    );
    assert!(
        offers.contains(&("campaign_id", "int8", "false")),
        "{offers:?}"
    );
}

#[tokio::test]
async fn metabase_finds_no_keys_and_may_not_write() {
    let service = Service::start("");
    let client = connect(&service).await;
    for nothing in [
        r#"SELECT "fk_ns"."nspname" AS "fk-table-schema", "fk_table"."relname" AS "fk-table-name", "fk_column"."attname" AS "fk-column-name",
        "pk_ns"."nspname" AS "pk-table-schema", "pk_table"."relname" AS "pk-table-name", "pk_column"."attname" AS "pk-column-name"
        FROM "pg_constraint" AS "c" INNER JOIN "pg_class" AS "fk_table" ON "c"."conrelid" = "fk_table"."oid"
        INNER JOIN "pg_namespace" AS "fk_ns" ON "c"."connamespace" = "fk_ns"."oid"
        INNER JOIN "pg_attribute" AS "fk_column" ON "c"."conrelid" = "fk_column"."attrelid"
        INNER JOIN "pg_class" AS "pk_table" ON "c"."confrelid" = "pk_table"."oid"
        INNER JOIN "pg_namespace" AS "pk_ns" ON "pk_table"."relnamespace" = "pk_ns"."oid"
        INNER JOIN "pg_attribute" AS "pk_column" ON "c"."confrelid" = "pk_column"."attrelid"
        WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND ("c"."contype" = 'f'::char)
        AND ("fk_column"."attnum" = ANY(c.conkey)) AND ("pk_column"."attnum" = ANY(c.confkey)) AND ("fk_ns"."nspname" IN ('public'))
        ORDER BY "fk-table-schema" ASC, "fk-table-name" ASC"#,
        r#"SELECT "tmp"."table-schema", "tmp"."table-name",
        TRIM(BOTH '"' FROM "pg_catalog"."pg_get_indexdef"("tmp"."ci_oid", "tmp"."pos", FALSE)) AS "field-name"
        FROM (SELECT "n"."nspname" AS "table-schema", "ct"."relname" AS "table-name", "ci"."oid" AS "ci_oid",
        (information_schema._pg_expandarray("i"."indkey")).n AS "pos" FROM "pg_catalog"."pg_class" AS "ct"
        INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "ct"."relnamespace" = "n"."oid"
        INNER JOIN "pg_catalog"."pg_index" AS "i" ON "ct"."oid" = "i"."indrelid"
        INNER JOIN "pg_catalog"."pg_class" AS "ci" ON "ci"."oid" = "i"."indexrelid"
        WHERE (pg_catalog.pg_get_expr("i"."indpred", "i"."indrelid") IS NULL)
        AND n.nspname !~ '^information_schema|catalog_history|pg_' AND ("n"."nspname" IN ('public'))) AS "tmp" WHERE "tmp"."pos" = 1"#,
        "SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)",
    ] {
        assert_eq!(
            rows(&client, nothing, &[]).await,
            Vec::<Vec<_>>::new(),
            "{nothing}"
        );
    }
    let name = r#"'"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"'"#;
    let privileges = format!(
        "with table_privileges as (select NULL as role, t.schemaname as schema, t.objectname as table,
         pg_catalog.has_any_column_privilege(current_user, {name}, 'update') as update,
         pg_catalog.has_any_column_privilege(current_user, {name}, 'select') as select,
         pg_catalog.has_any_column_privilege(current_user, {name}, 'insert') as insert,
         pg_catalog.has_table_privilege(current_user, {name}, 'delete') as delete
         from (select schemaname, tablename as objectname from pg_catalog.pg_tables
         union select schemaname, viewname as objectname from pg_catalog.pg_views
         union select schemaname, matviewname as objectname from pg_catalog.pg_matviews) t
         where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema'
         and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')) select t.* from table_privileges t"
    );
    let found = rows(&client, &privileges, &[]).await;
    assert_eq!(found.len(), 8, "{found:?}");
    for row in found {
        let may: Vec<_> = row[3..]
            .iter()
            .map(|cell| cell.as_deref().unwrap())
            .collect();
        assert_eq!(may, ["false", "true", "false", "false"], "{row:?}");
    }
}

/// What Metabase makes of the questions of its users.
#[tokio::test]
async fn metabase_asks_by_time() {
    let service = Service::start("");
    let client = connect(&service).await;
    let time = r#""public"."offers"."session_start_time""#;
    let all: i64 = text(
        &client,
        "SELECT COUNT(*) AS \"count\" FROM \"public\".\"offers\"",
    )
    .await
    .parse()
    .unwrap();
    assert!(all > 0);
    for unit in ["minute", "hour", "month", "quarter", "year"] {
        let bucket = format!("DATE_TRUNC('{unit}', {time})");
        let query = format!(
            r#"SELECT SUM("count") FROM (SELECT {bucket} AS "t", COUNT(*) AS "count" FROM "public"."offers" GROUP BY {bucket} ORDER BY {bucket} ASC) AS "source""#
        );
        assert_eq!(text(&client, &query).await, all.to_string(), "{query}");
    }
    let sunday = format!("(DATE_TRUNC('week', ({time} + INTERVAL '1 day')) + INTERVAL '-1 day')");
    let weeks = format!(
        r#"SELECT DISTINCT CAST(extract(dow FROM {sunday}) AS integer) FROM "public"."offers" WHERE {time} IS NOT NULL"#
    );
    assert_eq!(texts(&client, &weeks).await, ["0"]);
    for query in [
        format!(r#"SELECT CAST({time} AS date) AS "d", COUNT(*) AS "count" FROM "public"."offers" GROUP BY CAST({time} AS date) ORDER BY CAST({time} AS date) ASC"#),
        format!(r#"SELECT CAST(extract(hour FROM {time}) AS integer) AS "h", COUNT(*) FROM "public"."offers" GROUP BY CAST(extract(hour FROM {time}) AS integer)"#),
        format!(r#"SELECT COUNT(*) FROM "public"."offers" WHERE ({time} >= DATE_TRUNC('day', (NOW() + INTERVAL '-30 day'))) AND ({time} < DATE_TRUNC('day', NOW()))"#),
        r#"SELECT SUBSTRING("public"."offers"."flow", 1, 1234) AS "substring1" FROM "public"."offers" LIMIT 10000"#.to_owned(),
        r#"SELECT PERCENTILE_CONT(0.5) within group (order by "public"."events"."entry_index") AS "median" FROM "public"."events""#.to_owned(),
        r#"SELECT FLOOR((("public"."events"."entry_index" - 0.0) / 10.0)) * 10.0 + 0.0 AS "b", COUNT(*) FROM "public"."events" GROUP BY FLOOR((("public"."events"."entry_index" - 0.0) / 10.0)) * 10.0 + 0.0"#.to_owned(),
        format!(r#"SELECT DATE_TRUNC('day', timezone('Asia/Tokyo', {time})) AS "d" FROM "public"."offers" GROUP BY 1"#),
    ] {
        assert!(!texts(&client, &query).await.is_empty(), "{query}");
    }
    let none = r#"SELECT TRUE AS "_" FROM "public"."offers" WHERE 1 <> 1 LIMIT 0"#;
    assert!(texts(&client, none).await.is_empty());
}

/// What DuckDB sends with `ATTACH`, in one text, and how it then reads.
#[tokio::test]
async fn duckdb_attaches() {
    let service = Service::start("");
    let client = connect(&service).await;
    let attach = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SELECT oid, nspname FROM pg_namespace ORDER BY oid;
        SELECT pg_namespace.oid AS namespace_id, relname, relpages, attname, pg_type.typname type_name, atttypmod type_modifier,
        pg_attribute.attndims ndim, attnum, pg_attribute.attnotnull AS notnull, NULL constraint_id, NULL constraint_type,
        NULL constraint_key, type_ns.nspname AS type_schema FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
        JOIN pg_attribute ON pg_class.oid=pg_attribute.attrelid JOIN pg_type ON atttypid=pg_type.oid
        JOIN pg_namespace type_ns ON pg_type.typnamespace = type_ns.oid
        WHERE attnum > 0 AND relkind IN ('r', 'v', 'm', 'f', 'p')
        UNION ALL SELECT pg_namespace.oid AS namespace_id, relname, NULL relpages, NULL attname, NULL type_name, NULL type_modifier,
        NULL ndim, NULL attnum, NULL AS notnull, pg_constraint.oid AS constraint_id, contype AS constraint_type,
        conkey AS constraint_key, NULL AS type_schema FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
        JOIN pg_constraint ON (pg_class.oid=pg_constraint.conrelid) WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND contype IN ('p', 'u')
        ORDER BY namespace_id, relname, attnum, constraint_id;
        SELECT pg_namespace.oid, tablename, indexname FROM pg_indexes JOIN pg_namespace ON (schemaname=nspname) ORDER BY pg_namespace.oid;
        COMMIT";
    client.simple_query(attach).await.unwrap();
    // With pages it would ask for ranges of `ctid`.
    let pages = "SELECT DISTINCT relpages FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'";
    assert_eq!(texts(&client, pages).await, ["0"]);
    let filtered = "SELECT count(*) FROM (SELECT \"account_id\" FROM \"public\".\"events\" WHERE \"account_id\" = 'x' COLLATE \"C\")";
    assert_eq!(text(&client, filtered).await, "0");
}

/// SQLAlchemy 1.4 (Superset), ADBC, psql: what they ask of the catalog.
#[tokio::test]
async fn the_catalog_is_asked_in_other_ways() {
    let service = Service::start("");
    let client = connect(&service).await;
    let indexes = "SELECT i.relname as relname, ix.indisunique, a.attname, ix.indkey::varchar, ix.indnkeyatts as indnkeyatts
        FROM pg_class t join pg_index ix on t.oid = ix.indrelid join pg_class i on i.oid = ix.indexrelid
        left outer join pg_attribute a on t.oid = a.attrelid and a.attnum = ANY(ix.indkey)
        left outer join pg_constraint c on (ix.indrelid = c.conrelid and ix.indexrelid = c.conindid and c.contype in ('p', 'u', 'x'))
        WHERE t.relkind IN ('r', 'v', 'f', 'm', 'p') and ix.indisprimary = 'f' ORDER BY t.relname, i.relname";
    assert!(texts(&client, indexes).await.is_empty());
    for (query, wanted) in [
        (
            "SELECT count(*) FROM (VALUES (true), (false), (true)) AS v(flag) WHERE flag = 'f' OR 'no' = flag",
            "1",
        ),
        (
            "SELECT count(*) FROM (VALUES (true), (false), (true)) AS v(flag) WHERE flag <> 'f'",
            "2",
        ),
        (
            "SELECT typname FROM pg_type WHERE (typreceive != 0 OR typsend != 0) AND typtype != 'r' AND typreceive::TEXT != 'array_recv' AND oid = 16",
            "bool",
        ),
        (
            "SELECT to_char(INTERVAL '15 minutes' * floor(44.0 / 15) + TIMESTAMP '2024-03-04 10:00:00', 'HH24:MI')",
            "10:30",
        ),
        (
            "SELECT to_char(DATE_TRUNC('hour', t) + 2 * INTERVAL '5 minutes', 'HH24:MI') FROM (VALUES (TIMESTAMP '2024-03-04 10:44:01')) AS v(t)",
            "10:10",
        ),
        (
            "SELECT count(*) FROM pg_type WHERE typreceive = 0 AND typname = 'trigger'",
            "1",
        ),
        (
            "SELECT count(*) FROM pg_namespace WHERE oid = pg_my_temp_schema()",
            "0",
        ),
        ("SELECT array_to_string(ARRAY['a', NULL, 'b'], ',')", "a,b"),
        (
            "SELECT array_to_string(relacl, E'\\n') FROM pg_class WHERE relname = 'events'",
            "NULL",
        ),
        ("SELECT pg_get_viewdef('events'::regclass)", "NULL"),
        ("SELECT format('%I=%L', 'A b', 'it''s')", "\"A b\"='it''s'"),
    ] {
        assert_eq!(text(&client, query).await, wanted, "{query}");
    }
    let definition =
        "SELECT pg_get_viewdef(c.oid, true) FROM pg_class c WHERE c.relname = 'offers'";
    let definition = text(&client, definition).await;
    assert!(definition.contains("AS offer_outcome"), "{definition}");
    let view = "SELECT definition FROM information_schema.views WHERE table_name = 'offers'";
    assert_eq!(text(&client, view).await, definition);
    let keys = "SELECT con.conname, ARRAY_AGG(attr.attname) AS colnames FROM pg_catalog.pg_constraint AS con
        CROSS JOIN UNNEST(conkey) AS conkeys INNER JOIN pg_catalog.pg_class AS cls ON cls.oid = con.conrelid
        INNER JOIN pg_catalog.pg_attribute AS attr ON attr.attnum = conkeys AND cls.oid = attr.attrelid
        WHERE con.contype IN ('c', 'u', 'p') GROUP BY conname";
    assert!(texts(&client, keys).await.is_empty());
    let names = "SELECT count(*) FROM pg_class c WHERE c.relname = 'events' AND c.oid::regclass IS NOT NULL \
                 AND format('%I.%I', 'public', c.relname)::regclass = c.oid";
    assert_eq!(text(&client, names).await, "1");
}

#[tokio::test]
async fn the_information_schema_is_that_of_postgresql() {
    let service = Service::start("");
    let client = connect(&service).await;
    let columns = rows(
        &client,
        "SELECT column_name, ordinal_position, is_nullable, data_type, udt_name, numeric_precision FROM information_schema.columns \
         WHERE table_catalog = 'lake' AND table_schema = 'public' AND table_name = 'offers' ORDER BY ordinal_position",
        &[],
    )
    .await;
    let line = |row: &[Option<String>]| {
        let cells = row.iter().map(|cell| cell.as_deref().unwrap_or("-"));
        cells.collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<_> = columns.iter().map(|row| line(row)).collect();
    assert_eq!(lines[0], "offer_key 1 YES text text -");
    assert_eq!(lines[1], "account_id 2 NO text text -");
    assert!(
        lines.contains(
            &"session_start_time 9 YES timestamp with time zone timestamptz -".to_owned()
        ),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"campaign_id 12 YES bigint int8 64".to_owned()),
        "{lines:?}"
    );
    for table in [
        "table_constraints",
        "key_column_usage",
        "constraint_column_usage",
        "referential_constraints",
    ] {
        let query = format!(
            "SELECT count(*) FROM information_schema.{table} WHERE constraint_name IS NOT NULL"
        );
        assert_eq!(text(&client, &query).await, "0");
    }
    let routines = "SELECT count(DISTINCT routine_name) FROM information_schema.routines WHERE routine_name IN ('window_funnel', 'funnel')";
    assert_eq!(text(&client, routines).await, "2");
    assert!(
        texts(&client, "SHOW TABLES")
            .await
            .contains(&"lake".to_owned())
    );
}

/// sqlglot, through which Superset sends its statements, writes names of functions in capitals.
#[tokio::test]
async fn names_of_functions_may_be_in_capitals() {
    let service = Service::start("");
    let client = connect(&service).await;
    let query = format!(
        "SELECT step, reached FROM funnel('monitored', '2024-03-01', '2024-04-30', named_struct('account', '{}')) ORDER BY step_index",
        accounts()[0]
    );
    let wanted = texts(&client, &query).await;
    assert!(wanted.len() > 5);
    assert_eq!(
        texts(
            &client,
            &query
                .replace("funnel(", "FUNNEL(")
                .replace("named_struct", "NAMED_STRUCT")
        )
        .await,
        wanted
    );
    assert!(
        !texts(&client, "SELECT name FROM NAMED_QUERIES()")
            .await
            .is_empty()
    );
}
