use datafusion::arrow::array::{
    DictionaryArray, Int8Array, Int64Array, StringViewArray, UInt8Array,
};
use datafusion::arrow::datatypes::{Field, Int16Type};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::udaf::masks::Masks;

/// A batch whose second column is `column`.
fn batch(column: ArrayRef) -> RecordBatch {
    let other: ArrayRef = Arc::new(Int64Array::from(vec![1; column.len()]));
    let code = Field::new("code", column.data_type().clone(), true);
    let other_field = Field::new("other", DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![other_field, code]));
    RecordBatch::try_new(schema, vec![other, column]).unwrap()
}

fn physical(batch: &RecordBatch, steps: &[Expr]) -> Vec<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(batch.schema()).unwrap();
    let session = SessionContext::new();
    let create = |step: &Expr| session.create_physical_expr(step.clone(), &schema).unwrap();
    steps.iter().map(create).collect()
}

fn bits(masks: &Masks) -> Vec<u64> {
    (0..masks.len())
        .map(|row| masks.get(row).unwrap())
        .collect()
}

/// The masks row by row, and by the values of the column.
fn both_ways(batch: &RecordBatch, steps: &[Expr], null_hides: bool) -> Option<[Steps; 2]> {
    let steps = physical(batch, steps);
    let conditions: Vec<ArrayRef> = steps
        .iter()
        .map(|step| {
            step.evaluate(batch)
                .unwrap()
                .into_array(batch.num_rows())
                .unwrap()
        })
        .collect();
    let by_row = Steps::of(&conditions, batch.num_rows(), null_hides);
    let coded = Coded::of(&steps).unwrap()?;
    Some([by_row, coded.read(batch, null_hides).unwrap()?])
}

fn compare(column: ArrayRef, values: &[ScalarValue], steps: usize) {
    let batch = batch(column);
    let equal = (0..steps).map(|step| col("code").eq(lit(values[step % values.len()].clone())));
    let steps: Vec<Expr> = equal.chain([col("code").is_null()]).collect();
    for null_hides in [false, true] {
        let [by_row, by_value] = both_ways(&batch, &steps, null_hides).expect("it is coded");
        assert_eq!(bits(&by_row.masks), bits(&by_value.masks));
        let all = by_row.masks.len();
        for row in 0..all {
            let seen = |steps: &Steps| steps.seen.as_ref().is_none_or(|seen| seen.value(row));
            assert_eq!(seen(&by_row), seen(&by_value), "row {row}");
        }
    }
}

#[test]
fn masks_are_those_of_every_row_evaluated() {
    let mut rng = StdRng::seed_from_u64(11);
    let texts = [
        "a",
        "engagement_impression",
        "engagement_click",
        "",
        "chat_requested",
    ];
    for steps in [1, 3, 8, 12, 20] {
        let picks: Vec<Option<u8>> = (0..300)
            .map(|_| rng.random_ratio(9, 10).then(|| rng.random_range(0..5)))
            .collect();
        let text = |pick: &Option<u8>| pick.map(|pick| texts[usize::from(pick)]);
        let bytes: UInt8Array = picks
            .iter()
            .map(|pick| pick.map(|pick| pick * 60))
            .collect();
        let values: Vec<_> = (0..5)
            .map(|pick| ScalarValue::UInt8(Some(pick * 60)))
            .collect();
        compare(Arc::new(bytes), &values, steps);
        let signed: Int8Array = picks
            .iter()
            .map(|pick| pick.map(|pick| pick as i8 - 2))
            .collect();
        let values: Vec<_> = (0..5)
            .map(|pick| ScalarValue::Int8(Some(pick - 2)))
            .collect();
        compare(Arc::new(signed), &values, steps);
        // As a reader of dictionary pages makes them: equal texts are equal views.
        let each: StringViewArray = texts.into_iter().map(Some).collect();
        let views = take(
            &each,
            &UInt32Array::from_iter(picks.iter().map(|pick| pick.map(u32::from))),
            None,
        );
        let values = texts.map(|text| ScalarValue::Utf8View(Some(text.to_owned())));
        compare(views.unwrap(), &values, steps);
        let dictionary: DictionaryArray<Int16Type> = picks.iter().map(text).collect();
        let values = texts.map(|text| ScalarValue::Utf8(Some(text.to_owned())));
        compare(Arc::new(dictionary), &values, steps);
    }
}

#[test]
fn a_column_of_many_values_is_read_row_by_row() {
    let texts = (0..=VALUES_MAX).map(|number| Some(number.to_string()));
    let views: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
    let step = [col("code").eq(lit("7"))];
    assert!(both_ways(&batch(ArrayRef::clone(&views)), &step, false).is_none());
    let fewer = batch(views.slice(1, VALUES_MAX));
    assert!(both_ways(&fewer, &step, false).is_some());
}

#[test]
fn values_that_a_batch_does_not_have_are_not_evaluated() {
    let batch = batch(Arc::new(UInt8Array::from(vec![1, 2, 1])));
    let step = [(lit(4_u8) / col("code")).eq(lit(2_u8))];
    let [by_row, by_value] = both_ways(&batch, &step, false).unwrap();
    assert_eq!(bits(&by_value.masks), [0, 1, 0]);
    assert_eq!(bits(&by_row.masks), [0, 1, 0]);
}

#[test]
fn conditions_over_two_columns_or_none_are_not_coded() {
    let batch = batch(Arc::new(UInt8Array::from(vec![1, 2])));
    for steps in [
        vec![col("code").eq(lit(1_u8)), col("other").eq(lit(1_i64))],
        vec![lit(true)],
    ] {
        assert!(Coded::of(&physical(&batch, &steps)).unwrap().is_none());
    }
}

#[test]
fn a_dictionary_without_values_is_read_row_by_row() {
    let none: DictionaryArray<Int16Type> = [None::<&str>, None].into_iter().collect();
    let batch = batch(Arc::new(none));
    assert!(both_ways(&batch, &[col("code").eq(lit("a"))], false).is_none());
}
