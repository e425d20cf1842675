//! The funnel as a picture: a bar per step, conversion from the previous step and from the first,
//! losses by outcome, and both flows beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use funnel_query::report::Report;

use super::Answers;
use crate::error::{CliError, Result};

/// 80 columns in all.
const BAR_WIDTH: usize = 21;
const TITLE_WIDTH: usize = 25;
/// A title with its indentation.
const HEAD_WIDTH: usize = TITLE_WIDTH + 2;

/// One step of a funnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Values of the breakdown columns, in their order.
    pub(super) group: Vec<String>,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) optional: bool,
    pub(super) reached: i64,
    /// What the rate from the previous step divides by.
    pub(super) previous: Option<i64>,
}

/// The steps of an answer, in order.
pub(super) fn steps(answer: &Report) -> Result<Vec<Step>> {
    let rows = &answer.rows;
    let groups: Vec<Vec<String>> = answer
        .header
        .by
        .iter()
        .map(|name| texts(rows, name))
        .collect::<Result<_>>()?;
    let (names, titles) = (texts(rows, "step")?, texts(rows, "title")?);
    let (reached, previous) = (numbers(rows, "reached")?, numbers(rows, "previous")?);
    let optional = texts(rows, "optional")?;
    let step = |row: usize| Step {
        group: groups
            .iter()
            .filter_map(|column| column.get(row).cloned())
            .collect(),
        name: names.get(row).cloned().unwrap_or_default(),
        title: titles.get(row).cloned().unwrap_or_default(),
        optional: optional.get(row).is_some_and(|flag| flag == "true"),
        reached: reached.get(row).copied().flatten().unwrap_or(0),
        previous: previous.get(row).copied().flatten(),
    };
    Ok((0..rows.num_rows()).map(step).collect())
}

/// The whole picture.
pub(super) fn draw(answers: &Answers) -> Result<String> {
    let header = &answers.monitored.header;
    let mut text = format!(
        "\nThe engagement funnel of account {}, {} to {} ({})\n",
        header.account, header.from, header.to, header.time_zone
    );
    for (name, answer) in [
        ("Monitored", &answers.monitored),
        ("Unmonitored", &answers.unmonitored),
    ] {
        let header = &answer.header;
        let _ = writeln!(
            text,
            "\n{name} flow, counted by {}, {}",
            header.unit, header.mode
        );
        funnel(&mut text, &steps(answer)?);
    }
    losses(&mut text, &answers.monitored, &answers.unmonitored)?;
    beside(&mut text, &answers.side_by_side)?;
    text.push('\n');
    Ok(text)
}

fn funnel(text: &mut String, steps: &[Step]) {
    let first = steps.first().map_or(0, |step| step.reached);
    let widest = steps.iter().map(|step| step.reached).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "  {:TITLE_WIDTH$} {:>9}  {:BAR_WIDTH$} {:>9} {:>9}",
        "", "", "", "previous", "first"
    );
    for (index, step) in steps.iter().enumerate() {
        let (from_previous, from_first) = if index == 0 {
            (String::new(), String::new())
        } else {
            (
                rate(step.reached, step.previous),
                rate(step.reached, Some(first)),
            )
        };
        let _ = writeln!(
            text,
            "  {:TITLE_WIDTH$} {:>9}  {:BAR_WIDTH$} {from_previous:>9} {from_first:>9}",
            shortened(&label(step), TITLE_WIDTH),
            grouped(step.reached),
            bar(step.reached, widest),
        );
    }
}

fn label(step: &Step) -> String {
    if step.optional {
        format!("({})", step.title)
    } else {
        step.title.clone()
    }
}

/// Eighths of a character, so that small steps remain visible.
fn bar(count: i64, widest: i64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let (Ok(count), Ok(widest)) = (usize::try_from(count), usize::try_from(widest)) else {
        return String::new();
    };
    if count == 0 || widest == 0 {
        return String::new();
    }
    let eighths = (count.saturating_mul(BAR_WIDTH * 8) / widest).max(1);
    let end = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{end}", "█".repeat(eighths / 8))
}

