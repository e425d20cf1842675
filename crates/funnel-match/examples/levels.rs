//! Levels of the histories on standard input: `levels MODE WINDOW STEPS`.
//!
//! A line is a history: rows as `time:mask`, separated by spaces, ordered by time. A window of `-`
//! is unbounded.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a filter for tests, on input they made"
)]

use std::io::Read;

use funnel_match::{Matcher, Row, Spec};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, mode, window, steps] = args.as_slice() else {
        println!("usage: levels MODE WINDOW STEPS < histories");
        return;
    };
    let window = (window != "-").then(|| window.parse().unwrap());
    let spec = Spec::new(mode.parse().unwrap(), steps.parse().unwrap(), window).unwrap();
    let mut matcher = Matcher::new(spec);
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let mut levels = String::new();
    for line in text.lines() {
        let row = |row: &str| {
            let (time, mask) = row.split_once(':').unwrap();
            let (time, mask) = (time.parse().unwrap(), mask.parse().unwrap());
            Row { time, mask }
        };
        let rows: Vec<Row> = line.split_whitespace().map(row).collect();
        levels += &format!("{}\n", matcher.level(&rows));
    }
    print!("{levels}");
}
