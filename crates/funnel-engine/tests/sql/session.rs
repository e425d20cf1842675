//! What a session is built with.

use datafusion::prelude::{SessionConfig, SessionContext};
use funnel_engine::{SessionBuilder, register_all};

use crate::{run, text};

#[tokio::test]
async fn every_function_is_known_and_documented() {
    let session = SessionBuilder::new().build().unwrap();
    let sql = "SELECT DISTINCT routine_name FROM information_schema.routines
        WHERE routine_name IN ('window_funnel', 'funnel_match', 'funnel_steps', 'funnel_state',
                               'funnel_merge', 'funnel_level', 'local_date', 'local_hour',
                               'retention', 'sequence_count', 'sequence_match') ORDER BY 1";
    let expected = "funnel_level\nfunnel_match\nfunnel_merge\nfunnel_state\nfunnel_steps\n\
                    local_date\nlocal_hour\nretention\nsequence_count\nsequence_match\n\
                    window_funnel";
    assert_eq!(text(&session, sql).await, expected);
    for function in funnel_engine::aggregate_functions() {
        let documentation = function.documentation().unwrap();
        assert!(documentation.syntax_example.starts_with(function.name()));
    }
}

#[tokio::test]
async fn functions_can_be_added_to_any_session_twice() {
    let session = SessionContext::new();
    register_all(&session);
    register_all(&session);
    assert_eq!(
        text(&session, "SELECT window_funnel(1, 'ordered', 1, true)").await,
        "1"
    );
}

#[tokio::test]
async fn settings_reach_the_session() {
    let session = SessionBuilder::with_config(SessionConfig::new())
        .batch_size(7)
        .target_partitions(3)
        .build()
        .unwrap();
    let state = session.state();
    let config = state.config();
    assert_eq!((config.batch_size(), config.target_partitions()), (7, 3));
}

#[test]
fn sizes_of_zero_are_refused() {
    let error = SessionBuilder::new().memory_limit(0).build().err().unwrap();
    assert!(
        error
            .to_string()
            .contains("memory limit must be at least one byte"),
        "{error}"
    );
    let error = SessionBuilder::new().batch_size(0).build().err().unwrap();
    assert!(
        error
            .to_string()
            .contains("batch size must be at least one row"),
        "{error}"
    );
}

#[tokio::test]
async fn query_over_the_memory_limit_fails_and_names_the_consumer() {
    let session = SessionBuilder::new()
        .target_partitions(1)
        .memory_limit(200 * 1024)
        .build()
        .unwrap();
    let sql = "SELECT window_funnel(NULL, 'ordered', value, true, value > 5)
        FROM generate_series(1, 1000000)";
    let error = run(&session, sql).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("Resources exhausted"), "{message}");
}