fn losses(text: &mut String, monitored: &Report, unmonitored: &Report) -> Result<()> {
    let columns = [lost(monitored)?, lost(unmonitored)?];
    let names: BTreeSet<_> = columns
        .iter()
        .flat_map(|column| column.keys().cloned())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let count = |at: usize, name: &str| {
        columns
            .get(at)
            .and_then(|column| column.get(name))
            .copied()
            .unwrap_or(0)
    };
    let mut rows: Vec<_> = names
        .iter()
        .map(|name| (name, count(0, name), count(1, name)))
        .collect();
    rows.sort_by_key(|(_, monitored, unmonitored)| -(monitored + unmonitored));
    let _ = writeln!(
        text,
        "\n{:HEAD_WIDTH$} {:>14} {:>12}",
        "Offers lost, by outcome", "monitored", "unmonitored"
    );
    let widest = rows.iter().map(|(_, a, b)| a + b).max().unwrap_or(0);
    for (name, monitored, unmonitored) in rows {
        let _ = writeln!(
            text,
            "  {:TITLE_WIDTH$} {:>14} {:>12}  {}",
            shortened(name, TITLE_WIDTH),
            grouped(monitored),
            grouped(unmonitored),
            bar(monitored + unmonitored, widest),
        );
    }
    Ok(())
}

/// Offers by outcome, of the outcomes that are a loss.
fn lost(answer: &Report) -> Result<BTreeMap<String, i64>> {
    let rows = &answer.outcomes;
    let names = texts(rows, "offer_outcome")?;
    let is_loss = texts(rows, "is_loss")?;
    let mut sums = BTreeMap::new();
    for (row, offers) in numbers(rows, "offers")?.into_iter().enumerate() {
        if is_loss.get(row).is_some_and(|flag| flag == "true")
            && let Some(name) = names.get(row)
        {
            *sums.entry(name.clone()).or_insert(0) += offers.unwrap_or(0);
        }
    }
    Ok(sums)
}

/// The steps that both flows have, beside each other.
fn beside(text: &mut String, answer: &Report) -> Result<()> {
    let steps = steps(answer)?;
    let of = |flow: &str| -> Vec<&Step> {
        steps
            .iter()
            .filter(|step| step.group.first().is_some_and(|value| value == flow))
            .collect()
    };
    let (left, right) = (of("monitored"), of("unmonitored"));
    let _ = writeln!(
        text,
        "\n{:HEAD_WIDTH$} {:>14} {:>8} {:>14} {:>8}",
        "From impression to chat", "monitored", "first", "unmonitored", "first"
    );
    let top = |steps: &[&Step]| steps.first().map(|step| step.reached);
    for (index, step) in left.iter().enumerate() {
        let other = right.get(index).map_or(0, |step| step.reached);
        let _ = writeln!(
            text,
            "  {:TITLE_WIDTH$} {:>14} {:>8} {:>14} {:>8}",
            shortened(&label(step), TITLE_WIDTH),
            grouped(step.reached),
            rate(step.reached, top(&left)),
            grouped(other),
            rate(other, top(&right)),
        );
    }
    Ok(())
}

fn rate(part: i64, whole: Option<i64>) -> String {
    match whole {
        Some(whole) if whole > 0 => {
            // Tenths of a per cent in whole numbers: exact, and no float to round.
            let tenths = (part.saturating_mul(2000) + whole) / (2 * whole);
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
        _ => "–".to_owned(),
    }
}

fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digit != '-' {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars()
        .take(width.saturating_sub(1))
        .chain(['…'])
        .collect()
}

fn column(rows: &RecordBatch, name: &str, to: &DataType) -> Result<ArrayRef> {
    let found = rows
        .column_by_name(name)
        .ok_or_else(|| CliError::failed(format!("the report has no column `{name}`")))?;
    cast(found, to).map_err(CliError::output)
}

fn texts(rows: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let column = column(rows, name, &DataType::Utf8)?;
    Ok(column
        .as_string::<i32>()
        .iter()
        .map(|text| text.unwrap_or_default().to_owned())
        .collect())
}

fn numbers(rows: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    let column = column(rows, name, &DataType::Int64)?;
    let numbers = column.as_primitive::<Int64Type>();
    Ok((0..numbers.len())
        .map(|row| numbers.is_valid(row).then(|| numbers.value(row)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional_and_never_vanish() {
        assert_eq!(bar(100, 100).chars().count(), BAR_WIDTH);
        assert_eq!(bar(50, 100).chars().count(), BAR_WIDTH.div_ceil(2));
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(0, 100), "");
    }

    #[test]
    fn rates_round_half_up_and_have_no_value_over_nothing() {
        assert_eq!(rate(1, Some(3)), "33.3 %");
        assert_eq!(rate(2, Some(3)), "66.7 %");
        assert_eq!(rate(1, Some(2000)), "0.1 %");
        assert_eq!(rate(0, Some(0)), "–");
        assert_eq!(rate(1, None), "–");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
