use std::sync::Arc;

use datafusion::arrow::array::{
    BinaryViewArray, BooleanArray, Int64Array, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Keys of every kind with runs in them: the same, a longer end, another end, another beginning, nothing.
fn columns(rng: &mut StdRng, rows: usize, nulls: bool) -> Vec<ArrayRef> {
    const TEXTS: [&str; 6] = [
        "",
        "abcd",
        "abcdefghijkl",
        "abcdefghijklm",
        "abcdefghijklmnopqrstu1",
        "abcdefghijklmnopqrstu2",
    ];
    let mut value = 0;
    let picks: Vec<Option<usize>> = (0..rows)
        .map(|_| {
            if rng.random_ratio(1, 3) {
                value = rng.random_range(0..TEXTS.len());
            }
            (!nulls || rng.random_ratio(5, 6)).then_some(value)
        })
        .collect();
    let texts = || picks.iter().map(|pick| pick.map(|pick| TEXTS[pick]));
    let numbers = || picks.iter().map(|pick| pick.map(|pick| pick as i64));
    let text: ArrayRef = Arc::new(texts().collect::<StringArray>());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let dictionary = cast(&text, &dictionary).unwrap();
    vec![
        Arc::new(texts().collect::<StringViewArray>()),
        Arc::new(texts().collect::<BinaryViewArray>()),
        Arc::new(numbers().collect::<Int64Array>()),
        Arc::new(numbers().collect::<TimestampMicrosecondArray>()),
        Arc::new(
            picks
                .iter()
                .map(|pick| pick.map(|pick| pick > 2))
                .collect::<BooleanArray>(),
        ),
        text,
        dictionary,
    ]
}

fn expected(keys: &[ArrayRef]) -> Vec<usize> {
    let ranges = partition(keys).unwrap().ranges();
    ranges.into_iter().map(|range| range.start).collect()
}

#[test]
fn runs_are_those_of_arrow_for_every_kind_of_key() {
    let mut rng = StdRng::seed_from_u64(5);
    for round in 0..200 {
        let rows = rng.random_range(1..80);
        let columns = columns(&mut rng, rows, round % 2 == 0);
        let skip = rng.random_range(0..rows);
        for (index, column) in columns.iter().enumerate() {
            let one = [column.slice(skip, rows - skip)];
            assert_eq!(starts(&one).unwrap(), expected(&one), "column {index}");
            let other = columns[rng.random_range(0..columns.len())].slice(skip, rows - skip);
            let two = [ArrayRef::clone(&one[0]), other];
            assert_eq!(
                starts(&two).unwrap(),
                expected(&two),
                "column {index} and another"
            );
        }
    }
}

#[test]
fn a_first_key_is_looked_at_where_it_ends_otherwise_than_it_begins() {
    let views = |texts: &[&str]| -> ArrayRef { Arc::new(StringViewArray::from(texts.to_vec())) };
    let visitors = views(&["v2", "v2", "v3", "v3", "v3"]);
    for (accounts, expected) in [
        (["a", "a", "a", "a", "a"], vec![0, 2]),
        (["a", "a", "a", "a", "b"], vec![0, 2, 4]),
        (["a", "b", "b", "c", "c"], vec![0, 1, 2, 3]),
    ] {
        let keys = [ArrayRef::clone(&visitors), views(&accounts)];
        assert_eq!(starts_of_sorted(&keys, Some(1)).unwrap(), expected);
        assert_eq!(starts(&keys).unwrap(), expected);
    }
    // The other key may end as it begins.
    let keys = [views(&["v1", "v2", "v1"]), views(&["a", "a", "b"])];
    assert_eq!(starts_of_sorted(&keys, Some(1)).unwrap(), [0, 1, 2]);
}

#[test]
fn no_rows_have_no_runs() {
    let none: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    assert_eq!(starts(&[none]).unwrap(), Vec::<usize>::new());
}
