use crate::reference::level_of as level;

#[test]
fn a_row_fills_one_step() {
    for mode in ["default", "deduplication", "fixed", "increase"] {
        let mode = format!("doris:{mode}");
        assert_eq!(level(&mode, 2, None, &[(1, 3)]), 1, "{mode}");
        assert_eq!(level(&mode, 2, None, &[(1, 3), (2, 3)]), 2, "{mode}");
    }
}

#[test]
fn rows_of_one_instant_are_read_as_they_come() {
    assert_eq!(level("doris:default", 2, None, &[(1, 1), (1, 2)]), 2);
    assert_eq!(level("doris:default", 2, None, &[(1, 2), (1, 1)]), 1);
}

#[test]
fn repeat_of_any_reached_step_breaks() {
    let mode = "doris:deduplication";
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 1), (4, 4)]), 2);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 2), (4, 4)]), 2);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 0), (4, 4)]), 3);
    // Another start is tried.
    assert_eq!(level(mode, 2, None, &[(1, 1), (2, 1), (3, 2)]), 2);
}

#[test]
fn next_relevant_row_must_be_the_next_step() {
    let mode = "doris:fixed";
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 1), (4, 4)]), 2);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 0), (3, 2), (4, 4)]), 3);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 4), (3, 2)]), 1);
}

#[test]
fn increase_is_measured_from_the_last_row_of_the_step_before() {
    let mode = "doris:increase";
    assert_eq!(level(mode, 2, None, &[(0, 1), (1, 1), (1, 2)]), 2);
    // The second row of step 2 takes the place of the first.
    let rows = [(0, 1), (1, 2), (5, 2), (5, 4)];
    assert_eq!(level(mode, 3, None, &rows), 2);
}
