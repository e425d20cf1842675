//! What a client asks about the lake and the server.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};

use tonic::codegen::Bytes;

use super::{connect, fetched, first, query};
use crate::serve::Service;

fn column(rows: &RecordBatch, at: usize) -> Vec<String> {
    first(&rows.project(&[at]).unwrap())
}

#[tokio::test]
async fn catalogs_schemas_and_tables_are_those_of_sql() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let sql = "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
               WHERE table_schema <> 'information_schema' ORDER BY table_name";
    let known = query(&mut client, sql).await.unwrap();
    let info = client.get_catalogs().await.unwrap();
    let catalogs = fetched(&mut client, info).await.unwrap();
    assert_eq!(column(&catalogs, 0), column(&known, 0)[..1]);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await;
    let schemas = fetched(&mut client, info.unwrap()).await.unwrap();
    assert_eq!(column(&schemas, 0), column(&known, 0)[..1]);
    assert_eq!(column(&schemas, 1), column(&known, 1)[..1]);
    let info = client.get_table_types().await.unwrap();
    let types = fetched(&mut client, info).await.unwrap();
    assert_eq!(column(&types, 0), ["TABLE", "VIEW"]);
    let info = client.get_tables(CommandGetTables::default()).await;
    let tables = fetched(&mut client, info.unwrap()).await.unwrap();
    for at in 0..3 {
        assert_eq!(column(&tables, at), column(&known, at), "{at}");
    }
    let kinds: BTreeMap<String, String> = column(&tables, 2)
        .into_iter()
        .zip(column(&tables, 3))
        .collect();
    assert_eq!(kinds["events"], "TABLE");
    assert_eq!(kinds["offers"], "VIEW");
}

#[tokio::test]
async fn tables_are_found_by_pattern_and_kind() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let pattern = |text: &str| CommandGetTables {
        table_name_filter_pattern: Some(text.to_owned()),
        ..CommandGetTables::default()
    };
    let views = CommandGetTables {
        table_types: vec!["VIEW".to_owned()],
        ..pattern("%events%")
    };
    let elsewhere = CommandGetTables {
        catalog: Some("elsewhere".to_owned()),
        ..CommandGetTables::default()
    };
    let nowhere = CommandGetTables {
        db_schema_filter_pattern: Some("p_vate".to_owned()),
        ..CommandGetTables::default()
    };
    for (asked, wanted) in [
        (pattern("event_"), vec!["events"]),
        (pattern("%chat%"), vec!["chats"]),
        (views, vec!["events_enriched"]),
        (elsewhere, vec![]),
        (nowhere, vec![]),
    ] {
        let info = client.get_tables(asked.clone()).await.unwrap();
        let found = fetched(&mut client, info).await.unwrap();
        assert_eq!(column(&found, 2), wanted, "{asked:?}");
    }
}

/// The columns of every table, as a query gives them.
#[tokio::test]
async fn tables_come_with_their_columns() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let asked = CommandGetTables {
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(asked).await.unwrap();
    let tables = fetched(&mut client, info).await.unwrap();
    let schemas = tables.column(4).as_binary::<i32>();
    assert!(tables.num_rows() >= 8, "{tables:?}");
    for (name, bytes) in column(&tables, 2).iter().zip(schemas.iter()) {
        let bytes = Bytes::copy_from_slice(bytes.unwrap());
        let told = Schema::try_from(IpcMessage(bytes)).unwrap();
        let sql = format!("SELECT * FROM {name} WHERE false");
        let found = query(&mut client, &sql).await.unwrap();
        let shown = |schema: &Schema| -> Vec<String> {
            let fields = schema.fields().iter();
            let shown = fields.map(|field| format!("{} {}", field.name(), field.data_type()));
            shown.collect()
        };
        assert_eq!(shown(&told), shown(&found.schema()), "{name}");
    }
}

#[tokio::test]
async fn the_server_says_what_it_can_do() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let info = client.get_sql_info(Vec::new()).await.unwrap();
    let all = fetched(&mut client, info).await.unwrap();
    assert!(all.num_rows() > 20, "{all:?}");
    let asked = vec![
        SqlInfo::FlightSqlServerName,
        SqlInfo::FlightSqlServerReadOnly,
    ];
    let info = client.get_sql_info(asked).await.unwrap();
    let some = fetched(&mut client, info).await.unwrap();
    assert_eq!(column(&some, 0), ["0", "3"]);
    let values = some.column(1).as_union();
    assert_eq!(values.value(0).as_string::<i32>().value(0), "funnel");
    assert!(values.value(1).as_boolean().value(0), "it only reads");
}

#[tokio::test]
async fn there_are_no_keys_and_no_types_to_be_told() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let table = || "events".to_owned();
    let infos = [
        client
            .get_primary_keys(CommandGetPrimaryKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_exported_keys(CommandGetExportedKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_imported_keys(CommandGetImportedKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_cross_reference(CommandGetCrossReference::default())
            .await,
        client
            .get_xdbc_type_info(CommandGetXdbcTypeInfo::default())
            .await,
    ];
    for info in infos {
        let found = fetched(&mut client, info.unwrap()).await.unwrap();
        assert_eq!(found.num_rows(), 0);
        assert!(found.num_columns() >= 6, "{found:?}");
    }
}
