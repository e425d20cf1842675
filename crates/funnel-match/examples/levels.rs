//! Levels of the histories on standard input: `levels MODE WINDOW STEPS`.
//!
//! A line is a history: rows as `time:mask`, separated by spaces, ordered by time. A window of `-`
//! is unbounded.

use std::error::Error;
use std::io::{Read, Write};

use funnel_match::{Matcher, Row, Spec};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, mode, window, steps] = args.as_slice() else {
        return Err("usage: levels MODE WINDOW STEPS < histories".into());
    };
    let window = match window.as_str() {
        "-" => None,
        window => Some(window.parse()?),
    };
    let mut matcher = Matcher::new(Spec::new(mode.parse()?, steps.parse()?, window)?);
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut levels = Vec::new();
    for line in text.lines() {
        let rows: Vec<Row> = line
            .split_whitespace()
            .map(row)
            .collect::<Result<_, Box<dyn Error>>>()?;
        writeln!(levels, "{}", matcher.level(&rows))?;
    }
    std::io::stdout().write_all(&levels)?;
    Ok(())
}

fn row(text: &str) -> Result<Row, Box<dyn Error>> {
    let (time, mask) = text.split_once(':').ok_or("a row is time:mask")?;
    Ok(Row {
        time: time.parse()?,
        mask: mask.parse()?,
    })
}
