use crate::reference::level_of as level;

#[test]
fn the_end_of_the_window_is_outside() {
    assert_eq!(level("pinot:default", 2, Some(10), &[(0, 1), (9, 2)]), 2);
    assert_eq!(level("pinot:default", 2, Some(10), &[(0, 1), (10, 2)]), 1);
}

#[test]
fn a_row_belongs_to_its_lowest_step() {
    assert_eq!(level("pinot:default", 2, None, &[(0, 3), (1, 3)]), 1);
    assert_eq!(level("pinot:default", 2, None, &[(0, 3), (1, 2)]), 2);
}

#[test]
fn every_start_is_tried() {
    let rows = [(0, 1), (50, 1), (55, 2), (58, 4)];
    assert_eq!(level("pinot:default", 3, Some(10), &rows), 3);
}

/// Once an attempt had the last row there is nothing left in the queue, and Pinot stops.
#[test]
fn no_start_is_tried_after_one_that_had_the_last_row() {
    for mode in ["pinot:strict_deduplication", "pinot:strict_order"] {
        assert_eq!(
            level(mode, 2, Some(10), &[(1, 1), (2, 1), (7, 2)]),
            1,
            "{mode}"
        );
        assert_eq!(
            level(mode, 2, Some(10), &[(1, 1), (2, 1), (7, 2), (11, 2)]),
            2,
            "{mode}"
        );
    }
    let gap = "pinot:strict_order,max_step_duration=5";
    assert_eq!(
        level(gap, 2, Some(20), &[(1, 1), (2, 1), (7, 2), (13, 2)]),
        2
    );
    assert_eq!(
        level("pinot:default", 2, Some(10), &[(1, 1), (2, 1), (7, 2)]),
        2
    );
}

#[test]
fn repeat_of_the_last_step_ends_the_attempt() {
    let mode = "pinot:strict_deduplication";
    let rows = [(0, 1), (1, 2), (2, 2), (3, 4)];
    assert_eq!(level(mode, 3, None, &rows), 2);
    assert_eq!(level(mode, 3, None, &[(0, 1), (1, 2), (2, 1), (3, 4)]), 3);
}

#[test]
fn order_is_broken_by_every_visible_row() {
    let back = [(0, 1), (1, 2), (2, 1), (3, 4)];
    assert_eq!(level("pinot:strict_order", 3, None, &back), 2);
    let other = [(0, 1), (1, 0), (2, 2)];
    assert_eq!(level("pinot:strict_order", 2, None, &other), 2);
    assert_eq!(level("pinot:strict_order,keep_all", 2, None, &other), 1);
}

#[test]
fn increase_passes_over_rows_of_the_same_time() {
    let rows = [(0, 1), (0, 2), (1, 2)];
    assert_eq!(level("pinot:strict_increase", 2, None, &rows), 2);
    assert_eq!(level("pinot:strict_increase", 2, None, &rows[..2]), 1);
    assert_eq!(level("pinot:default", 2, None, &rows[..2]), 2);
}

#[test]
fn a_gap_ends_all_attempts() {
    let mode = "pinot:max_step_duration=5";
    let rows = [(0, 1), (4, 4), (9, 2)];
    assert_eq!(level(mode, 3, None, &rows), 2);
    assert_eq!(level(mode, 2, None, &[(0, 1), (9, 2)]), 1);
    assert_eq!(level(mode, 2, None, &[(0, 1), (5, 0), (9, 2)]), 1);
    let keep_all = "pinot:keep_all,max_step_duration=5";
    assert_eq!(level(keep_all, 2, None, &[(0, 1), (5, 0), (9, 2)]), 2);
}

#[test]
fn window_of_zero_is_refused() {
    let mode = "pinot:default".parse().unwrap();
    let error = crate::Spec::new(mode, 2, Some(0)).unwrap_err();
    assert!(error.to_string().contains("must be above 0"), "{error}");
}
