use crate::reference::level_of as level;

#[test]
fn default_is_the_scan_of_clickhouse() {
    assert_eq!(level("starrocks:default", 3, None, &[(1, 7)]), 3);
    assert_eq!(
        level("starrocks:increase", 2, None, &[(0, 1), (1, 1), (1, 2)]),
        1
    );
}

#[test]
fn search_goes_on_after_a_chain_is_broken() {
    let mode = "starrocks:deduplication";
    let repeat = [(1, 1), (2, 2), (3, 2), (4, 4)];
    assert_eq!(level(mode, 3, None, &repeat), 2);
    let again = [(1, 1), (2, 2), (3, 2), (4, 1), (5, 2), (6, 4)];
    assert_eq!(level(mode, 3, None, &again), 3);
    // A repeat of step 1 is a new beginning of level 1 only.
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 1), (4, 4)]), 3);
}

#[test]
fn fixed_is_broken_by_a_leap_but_not_by_a_step_back() {
    let mode = "starrocks:fixed";
    assert_eq!(level(mode, 4, None, &[(1, 1), (2, 2), (3, 8), (4, 4)]), 2);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 2), (3, 1), (4, 4)]), 3);
    assert_eq!(level(mode, 3, None, &[(1, 1), (2, 0), (3, 2), (4, 4)]), 3);
}

#[test]
fn increase_beside_another_bit_forgets_the_time_of_step_one() {
    let rows = [(1, 1), (1, 2)];
    assert_eq!(level("starrocks:increase", 2, None, &rows), 1);
    assert_eq!(level("starrocks:fixed,increase", 2, None, &rows), 2);
    assert_eq!(level("starrocks:deduplication,increase", 2, None, &rows), 2);
}
