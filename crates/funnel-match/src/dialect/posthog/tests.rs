use crate::reference::level_of as level;

#[test]
fn latest_entry_counts_and_the_window_is_inclusive() {
    let rows = [(1, 1), (50, 1), (55, 2), (60, 4)];
    assert_eq!(level("posthog:ordered", 3, Some(10), &rows), 3);
    assert_eq!(level("posthog:ordered", 3, Some(9), &rows), 2);
}

#[test]
fn a_row_moves_one_level() {
    assert_eq!(level("posthog:ordered", 2, None, &[(1, 3)]), 1);
    assert_eq!(level("posthog:ordered", 2, None, &[(1, 3), (1, 3)]), 2);
}

#[test]
fn rows_of_one_instant_are_sorted_by_step() {
    assert_eq!(
        level("posthog:ordered", 3, None, &[(1, 4), (1, 2), (1, 1)]),
        3
    );
    // The first row given is step 1 and stays it, though the second could be.
    assert_eq!(level("posthog:ordered", 2, None, &[(1, 3), (1, 1)]), 1);
    assert_eq!(level("posthog:ordered", 2, None, &[(1, 1), (1, 3)]), 2);
}

#[test]
fn strict_is_broken_by_any_other_row() {
    let mode = "posthog:strict";
    assert_eq!(level(mode, 2, None, &[(1, 1), (2, 0), (3, 2)]), 1);
    assert_eq!(level(mode, 2, None, &[(1, 1), (2, 2)]), 2);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 2), (4, 4)]), 3);
    // Nothing is cleared by an instant of different rows.
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 0), (2, 4), (3, 2)]), 2);
}

#[test]
fn unordered_counts_different_steps_of_a_window() {
    let mode = "posthog:unordered";
    assert_eq!(level(mode, 3, Some(5), &[(1, 4), (2, 1), (6, 2)]), 3);
    assert_eq!(level(mode, 3, Some(4), &[(1, 4), (2, 1), (6, 2)]), 2);
    assert_eq!(level(mode, 2, Some(5), &[(1, 3)]), 1);
    assert_eq!(level(mode, 2, Some(5), &[(1, 3), (2, 3)]), 2);
}
