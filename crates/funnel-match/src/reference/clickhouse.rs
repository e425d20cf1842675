//! The entries of ClickHouse, read one by one, with every chain kept.

use crate::{ClickHouse, Row, Spec};

/// An entry: time, step from 1 (0: no step), row.
type Entry = (i64, usize, usize);

pub(super) fn level(modes: ClickHouse, spec: &Spec, rows: &[Row]) -> usize {
    let steps_of = |row: &Row| -> Vec<usize> {
        let satisfied = (1..=spec.steps()).filter(|step| row.mask >> (step - 1) & 1 == 1);
        let found: Vec<usize> = satisfied.collect();
        if found.is_empty() { vec![0] } else { found }
    };
    let mut entries: Vec<Entry> = (0..)
        .zip(rows)
        .flat_map(|(at, row)| {
            let time = row.time;
            steps_of(row).into_iter().map(move |step| (time, step, at))
        })
        .collect();
    entries.sort();
    let mut chains: Vec<Vec<Vec<Entry>>> = vec![Vec::new(); spec.steps() + 1];
    for entry @ (_, step, _) in entries {
        let begun = !chains[1].is_empty();
        let reached = |step: usize| !chains[step].is_empty();
        if step == 0 {
            if modes.strict_order && begun {
                break;
            }
        } else if step == 1 {
            add(modes, &mut chains[1], vec![entry]);
        } else if modes.strict_deduplication && reached(step) {
            break;
        } else if modes.strict_order && begun && !reached(step - 1) {
            if !modes.allow_reentry {
                break;
            }
        } else {
            let may_follow = |chain: &&Vec<Entry>| follows(modes, spec, chain, entry);
            let before: Vec<_> = chains[step - 1]
                .iter()
                .filter(may_follow)
                .cloned()
                .collect();
            for mut chain in before {
                chain.push(entry);
                add(modes, &mut chains[step], chain);
            }
            if !chains[spec.steps()].is_empty() {
                break;
            }
        }
    }
    chains
        .iter()
        .rposition(|chains| !chains.is_empty())
        .unwrap_or(0)
}

/// Without `strict_once` a level knows one chain only.
fn add(modes: ClickHouse, level: &mut Vec<Vec<Entry>>, chain: Vec<Entry>) {
    if !modes.strict_once {
        level.clear();
    }
    level.push(chain);
}

fn follows(modes: ClickHouse, spec: &Spec, chain: &[Entry], (time, _, row): Entry) -> bool {
    let in_window = |first: i64| {
        spec.window()
            .is_none_or(|window| i128::from(time) - i128::from(first) <= i128::from(window))
    };
    chain.first().is_some_and(|(first, ..)| in_window(*first))
        && !(modes.strict_once && chain.iter().any(|(.., used)| *used == row))
        && !(modes.strict_increase && chain.last().is_some_and(|(last, ..)| *last >= time))
}
