use std::time::Duration;

use funnel_ingest::config::Assignment;
use funnel_ingest::{ErrorKind, Ingest, Options};
use tokio_util::sync::CancellationToken;

use crate::support::{Cluster, audited, config, coordinates, drain, place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_stores_every_record_once_and_a_second_one_adds_nothing() {
    let cluster = Cluster::new(2);
    cluster.send_pages(0, 0..700);
    cluster.send_pages(1, 700..1000);
    cluster.send(0, None);
    cluster.send(0, Some(b"not json"));
    cluster.send(1, Some(b""));
    cluster.flush();
    let place = place().await;

    let first = drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    assert_eq!(first.totals.accepted, 1000);
    assert_eq!(first.totals.tombstone, 1);
    assert_eq!(first.totals.rejected, 2);
    let second = drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    assert_eq!(second.totals.accepted, 0);
    assert_eq!(second.totals.commits, 0);

    assert_eq!(
        coordinates(place.lake.events(), &place.lake).await.len(),
        1000
    );
    assert_eq!(
        coordinates(place.lake.rejects(), &place.lake).await.len(),
        2
    );
    audited(&place.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_commits_its_offsets_to_kafka_in_both_modes_of_assignment() {
    offsets_reach_kafka(Assignment::Group).await;
    offsets_reach_kafka(Assignment::Static {
        instances: 1,
        ordinal: 0,
    })
    .await;
}

async fn offsets_reach_kafka(assignment: Assignment) {
    let cluster = Cluster::new(2);
    cluster.send_pages(0, 0..50);
    cluster.send_pages(1, 50..80);
    cluster.flush();
    let place = place().await;
    let mut config = config(&cluster.brokers(), "");
    config.kafka.assignment = assignment;
    let summary = drain(config, &place.lake).await.expect("drained");
    assert_eq!(summary.totals.accepted, 80);

    let committed = cluster.committed();
    assert_eq!(committed, [Some(50), Some(30)]);
}

/// Each partition starts on its own, while the ones before it are already being fetched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_start_one_after_the_other_without_a_group() {
    const PARTITIONS: u64 = 48;
    let cluster = Cluster::new(PARTITIONS as i32);
    for partition in 0..PARTITIONS {
        cluster.send_pages(partition as i32, partition * 20..(partition + 1) * 20);
    }
    cluster.flush();
    for _ in 0..4 {
        let place = place().await;
        let mut config = config(&cluster.brokers(), "");
        config.kafka.assignment = Assignment::Static {
            instances: 1,
            ordinal: 0,
        };
        let summary = drain(config, &place.lake).await.expect("drained");
        assert_eq!(summary.totals.accepted, PARTITIONS * 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_are_dropped_across_a_restart() {
    let cluster = Cluster::new(1);
    cluster.send_pages(0, 0..10);
    cluster.flush();
    let place = place().await;
    drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    cluster.send_pages(0, 5..15);
    cluster.flush();
    let summary = drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    assert_eq!(summary.totals.duplicate, 5);
    assert_eq!(summary.totals.accepted, 5);
    audited(&place.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_commits_what_was_read_and_the_next_run_goes_on() {
    let cluster = Cluster::new(1);
    cluster.send_pages(0, 0..500);
    cluster.flush();
    let place = place().await;
    let mut slow = config(&cluster.brokers(), "");
    slow.flush.age = Duration::from_secs(3600);
    let shutdown = CancellationToken::new();
    let run = Ingest::start(
        slow,
        place.lake.clone(),
        shutdown.clone(),
        Options::default(),
    )
    .await
    .expect("started");
    let mut progress = run.progress();
    progress
        .wait_for(|now| now.consumed > 0)
        .await
        .expect("running");
    shutdown.cancel();
    let first = run.finished().await.expect("ended in order");
    assert!(
        first.totals.accepted > 0 && first.totals.commits == 1,
        "{first:?}"
    );
    drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    assert_eq!(
        coordinates(place.lake.events(), &place.lake).await.len(),
        500
    );
    audited(&place.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_of_the_same_partition_store_every_record_once() {
    let cluster = Cluster::new(1);
    let place = place().await;
    let shutdown = CancellationToken::new();
    let mut runs = Vec::new();
    for _ in 0..2 {
        // The same static assignment twice: a misconfiguration that must not cost a row.
        let config = config(&cluster.brokers(), "");
        let run = Ingest::start(
            config,
            place.lake.clone(),
            shutdown.clone(),
            Options::default(),
        );
        runs.push(run.await.expect("started"));
    }
    for step in 0..20 {
        cluster.send_pages(0, step * 50..(step + 1) * 50);
        cluster.flush();
        let mut progress = runs[0].progress();
        progress
            .wait_for(|now| now.consumed >= (step + 1) * 50)
            .await
            .expect("running");
    }
    shutdown.cancel();
    let mut fenced = 0;
    for run in runs {
        fenced += run.finished().await.expect("ended in order").totals.fenced;
    }
    drain(config(&cluster.brokers(), ""), &place.lake)
        .await
        .expect("drained");
    assert_eq!(
        coordinates(place.lake.events(), &place.lake).await.len(),
        1000
    );
    assert!(fenced > 0, "the two never met");
    audited(&place.lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_port_tells_life_readiness_and_numbers() {
    let cluster = Cluster::new(1);
    cluster.send_pages(0, 0..5);
    cluster.flush();
    let place = place().await;
    let shutdown = CancellationToken::new();
    let config = config(&cluster.brokers(), "[http]\nlisten = \"127.0.0.1:0\"\n");
    let run = Ingest::start(
        config,
        place.lake.clone(),
        shutdown.clone(),
        Options::default(),
    )
    .await
    .expect("started");
    let mut progress = run.progress();
    progress
        .wait_for(|now| now.event_rows == 5)
        .await
        .expect("running");
    let address = run.http().expect("an address");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    let ready = get(address, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains("\"kafka_connected\""),
        "{ready}"
    );
    let metrics = get(address, "/metrics").await;
    assert!(
        metrics.contains("funnel_ingest_rows_written_total{table=\"events\"} 5"),
        "{metrics}"
    );
    shutdown.cancel();
    run.finished().await.expect("ended in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_is_unavailable_for_a_drain() {
    let cluster = Cluster::new(1);
    let place = place().await;
    let mut config = config(&cluster.brokers(), "");
    config.kafka.topics = vec!["no.such.topic".to_owned()];
    let shutdown = CancellationToken::new();
    let options = Options {
        until_end: true,
        first_answer_max: Some(Duration::from_millis(200)),
        ..Options::default()
    };
    let error = Ingest::start(config, place.lake.clone(), shutdown, options)
        .await
        .expect("started")
        .finished()
        .await
        .expect_err("there is nothing to read");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no.such.topic"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_kafka_fails_a_drain_and_leaves_a_service_up_but_not_ready() {
    // Nothing listens on a port that was just given back.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let place = place().await;
    let options = Options {
        until_end: true,
        first_answer_max: Some(Duration::from_millis(200)),
        ..Options::default()
    };
    let config = config(&nowhere, "[http]\nlisten = \"127.0.0.1:0\"\n");
    let drain = Ingest::start(
        config.clone(),
        place.lake.clone(),
        CancellationToken::new(),
        options,
    );
    let error = drain
        .await
        .expect("started")
        .finished()
        .await
        .expect_err("unreachable");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&nowhere), "{error}");

    let shutdown = CancellationToken::new();
    let run = Ingest::start(
        config,
        place.lake.clone(),
        shutdown.clone(),
        Options::default(),
    )
    .await
    .expect("started");
    let address = run.http().expect("an address");
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    shutdown.cancel();
    let summary = run.finished().await.expect("ended in order");
    assert_eq!(summary.totals.commits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_back_is_read_on() {
    let cluster = Cluster::new(1);
    cluster.send_pages(0, 0..10);
    cluster.flush();
    let place = place().await;
    let shutdown = CancellationToken::new();
    let config = config(&cluster.brokers(), "[http]\nlisten = \"127.0.0.1:0\"\n");
    let run = Ingest::start(
        config,
        place.lake.clone(),
        shutdown.clone(),
        Options::default(),
    )
    .await
    .expect("started");
    let mut progress = run.progress();
    progress
        .wait_for(|now| now.event_rows == 10)
        .await
        .expect("running");
    cluster.down(true);
    let address = run.http().expect("an address");
    while !get(address, "/readyz").await.starts_with("HTTP/1.1 503") {
        tokio::task::yield_now().await;
    }
    cluster.down(false);
    cluster.send_pages(0, 10..30);
    cluster.flush();
    progress
        .wait_for(|now| now.event_rows == 30)
        .await
        .expect("running");
    while !get(address, "/readyz").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    run.finished().await.expect("ended in order");
    audited(&place.lake).await;
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_and_leave_a_group_and_every_record_is_stored_once() {
    let cluster = Cluster::new(4);
    let place = place().await;
    let start = async |shutdown: &CancellationToken| {
        let mut config = config(
            &cluster.brokers(),
            "[kafka.options]\nsession.timeout.ms = 6000\n",
        );
        config.kafka.assignment = Assignment::Group;
        Ingest::start(
            config,
            place.lake.clone(),
            shutdown.clone(),
            Options::default(),
        )
        .await
        .expect("started")
    };
    let send = |steps: std::ops::Range<u64>| {
        for step in steps {
            cluster.send_pages((step % 4) as i32, step * 25..(step + 1) * 25);
        }
        cluster.flush();
    };
    let (first_stop, second_stop) = (CancellationToken::new(), CancellationToken::new());
    let first = start(&first_stop).await;
    send(0..12);
    let mut progress = first.progress();
    progress
        .wait_for(|now| now.event_rows == 300)
        .await
        .expect("running");
    let second = start(&second_stop).await;
    let mut progress = second.progress();
    // The second one gets partitions, and new records of them.
    let mut step = 12;
    while progress.borrow_and_update().event_rows == 0 {
        send(step..step + 4);
        step += 4;
        tokio::time::timeout(Duration::from_millis(300), progress.changed())
            .await
            .ok();
        assert!(step < 1000, "the second member never got a partition");
    }
    first_stop.cancel();
    let first = first.finished().await.expect("left in order");
    send(step..step + 8);
    step += 8;
    let all = step * 25;
    progress
        .wait_for(|now| now.event_rows + first.totals.event_rows >= all)
        .await
        .expect("running");
    second_stop.cancel();
    let second = second.finished().await.expect("left in order");
    assert_eq!(first.totals.event_rows + second.totals.event_rows, all);
    assert_eq!(
        coordinates(place.lake.events(), &place.lake).await.len() as u64,
        all
    );
    audited(&place.lake).await;
}
