//! Rows as the body of a response, in the form that is asked for.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use funnel_query::format::{RowFormat, RowWriter};
use serde_json::value::RawValue;

use super::problem::Problem;

/// Media types by form; JSON is what is answered to those who do not ask.
const FORMS: [(RowFormat, &str, &str); 6] = [
    (RowFormat::Json, "json", "application/json"),
    (RowFormat::Csv, "csv", "text/csv; charset=utf-8"),
    (RowFormat::CsvSafe, "csv_safe", "text/csv; charset=utf-8"),
    (RowFormat::Ndjson, "ndjson", "application/x-ndjson"),
    (
        RowFormat::Arrow,
        "arrow",
        "application/vnd.apache.arrow.stream",
    ),
    (
        RowFormat::Parquet,
        "parquet",
        "application/vnd.apache.parquet",
    ),
];

/// The form that `format` names or, without it, the first of the header `Accept` that is known.
pub(super) fn form(format: Option<&str>, headers: &HeaderMap) -> Result<RowFormat, Problem> {
    if let Some(asked) = format {
        let found = FORMS.iter().find(|(_, name, _)| *name == asked);
        return found.map(|(form, _, _)| *form).ok_or_else(|| {
            let names = FORMS.map(|(_, name, _)| name).join(", ");
            Problem::wrong(format!("there is no format `{asked}`; there are: {names}"))
        });
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let asked = accept.unwrap_or_default().split(',');
    let essence = |media: &str| {
        media
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let found = asked.map(essence).find_map(|asked| {
        FORMS
            .iter()
            .find(|(_, _, media)| essence(media).eq_ignore_ascii_case(&asked))
    });
    Ok(found.map_or(RowFormat::Json, |(form, _, _)| *form))
}

/// The bytes of these rows.
pub(super) fn encode(
    form: RowFormat,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<u8>, Problem> {
    let mut writer = RowWriter::new(Vec::new(), form, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.finish()?)
}

/// Rows as a part of a JSON document.
pub(super) fn json(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Box<RawValue>, Problem> {
    let bytes = encode(RowFormat::Json, schema, batches)?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::internal())?;
    RawValue::from_string(text.trim_end().to_owned()).map_err(|_| Problem::internal())
}

/// A response of rows alone.
pub(super) fn rows(
    form: RowFormat,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Response, Problem> {
    let media = FORMS.iter().find(|(known, _, _)| *known == form);
    let media = media.map_or("application/octet-stream", |(_, _, media)| *media);
    let bytes = encode(form, schema, batches)?;
    let media = HeaderValue::from_static(media);
    Ok(([(header::CONTENT_TYPE, media)], bytes).into_response())
}
