//! Clients that mean no good, or know no better.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use arrow::array::RecordBatch;
use arrow_flight::sql::{
    Any, CommandPreparedStatementQuery, CommandStatementIngest, ProstMessageExt,
    TicketStatementQuery,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use futures::stream;
use tonic::Code;

use super::{Client, PATIENCE, connect, got, refusal, status, texts};
use crate::serve::Service;

/// As it goes over the wire.
fn packed(command: &impl ProstMessageExt) -> Vec<u8> {
    encoded(&command.as_any())
}

/// A message with a name and bytes (`google.protobuf.Any`), both shorter than 128 bytes.
fn encoded(any: &Any) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).ok().filter(|n| *n < 128).unwrap();
    let (name, value) = (any.type_url.as_bytes(), &any.value[..]);
    let mut bytes = vec![0x0a, length(name)];
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&[0x12, length(value)]);
    bytes.extend_from_slice(value);
    bytes
}

async fn is_alive(client: &mut Client) {
    assert_eq!(texts(client, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn sql_reads_the_lake_and_nothing_else() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let file = std::env::temp_dir().join(format!("funnel-flight-{}.csv", std::process::id()));
    let copy = format!("COPY (SELECT 1) TO '{}'", file.display());
    let explained = format!("EXPLAIN ANALYZE {copy}");
    for sql in [
        copy.as_str(),
        explained.as_str(),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "DELETE FROM events",
        "UPDATE events SET account_id = 'x'",
        "TRUNCATE TABLE events",
        "SELECT 1 INTO t",
    ] {
        let said = refusal(&mut client, sql).await;
        assert_eq!(said.code(), Code::PermissionDenied, "{sql}: {said:?}");
        assert!(
            said.message().contains("the server only reads"),
            "{sql}: {said:?}"
        );
    }
    assert!(!file.exists());
    for (sql, code) in [
        (
            "SET datafusion.execution.batch_size = 1",
            Code::Unimplemented,
        ),
        ("RESET datafusion.execution.batch_size", Code::Unimplemented),
        ("BEGIN", Code::Unimplemented),
        ("PREPARE p AS SELECT 1", Code::Unimplemented),
        ("SELECT * FROM '/etc/passwd'", Code::NotFound),
        (
            "SELECT * FROM read_csv('/etc/passwd')",
            Code::InvalidArgument,
        ),
        ("SELECT 1; DROP TABLE events", Code::InvalidArgument),
        ("SELECT 1 / 0", Code::InvalidArgument),
        ("SELECT no_such_column FROM events", Code::InvalidArgument),
        ("nonsense", Code::InvalidArgument),
        ("SELECT 'never ended", Code::InvalidArgument),
        ("", Code::InvalidArgument),
    ] {
        let said = refusal(&mut client, sql).await;
        assert_eq!(said.code(), code, "{sql}: {said:?}");
        for noise in [
            "DataFusion",
            "Error during planning",
            "Some(",
            "ParserError",
        ] {
            assert!(!said.message().contains(noise), "{sql}: {said:?}");
        }
    }
    is_alive(&mut client).await;
}

#[tokio::test]
async fn calls_that_write_are_refused() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let insert = "INSERT INTO events SELECT * FROM events".to_owned();
    let refused = [
        client.execute_update(insert.clone(), None).await.err(),
        client.prepare(insert, None).await.err(),
        client
            .execute_ingest(CommandStatementIngest::default(), rows_to_ingest())
            .await
            .err(),
    ];
    for refused in refused {
        let refused = status(refused.expect("a refusal"));
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(
            refused.message().contains("the server only reads"),
            "{refused:?}"
        );
    }
    let begun = client.begin_transaction().await.map_err(status);
    assert_eq!(begun.unwrap_err().code(), Code::Unimplemented);
    is_alive(&mut client).await;
}

fn rows_to_ingest() -> impl futures::Stream<Item = arrow_flight::error::Result<RecordBatch>> {
    let row = std::sync::Arc::new(arrow::array::Int64Array::from(vec![1])) as _;
    let batch = RecordBatch::try_from_iter([("one", row)]).unwrap();
    stream::iter([Ok(batch)])
}

#[tokio::test]
async fn tickets_and_handles_that_nobody_gave_are_refused() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let handle = |bytes: &[u8]| bytes.to_vec().into();
    // `sql` is SELECT ?, with values that are none.
    let lies = [&b"\x0a\x08SELECT ?\x12\x04"[..], &[0xff, 0xff, 0xff, 0xff]].concat();
    for bytes in [&b"guess"[..], &[0xff; 64], &lies] {
        let by_ticket = packed(&TicketStatementQuery {
            statement_handle: handle(bytes),
        });
        let by_handle = packed(&CommandPreparedStatementQuery {
            prepared_statement_handle: handle(bytes),
        });
        for ticket in [by_ticket, by_handle] {
            let said = got(&mut client, Ticket::new(ticket)).await.unwrap_err();
            assert_eq!(said.code(), Code::InvalidArgument, "{bytes:?}: {said:?}");
        }
        // What is no ticket at all, or one of something else.
        let said = got(&mut client, Ticket::new(bytes.to_vec())).await;
        let code = said.unwrap_err().code();
        assert!(
            [Code::InvalidArgument, Code::Unimplemented].contains(&code),
            "{bytes:?}: {code:?}"
        );
    }
    let descriptor = FlightDescriptor::new_cmd(packed(&CommandPreparedStatementQuery {
        prepared_statement_handle: handle(b"\x0a\x08SELECT ?"),
    }));
    for data in [
        FlightData::new(),
        FlightData::new().with_data_header(vec![0xff; 32]),
        FlightData::new()
            .with_data_header(vec![0; 32])
            .with_data_body(vec![1; 32]),
    ] {
        let sent = stream::iter([data.clone().with_descriptor(descriptor.clone())]);
        let said = client.inner_mut().do_put(sent).await.err().unwrap();
        assert_eq!(said.code(), Code::InvalidArgument, "{data:?}: {said:?}");
        let said = client.inner_mut().do_put(stream::iter([data])).await;
        assert_eq!(said.err().unwrap().code(), Code::InvalidArgument);
    }
    let many = FlightData::new().with_data_body(vec![0; 40 << 10]);
    let sent = stream::iter([many.clone().with_descriptor(descriptor), many]);
    let said = client.inner_mut().do_put(sent).await.err().unwrap();
    assert_eq!(said.code(), Code::ResourceExhausted, "{said:?}");
    let action = Action::new("CreatePreparedStatement", vec![0xff; 16]);
    let said = client.inner_mut().do_action(action).await.err().unwrap();
    assert_eq!(said.code(), Code::InvalidArgument, "{said:?}");
    is_alive(&mut client).await;
}

/// A client that never comes to its point is sent away, and others are answered meanwhile.
#[tokio::test]
async fn slow_clients_and_other_protocols_are_sent_away() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let slow = |begin: &'static [u8]| {
        let address = service.flight;
        std::thread::spawn(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(begin).unwrap();
            let mut said = Vec::new();
            // Closed or reset; not that nothing comes any more.
            if let Err(error) = socket.read_to_end(&mut said) {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            }
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    let clients = [
        slow(b""),
        slow(b"PRI * HTTP/2.0\r\n"),
        slow(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        slow(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        slow(b"\x16\x03\x01\x00\xa5\x01\x00"),
    ];
    is_alive(&mut client).await;
    for client in clients {
        let said = client.join().unwrap();
        assert!(!said.contains("HTTP/1.1 200"), "{said}");
    }
    is_alive(&mut client).await;
}
