//! Who is let in, and what they see.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_flight::sql::CommandGetTables;
use arrow_flight::{Action, Criteria, FlightData, FlightDescriptor, HandshakeRequest};
use futures::stream;
use tonic::Code;

use super::{
    Client, connect, connect_as, endpoint, fetched, first, got, query, refusal, status, texts,
    ticket,
};
use crate::serve::sight::{reader_and_operator, token};
use crate::serve::{Service, accounts};

const TABLES: [&str; 6] = [
    "events",
    "events_enriched",
    "sessions",
    "offers",
    "chats",
    "conversions",
];

#[tokio::test]
async fn a_reader_of_one_account_never_sees_another() {
    let accounts = accounts();
    let own = &accounts[0];
    let (service, secret, all_secret) = reader_and_operator();
    let mut reader = connect_as(&service, &secret).await;
    let mut operator = connect_as(&service, &all_secret).await;
    for table in TABLES {
        let sql = format!("SELECT DISTINCT account_id FROM {table} ORDER BY 1");
        assert_eq!(texts(&mut reader, &sql).await, [own.as_str()], "{table}");
        assert_eq!(texts(&mut operator, &sql).await, accounts, "{table}");
        // What one of them was handed out gives the other no more than their own question would.
        let info = operator.execute(sql.clone(), None).await.unwrap();
        let rows = got(&mut reader, ticket(&info)).await.unwrap();
        assert_eq!(first(&rows), [own.as_str()], "{table}");
    }
    for table in ["rejects", "ledger"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let said = refusal(&mut reader, &sql).await;
        assert_eq!(said.code(), Code::NotFound, "{said:?}");
        let info = operator.execute(sql, None).await.unwrap();
        let said = got(&mut reader, ticket(&info)).await.unwrap_err();
        assert_eq!(said.code(), Code::NotFound, "{said:?}");
        fetched(&mut operator, info).await.unwrap();
    }
    let names = |rows: &RecordBatch| first(&rows.project(&[2]).unwrap());
    let asked = CommandGetTables {
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = operator.get_tables(asked.clone()).await.unwrap();
    let known = names(&fetched(&mut operator, info.clone()).await.unwrap());
    assert!(known.contains(&"ledger".to_owned()), "{known:?}");
    // Also by the other's ticket.
    let seen = names(&got(&mut reader, ticket(&info)).await.unwrap());
    let info = reader.get_tables(asked).await.unwrap();
    assert_eq!(names(&fetched(&mut reader, info).await.unwrap()), seen);
    assert!(seen.contains(&"events".to_owned()), "{seen:?}");
    for hidden in ["rejects", "ledger"] {
        assert!(!seen.contains(&hidden.to_owned()), "{seen:?}");
    }
    let other = format!(
        "SELECT * FROM funnel('monitored', '2024-03-01', '2024-04-30', named_struct('account', '{}'))",
        accounts[1]
    );
    refusal(&mut reader, &other).await;
}

/// A handle says what is asked, and not who may have it.
#[tokio::test]
async fn a_prepared_statement_of_another_gives_no_more() {
    let accounts = accounts();
    let own = &accounts[0];
    let (service, secret, all_secret) = reader_and_operator();
    let mut reader = connect_as(&service, &secret).await;
    let mut operator = connect_as(&service, &all_secret).await;
    let sql = "SELECT DISTINCT account_id FROM events WHERE event_id <> ? ORDER BY 1";
    let mut prepared = operator.prepare(sql.to_owned(), None).await.unwrap();
    let value = Arc::new(StringArray::from(vec!["nothing"])) as _;
    let row = RecordBatch::try_from_iter([("1", value)]).unwrap();
    prepared.set_parameters(row).unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(
        first(&fetched(&mut operator, info.clone()).await.unwrap()),
        accounts
    );
    let rows = got(&mut reader, ticket(&info)).await.unwrap();
    assert_eq!(first(&rows), [own.as_str()]);
    let mut nobody = connect(&service).await;
    let said = got(&mut nobody, ticket(&info)).await.unwrap_err();
    assert_eq!(said.code(), Code::Unauthenticated, "{said:?}");
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let (_, entry) = token("one", "role = \"operator\"");
    let service = Service::with_tokens(&entry);
    let mut client = connect(&service).await;
    let flight = client.inner_mut();
    let descriptor = FlightDescriptor::new_cmd(Vec::new());
    let data = FlightData::new().with_descriptor(descriptor.clone());
    let refused = [
        flight.get_flight_info(descriptor.clone()).await.err(),
        flight.get_schema(descriptor.clone()).await.err(),
        flight.poll_flight_info(descriptor).await.err(),
        flight
            .do_get(arrow_flight::Ticket::new(Vec::new()))
            .await
            .err(),
        flight.do_put(stream::iter([data.clone()])).await.err(),
        flight.do_exchange(stream::iter([data])).await.err(),
        flight
            .do_action(Action::new("CreatePreparedStatement", Vec::new()))
            .await
            .err(),
        flight.list_actions(arrow_flight::Empty {}).await.err(),
        flight.list_flights(Criteria::default()).await.err(),
        flight
            .handshake(stream::iter([HandshakeRequest::default()]))
            .await
            .err(),
    ];
    for refused in refused {
        let refused = refused.expect("a refusal");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        assert!(refused.message().contains("Bearer TOKEN"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_name_and_its_token_are_a_token() {
    let (secret, entry) = token("one", "role = \"reader\"");
    let (_, other) = token("two", "role = \"reader\"");
    let service = Service::with_tokens(&format!("{entry}{other}"));
    let mut client = connect(&service).await;
    for (user, password) in [("one", "guess"), ("two", secret.as_str()), ("one", "")] {
        client.handshake(user, password).await.unwrap_err();
        assert_eq!(client.token(), None, "{user}");
    }
    client.handshake("one", &secret).await.unwrap();
    assert_eq!(client.token(), Some(&secret));
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn an_address_that_guesses_is_not_heard_on_any_port() {
    let (secret, entry) = token("one", "role = \"operator\"");
    let service = Service::with_tokens(&entry);
    let mut right = connect_as(&service, &secret).await;
    assert_eq!(texts(&mut right, "SELECT 1").await, ["1"]);
    let mut wrong = connect_as(&service, "fnl_guess").await;
    for _ in 0..10 {
        let said = refusal(&mut wrong, "SELECT 1").await;
        assert_eq!(said.code(), Code::Unauthenticated, "{said:?}");
        let guess = [("authorization", "Bearer fnl_guess")];
        assert_eq!(service.client.get("/api/v1/status", &guess).status, 401);
    }
    let said = refusal(&mut right, "SELECT 1").await;
    assert_eq!(said.code(), Code::ResourceExhausted, "{said:?}");
    assert!(said.message().contains("too many"), "{said:?}");
    let bearer = format!("Bearer {secret}");
    let known = [("authorization", bearer.as_str())];
    assert_eq!(service.client.get("/api/v1/status", &known).status, 429);
}

/// A page from elsewhere can have its own name lead to this machine.
#[tokio::test]
async fn without_tokens_only_names_of_this_machine_are_answered() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    texts(&mut client, "SELECT count(*) FROM ledger").await;
    for (name, is_answered) in [
        ("http://localhost:32010", true),
        ("http://[::1]", true),
        ("http://evil.example:32010", false),
        ("http://127.0.0.1.evil.example", false),
    ] {
        let endpoint = endpoint(&service).origin(name.parse().unwrap());
        let mut client = Client::new(endpoint.connect().await.unwrap());
        let answered = query(&mut client, "SELECT 1").await.map(drop);
        let code = answered.map_err(|status| status.code());
        let wanted = if is_answered {
            Ok(())
        } else {
            Err(Code::PermissionDenied)
        };
        assert_eq!(code, wanted, "{name}");
    }
    let refused = client.begin_transaction().await.map_err(status);
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}
