use super::*;
use crate::{Mode, Spec};

fn chain(steps: usize, window: Option<u64>, rows: &[(i64, u64)]) -> Vec<i64> {
    let rows: Vec<Row> = rows
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect();
    let spec = Spec::new(Mode::Ordered, steps, window).unwrap();
    let mut machine = Ordered::new(spec.shape(), false);
    let times: Vec<i64> = machine
        .chain(&rows)
        .iter()
        .map(|row| rows[*row].time)
        .collect();
    assert_eq!(
        machine.level(&rows),
        times.len(),
        "level and chain disagree"
    );
    times
}

#[test]
fn second_step_at_the_edge_of_the_window_counts() {
    assert_eq!(chain(2, Some(10), &[(0, 1), (10, 2)]), [0, 10]);
    assert_eq!(chain(2, Some(10), &[(0, 1), (11, 2)]), [0]);
}

#[test]
fn window_of_zero_is_the_same_instant() {
    assert_eq!(chain(2, Some(0), &[(7, 2), (7, 1)]), [7, 7]);
    assert_eq!(chain(2, Some(0), &[(7, 1), (8, 2)]), [7]);
}

#[test]
fn a_row_fills_one_step_even_when_it_satisfies_several() {
    assert_eq!(chain(3, None, &[(0, 0b111)]), [0]);
    assert_eq!(
        chain(3, None, &[(0, 0b111), (0, 0b111), (4, 0b111)]),
        [0, 0, 4]
    );
}

#[test]
fn last_entry_before_the_second_step_is_the_one_that_counts() {
    assert_eq!(chain(2, None, &[(0, 1), (5, 1), (6, 2), (7, 2)]), [5, 6]);
}

#[test]
fn reported_chain_is_the_first_that_is_complete() {
    assert_eq!(chain(2, None, &[(0, 1), (1, 2), (5, 1), (6, 2)]), [0, 1]);
}

#[test]
fn restarted_chain_does_not_mix_its_times_with_the_old_one() {
    // The second entry replaces the first, which is out of the window by then.
    let rows = [(0, 1), (1, 2), (100, 1), (101, 2), (102, 4)];
    assert_eq!(chain(3, Some(10), &rows), [100, 101, 102]);
}

#[test]
fn bits_above_the_last_step_are_ignored() {
    assert_eq!(chain(1, None, &[(0, 0b10), (0, 0b10), (3, 0b11)]), [3]);
}

#[test]
fn sixty_four_steps_are_matched() {
    let rows: Vec<(i64, u64)> = (0..64).map(|step| (step / 2, 1_u64 << step)).collect();
    assert_eq!(chain(64, None, &rows).len(), 64);
}
