//! The values of parameters: one row of Arrow, as a client binds it and as a handle keeps it.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};

use crate::failure::Failure;

/// What a client bound, as bytes for a handle.
pub(super) async fn bound(sent: Vec<FlightData>) -> Result<Bytes, Failure> {
    let sent = stream::iter(sent.into_iter().map(Ok));
    let batches = FlightRecordBatchStream::new_from_flight_data(sent.boxed());
    let batches: Vec<RecordBatch> = batches
        .try_collect()
        .await
        .map_err(|error| unreadable(&error))?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0);
    let (Some(batch), 1) = (batch, rows) else {
        return Err(Failure::new(
            "08P01",
            format!("{rows} rows of parameters were bound; a query is run with one"),
        ));
    };
    let mut writer =
        StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(|error| unreadable(&error))?;
    let written = writer.write(batch).and_then(|()| writer.into_inner());
    Ok(written.map_err(|error| unreadable(&error))?.into())
}

/// The values of a handle, by what the plan wants of each.
pub(super) fn of(bytes: &[u8], wanted: &[Option<DataType>]) -> Result<Vec<ScalarValue>, Failure> {
    let batch = if bytes.is_empty() {
        None
    } else {
        let mut batches = StreamReader::try_new(bytes, None).map_err(|error| unreadable(&error))?;
        let batch = batches.next().transpose();
        batch.map_err(|error| unreadable(&error))?
    };
    let given = batch.as_ref().map_or(0, RecordBatch::num_columns);
    if given != wanted.len() {
        return Err(Failure::new(
            "08P01",
            format!(
                "the statement has {} parameters, and {given} values are bound",
                wanted.len()
            ),
        ));
    }
    let Some(batch) = batch.filter(|batch| batch.num_rows() == 1) else {
        return Ok(Vec::new());
    };
    let columns = batch.columns().iter().zip(wanted).enumerate();
    columns
        .map(|(at, (column, wanted))| {
            let value = ScalarValue::try_from_array(column, 0)?;
            value_of(value, wanted.as_ref(), at + 1)
        })
        .collect()
}

/// The value as the plan takes it. Numbers and times stay what they are, since the plan compares them as such.
fn value_of(
    value: ScalarValue,
    wanted: Option<&DataType>,
    number: usize,
) -> Result<ScalarValue, Failure> {
    let value = match value {
        ScalarValue::Dictionary(_, value) => *value,
        value => value,
    };
    let Some(wanted) = wanted else {
        return Ok(value);
    };
    let is_text = |data_type: &DataType| data_type.is_string();
    let has = value.data_type();
    let is_read = value.is_null()
        || (is_text(&has) && !is_text(wanted))
        || (has.is_integer() && *wanted == DataType::Int64);
    if !is_read {
        return Ok(value);
    }
    value.cast_to(wanted).map_err(|_| {
        let message = format!("invalid input for parameter ${number}: {value} is no {wanted}");
        Failure::new("22P02", message)
    })
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        "08P01",
        format!("the values of the parameters could not be read: {error}"),
    )
}
