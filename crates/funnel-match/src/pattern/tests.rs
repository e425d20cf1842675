use proptest::prelude::*;

use super::*;

fn rows(history: &[(i64, u64)]) -> Vec<Row> {
    history
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect()
}

fn found(text: &str, history: &[(i64, u64)]) -> (bool, u64) {
    let pattern = Pattern::new(text, 3, 1).unwrap();
    let rows = rows(history);
    (pattern.matches(&rows), pattern.count(&rows))
}

fn error(text: &str) -> String {
    Pattern::new(text, 2, 1_000_000).unwrap_err().to_string()
}

#[test]
fn conditions_are_adjacent_unless_rows_are_let_between() {
    let history = [(0, 1), (1, 4), (2, 2)];
    assert_eq!(found("(?1)(?2)", &history), (false, 0));
    assert_eq!(found("(?1).(?2)", &history), (true, 1));
    assert_eq!(found("(?1).*(?2)", &history), (true, 1));
    assert_eq!(found("(?1)..(?2)", &history), (false, 0));
}

#[test]
fn rows_without_a_condition_are_invisible() {
    assert_eq!(found("(?1)(?2)", &[(0, 1), (1, 0), (2, 2)]), (true, 1));
}

#[test]
fn rows_of_the_same_time_keep_their_order() {
    assert_eq!(found("(?1)(?2)", &[(0, 2), (0, 1)]), (false, 0));
    assert_eq!(found("(?1)(?2)", &[(0, 1), (0, 2)]), (true, 1));
}

#[test]
fn time_is_measured_from_the_row_before() {
    let history = [(0, 1), (3, 4), (10, 2)];
    assert_eq!(found("(?1)(?t<=10)(?2)", &history), (true, 1));
    assert_eq!(found("(?1)(?t<10)(?2)", &history), (false, 0));
    assert_eq!(found("(?1)(?t>=10)(?2)", &history), (true, 1));
    assert_eq!(found("(?1)(?t>10)(?2)", &history), (false, 0));
    assert_eq!(found("(?1)(?t==10)(?2)", &history), (true, 1));
    assert_eq!(found("(?1)(?t==9)(?2)", &history), (false, 0));
    // After `.*` it is measured from the row at which that ends.
    assert_eq!(found("(?1).*(?t<=0)(?2)", &history), (true, 1));
}

#[test]
fn time_is_in_seconds_whatever_the_unit_of_the_rows() {
    let pattern = Pattern::new("(?1)(?t<=5)(?2)", 2, 1000).unwrap();
    assert!(pattern.matches(&rows(&[(0, 1), (5000, 2)])));
    assert!(!pattern.matches(&rows(&[(0, 1), (5001, 2)])));
}

#[test]
fn matches_do_not_overlap() {
    let history = [(0, 1), (1, 2), (2, 1), (3, 2), (4, 2)];
    assert_eq!(found("(?1).*(?2)", &history), (true, 2));
    assert_eq!(found("(?1)(?2)", &history), (true, 2));
    assert_eq!(found(".*", &history), (true, 5));
    assert_eq!(found("", &[]), (true, 0));
}

#[test]
fn history_may_end_where_the_rest_needs_no_row() {
    assert_eq!(found("(?1)(?t<=5).*", &[(0, 1)]), (true, 1));
    assert_eq!(found("(?1)(?t>=0)", &[(0, 1)]), (true, 1));
    assert_eq!(found("(?1)(?t>=1)", &[(0, 1)]), (false, 0));
    assert_eq!(found("(?1).", &[(0, 1)]), (false, 0));
}

