//! The table of docs/funnels.md: the same histories in every dialect.

#![cfg(test)]

use funnel_match::{Matcher, Row, Spec};

const DOCUMENT: &str = include_str!("../../../docs/funnels.md");

/// `A B=C` as rows: letters are steps, `x` is none; spaces move time on by 1, `…` by 10 in all.
fn history(text: &str) -> Vec<Row> {
    let mut time = 0;
    let mut rows = Vec::new();
    for instant in text.split(' ') {
        if instant == "…" {
            time += 8;
        }
        time += 1;
        for row in instant.split('=').filter(|_| instant != "…") {
            let steps = "ABC".bytes().enumerate();
            let mask = steps.filter(|(_, step)| row.as_bytes().contains(step));
            rows.push(Row {
                time,
                mask: mask.map(|(bit, _)| 1 << bit).sum(),
            });
        }
    }
    rows
}

fn cells(line: &str) -> Vec<&str> {
    let cells = line.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}

#[test]
fn documented_differences_are_the_levels_of_the_machines() {
    let mut lines = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("| Mode | `A B A C`"));
    let histories: Vec<&str> = cells(lines.next().unwrap())[1..].to_vec();
    let mut modes = 0;
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells = cells(line);
        let spec = Spec::new(cells[0].parse().unwrap(), 3, Some(10)).unwrap();
        let mut matcher = Matcher::new(spec);
        let levels = histories.iter().map(|text| matcher.level(&history(text)));
        let levels: Vec<String> = levels.map(|level| level.to_string()).collect();
        assert_eq!(levels, cells[1..], "{}", cells[0]);
        modes += 1;
    }
    assert_eq!(modes, 15);
}
