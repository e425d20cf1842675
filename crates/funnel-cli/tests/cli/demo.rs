//! The demo, whole: broker, ingest, picture, and a lake to go on with.

use std::collections::BTreeMap;

use super::{empty_dir, funnel, run};

#[test]
fn the_demo_draws_the_funnel_that_was_simulated_and_leaves_a_lake() {
    let dir = empty_dir();
    let words = ["demo", "--sessions", "300", "--seed", "5"];
    // Every number is compared with the simulator's truth by the demo itself: a difference is exit 3.
    let (out, err) = run(funnel(dir.path()).args(words), 0);
    assert_eq!(err, "");
    for part in [
        "Monitored",
        "Unmonitored",
        "previous",
        "first",
        "Offers lost",
        "█",
        "funnel sql",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    let sessions = first_count(&out);
    let query = "SELECT count(*) AS n FROM sessions WHERE flow = 'monitored'";
    let lake = ["sql", "--config", "funnel-demo/funnel.toml", "-c", query];
    let (answer, _) = run(funnel(dir.path()).args(lake), 0);
    assert_eq!(answer, format!("n\n{sessions}\n"));
    let (_, err) = run(
        funnel(dir.path()).args(["audit", "--lake", "funnel-demo/lake"]),
        0,
    );
    assert!(err.contains("the accounting closes"), "{err}");
    // Once more: the directory of a demo is replaced, and the same seed draws the same picture.
    let (again, _) = run(funnel(dir.path()).args(words), 0);
    assert_eq!(picture(&again), picture(&out));
}

/// The count in the first row of the first picture.
fn first_count(out: &str) -> u64 {
    let row = out.lines().find(|line| line.contains('█')).unwrap();
    let word = row
        .split_whitespace()
        .find(|word| word.chars().next().is_some_and(|c| c.is_ascii_digit()))
        .unwrap();
    word.replace(',', "").parse().unwrap()
}

/// The rows with bars; the closing lines tell the time it took.
fn picture(out: &str) -> BTreeMap<usize, &str> {
    out.lines()
        .enumerate()
        .filter(|(_, line)| line.contains('█'))
        .collect()
}
