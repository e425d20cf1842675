//! `funnel config show` and `funnel config check`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use funnel_ingest::config::IngestConfig;

use super::context::{Context, query_options};
use crate::args::ConfigCommand;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::settings::Settings;

pub(super) fn run(context: &Context, command: ConfigCommand) -> Result<Exit> {
    let settings = context.settings()?;
    match command {
        ConfigCommand::Show { output } => {
            show(&settings, &Output::new(&output)?)?;
        }
        ConfigCommand::Check => {
            query_options(&settings)?;
            if let Ok(lake) = settings.lake() {
                settings.storage()?.check(lake)?;
            }
            ingest_config(&settings, settings.text("kafka.brokers").is_some())?;
            let read = settings.file().map_or_else(
                || "the defaults".to_owned(),
                |file| format!("`{}`", file.display()),
            );
            output::note(&format!("{read}: the configuration is good"));
        }
    }
    Ok(Exit::Done)
}

/// The ingestor's part of the configuration; `with_kafka` when it must say where Kafka is.
pub(super) fn ingest_config(settings: &Settings, with_kafka: bool) -> Result<IngestConfig> {
    let file: toml::Table = IngestConfig::SECTIONS
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                toml::Value::Table(settings.section(name)),
            )
        })
        .filter(|(_, section)| section.as_table().is_some_and(|table| !table.is_empty()))
        .collect();
    let read = if with_kafka {
        IngestConfig::from_toml(&file)
    } else {
        IngestConfig::for_files(&file)
    };
    read.map_err(|error| {
        let place = settings
            .origin(&error.key.replace('"', ""))
            .map_or_else(String::new, |origin| format!("{origin}: "));
        CliError::config(format!(
            "the configuration is invalid\n  {place}key `{}`: found {}; {}",
            error.key, error.found, error.hint
        ))
    })
}

fn show(settings: &Settings, output: &Output) -> Result<()> {
    let rows = settings.shown();
    let column = |pick: fn(&crate::settings::Shown) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(pick)))
    };
    let batch = RecordBatch::try_from_iter([
        ("key", column(|row| &row.key)),
        ("value", column(|row| &row.value)),
        ("origin", column(|row| &row.origin)),
    ])
    .map_err(CliError::output)?;
    output.batches(&batch.schema(), &[batch]).map(drop)
}

/// Options that are passed to librdkafka as they are.
pub(super) fn kafka_options(settings: &Settings) -> BTreeMap<String, String> {
    let section = settings.section("kafka");
    let Some(options) = section.get("options").and_then(toml::Value::as_table) else {
        return BTreeMap::new();
    };
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    options
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}