#[test]
fn errors_say_where_and_what_is_expected() {
    assert_eq!(
        error("(?1)x"),
        "pattern '(?1)x', position 5: expected '(?N)', '(?t', '.' or '.*', found 'x'"
    );
    assert_eq!(
        error("(?1"),
        "pattern '(?1', position 4: expected ')', found the end"
    );
    assert_eq!(
        error("(?)"),
        "pattern '(?)', position 3: expected the number of a condition, or 't' and a time, found ')'"
    );
    assert_eq!(
        error("(?3)"),
        "pattern '(?3)', position 3: there is no condition 3; conditions are numbered from 1 to 2"
    );
    assert_eq!(
        error("(?0)"),
        "pattern '(?0)', position 3: there is no condition 0; conditions are numbered from 1 to 2"
    );
    assert_eq!(
        error("(?t<=)"),
        "pattern '(?t<=)', position 6: expected a number of seconds, found ')'"
    );
    assert_eq!(
        error("(?1)(?t>18446744073709551615)"),
        "pattern '(?1)(?t>18446744073709551615)', position 9: the time is longer than all of time"
    );
    assert_eq!(
        error("(?1)(?t>1)(?t<3)(?2)"),
        "pattern '(?1)(?t>1)(?t<3)(?2)', position 11: expected '(?N)', '.' or '.*' before a second \
         time condition, found two in a row"
    );
    assert_eq!(Pattern::new("é", 1, 1).unwrap_err().position(), 0);
}

#[test]
fn cost_does_not_explode() {
    // A search that tries every combination would need 20,000^8 steps.
    let history: Vec<(i64, u64)> = (0..20_000).map(|time| (time, 1)).collect();
    let text = "(?1).*".repeat(8) + "(?2)";
    assert_eq!(found(&text, &history), (false, 0));
    // The last part of each match only looks at the row behind; the last rows have none.
    assert_eq!(found(&"(?1)(?t>=1)".repeat(8), &history), (true, 2499));
}

/// The first row behind the first match from `row` on, trying everything in the order in which
/// earlier rows come first. `base` is the row from which a time is measured.
fn search(parts: &[Part], rows: &[Row], row: usize, base: usize) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else {
        return Some(row);
    };
    if row == rows.len() {
        let missing = parts.iter().all(|part| part.may_be_missing());
        return missing.then_some(row);
    }
    match *part {
        Part::Condition(bit) if rows[row].mask & bit == 0 => None,
        Part::Condition(_) | Part::Row => search(rest, rows, row + 1, row),
        Part::Rows => (row..rows.len()).find_map(|next| search(rest, rows, next, next)),
        Part::Time(compare, time) => (row..rows.len())
            .filter(|next| {
                let gap = rows[*next].time.abs_diff(rows[base].time);
                match compare {
                    Compare::AtMost => gap <= time,
                    Compare::Less => gap < time,
                    Compare::AtLeast => gap >= time,
                    Compare::More => gap > time,
                    Compare::Equal => gap == time,
                }
            })
            .find_map(|next| search(rest, rows, next, next)),
    }
}

fn texts() -> impl Strategy<Value = String> {
    let event = prop_oneof![
        4 => (1..=3).prop_map(|condition| format!("(?{condition})")),
        1 => Just(".".to_owned()),
        1 => Just(".*".to_owned()),
    ];
    let time = prop_oneof![
        3 => Just(String::new()),
        2 => ("<=|<|>=|>|==", 0..6).prop_map(|(sign, time)| format!("(?t{sign}{time})")),
    ];
    let parts = prop::collection::vec((event, time), 0..6);
    (any::<bool>(), parts).prop_map(|(any, parts)| {
        let first = if any { ".*" } else { "" };
        parts
            .into_iter()
            .fold(first.to_owned(), |text, (event, time)| {
                text + &event + &time
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn pattern_equals_a_search_through_everything(
        text in texts(),
        mut history in prop::collection::vec((0_i64..12, 0_u64..8), 0..14),
    ) {
        history.sort_by_key(|(time, _)| *time);
        let pattern = Pattern::new(&text, 3, 1).unwrap();
        let rows = rows(&history);
        let seen = visible(&rows);
        prop_assert_eq!(pattern.matches(&rows), search(&pattern.parts, &seen, 0, 0).is_some());
        let (mut from, mut count) = (0, 0);
        while from < seen.len() && let Some(end) = search(&pattern.parts, &seen, from, from) {
            from = end.max(from + 1);
            count += 1;
        }
        prop_assert_eq!(pattern.count(&rows), count);
    }
}
