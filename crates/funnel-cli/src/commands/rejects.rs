//! `funnel rejects list` and `show`: what was refused, and why.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, col, lit};

use super::context::Context;
use crate::args::{RejectsCommand, RejectsListArgs, RejectsShowArgs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output, upright};

/// What a list shows; bytes, key and headers never.
const LISTED: [&str; 10] = [
    "reject_id",
    "ingested_time",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
    "reason_code",
    "detail",
    "event_type",
    "payload_len",
];

/// Columns that hold what the producer sent, byte by byte.
const RAW: [&str; 3] = ["payload", "key", "headers"];

pub(super) async fn run(context: &Context, command: &RejectsCommand) -> Result<Exit> {
    match command {
        RejectsCommand::List(args) => list(context, args).await,
        RejectsCommand::Show(args) => show(context, args).await,
    }
}

async fn list(context: &Context, args: &RejectsListArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let frame = rejects(context).await?;
    let found = listed(frame, args).map_err(failed)?.collect_batch().await?;
    output.batches(&found.schema(), &[found])?;
    Ok(Exit::Done)
}

fn listed(frame: DataFrame, args: &RejectsListArgs) -> Result<DataFrame, DataFusionError> {
    let mut frame = frame;
    if let Some(reason) = &args.reason {
        frame = frame.filter(col("reason_code").eq(lit(reason.as_str())))?;
    }
    if let Some(topic) = &args.topic {
        frame = frame.filter(col("kafka_topic").eq(lit(topic.as_str())))?;
    }
    if let Some(since) = args.since {
        let day = datafusion::scalar::ScalarValue::Utf8(Some(since.to_string()))
            .cast_to(&DataType::Date32)?;
        frame = frame.filter(col("ingest_date").gt_eq(lit(day)))?;
    }
    if args.by_reason {
        return frame
            .aggregate(
                vec![col("reason_code")],
                vec![count(lit(1)).alias("rejects")],
            )?
            .sort(vec![
                col("rejects").sort(false, false),
                col("reason_code").sort(true, false),
            ])?
            .limit(0, Some(args.limit));
    }
    frame
        .sort(vec![
            col("ingested_time").sort(false, false),
            col("kafka_topic").sort(true, false),
            col("kafka_partition").sort(true, false),
            col("kafka_offset").sort(false, false),
            col("entry_index").sort(true, true),
        ])?
        .limit(0, Some(args.limit))?
        .select_columns(&LISTED)
}

async fn show(context: &Context, args: &RejectsShowArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let frame = rejects(context).await?;
    let frame = frame
        .filter(col("reject_id").eq(lit(args.id.as_str())))
        .map_err(failed)?;
    let found = frame.collect_batch().await?;
    if found.num_rows() == 0 {
        return Err(
            CliError::failed(format!("there is no reject `{}`", args.id))
                .hint("`funnel rejects list` shows the ids"),
        );
    }
    if args.payload {
        output::print_bytes(&payload(&found, &args.id)?)?;
        return Ok(Exit::Done);
    }
    let shown: Vec<usize> = (0..found.num_columns())
        .filter(|at| !RAW.contains(&found.schema_ref().field(*at).name().as_str()))
        .collect();
    let found = found.project(&shown).map_err(CliError::output)?;
    if output.is_for_people() {
        let upright = upright(&found, ["column", "value"])?;
        output.batches(&upright.schema(), &[upright])?;
        output::note("the bytes: add --payload (they may hold personal data)");
    } else {
        output.batches(&found.schema(), &[found])?;
    }
    Ok(Exit::Done)
}

async fn rejects(context: &Context) -> Result<DataFrame> {
    let session = context.session().await?;
    session.ctx().table("rejects").await.map_err(failed)
}

/// The bytes of the record, as they came from Kafka.
fn payload(found: &RecordBatch, id: &str) -> Result<Vec<u8>> {
    let none = || {
        CliError::failed(format!("the bytes of reject `{id}` were not kept"))
            .hint("the configuration keeps only their hash: [rejects] payload = \"hash\"")
    };
    let column = found.column_by_name("payload").ok_or_else(none)?;
    let bytes = cast(column, &DataType::Binary).map_err(CliError::output)?;
    let bytes = bytes
        .as_any()
        .downcast_ref::<BinaryArray>()
        .ok_or_else(none)?;
    if bytes.is_null(0) {
        return Err(none());
    }
    Ok(bytes.value(0).to_vec())
}

fn failed(error: DataFusionError) -> CliError {
    CliError::failed("could not read the table `rejects`").because(error)
}

trait CollectBatch {
    async fn collect_batch(self) -> Result<RecordBatch>;
}

impl CollectBatch for DataFrame {
    /// All rows as one batch, also when there are none.
    async fn collect_batch(self) -> Result<RecordBatch> {
        let schema = Arc::new(self.schema().as_arrow().clone());
        let batches = self.collect().await.map_err(failed)?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        arrow::compute::concat_batches(&schema, &batches).map_err(CliError::output)
    }
}
