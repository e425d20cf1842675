//! A table for people: numbers to the right, everything else to the left.

use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::{ALIGN_RIGHT, TIMESTAMP_FORMAT};

/// Renders all rows; a schema without rows gives the headings alone.
pub(super) fn render(batches: &[RecordBatch], null_text: &str) -> Result<String, ArrowError> {
    let Some(first) = batches.first() else {
        return Ok(String::new());
    };
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let schema = first.schema();
    table.set_header(
        schema
            .fields()
            .iter()
            .map(|field| Cell::new(field.name()).set_alignment(alignment(field))),
    );
    let options = FormatOptions::default()
        .with_display_error(true)
        .with_null(null_text)
        .with_timestamp_tz_format(Some(TIMESTAMP_FORMAT));
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().zip(schema.fields()).map(|(column, field)| {
                let text = visible(&column.value(row).to_string());
                Cell::new(text).set_alignment(alignment(field))
            }));
        }
    }
    Ok(format!("{table}\n"))
}

fn alignment(field: &Field) -> CellAlignment {
    if field.data_type().is_numeric() || field.metadata().contains_key(ALIGN_RIGHT) {
        CellAlignment::Right
    } else {
        CellAlignment::Left
    }
}

/// Control characters of the data must not steer the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_in_data_do_not_reach_the_terminal() {
        assert_eq!(visible("a\u{1b}[31mb\tc"), "a\u{fffd}[31mb\tc");
    }
}
