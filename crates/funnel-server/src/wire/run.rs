//! Rows in the form of the protocol.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_pg::datatypes::encode_recordbatch;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;

use super::errors::{Failure, plain};
use crate::runner::Runner;
pub(super) use crate::running::{Ends, Running, apart};

/// The rows of a batch as they go to the client, made on the threads of queries.
pub(super) async fn encoded(
    runner: &Runner,
    ends: &Ends,
    fields: &Arc<Vec<FieldInfo>>,
    batch: RecordBatch,
) -> PgWireResult<Vec<DataRow>> {
    let fields = Arc::clone(fields);
    let work = async move {
        let rows = encode_recordbatch(fields, batch);
        let rows = rows.collect::<PgWireResult<Vec<DataRow>>>();
        rows.map_err(|error| {
            let error = plain(error);
            Failure::new("22000", error.to_string())
        })
    };
    Ok(apart(runner, ends, work).await?)
}
