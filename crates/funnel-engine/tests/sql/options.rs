//! Options as a struct of constants: what they change, and how wrong ones are refused.

use funnel_match::{Bound, Count, Entry, Matcher, Mode, Options, Row, Spec};

use crate::arguments::check;
use crate::oracle::{Random, session_of, several_steps_a_row};
use crate::{run, session, text};

const VISITS: &str =
    "(VALUES ('ann', 0, 'a'), ('ann', 4, 'a'), ('ann', 5, 'b'), ('ann', 30, 'a'), ('ann', 31, 'b'),
    ('ann', 60, 'a'), ('bob', 50, 'a'), ('cat', 1, 'b')) AS t(who, at, what)";

async fn answers(call: &str) -> String {
    let sql = format!(
        "SELECT who, {call} FROM (SELECT *, to_timestamp(at) AS ts, what = 'a' AS a, what = 'b' AS b FROM {VISITS})
         GROUP BY who ORDER BY who"
    );
    text(&session(), &sql).await
}

#[tokio::test]
async fn each_option_has_its_effect() {
    let level =
        |options: &str| format!("window_funnel(10, 'ordered', named_struct({options}), at, a, b)");
    assert_eq!(
        answers(&level("'entry', 'latest'")).await,
        "ann | 2\nbob | 1\ncat | 0"
    );
    assert_eq!(
        answers("window_funnel(2, named_struct('entry', 'first'), at, a, b)").await,
        "ann | 1\nbob | 1\ncat | 0"
    );
    assert_eq!(
        answers("window_funnel(1, 'ordered', named_struct('window_bound', 'exclusive'), at, a, b)")
            .await,
        "ann | 1\nbob | 1\ncat | 0"
    );
    assert_eq!(
        answers("window_funnel(10, 'ordered', named_struct('reuse', 'row_many'), at, a, a)").await,
        "ann | 2\nbob | 2\ncat | 0"
    );
    assert_eq!(
        answers("window_funnel(INTERVAL '1 minute', named_struct('max_gap', make_array(INTERVAL '500 milliseconds')), ts, a, b)").await,
        "ann | 1\nbob | 1\ncat | 0"
    );
    assert_eq!(
        answers("funnel_match(10, named_struct('entry', 'earliest_longest'), at, a, b)").await,
        "ann | {level: 2, times: [0, 5]}\nbob | {level: 1, times: [50]}\ncat | {level: 0, times: []}"
    );
    assert_eq!(
        answers(
            "funnel_steps(10, named_struct('entry', NULL, 'max_gap', make_array(NULL)), at, a, b)"
        )
        .await,
        "ann | [true, true]\nbob | [true, false]\ncat | [false, false]"
    );
}

#[tokio::test]
async fn open_windows_and_attempts_are_further_fields() {
    assert_eq!(
        answers("funnel_match(10, named_struct('as_of', 60), at, a, b)").await,
        "ann | {level: 2, times: [4, 5], state: converted}\n\
         bob | {level: 1, times: [50], state: open}\n\
         cat | {level: 0, times: [], state: dropped}"
    );
    assert_eq!(
        answers("funnel_match(INTERVAL '10 seconds', named_struct('as_of', TIMESTAMP '1970-01-01T00:01:01'), ts, a, b)['state']").await,
        "ann | converted\nbob | dropped\ncat | dropped"
    );
    assert_eq!(
        answers("funnel_match(10, named_struct('count', 'attempts', 'as_of', 9), at, a, b)").await,
        "ann | {level: 2, times: [4, 5], state: converted, attempts: 3, completions: 2}\n\
         bob | {level: 1, times: [50], state: open, attempts: 1, completions: 0}\n\
         cat | {level: 0, times: [], state: dropped, attempts: 0, completions: 0}"
    );
}

#[tokio::test]
async fn options_of_a_call_are_those_of_the_kernel() {
    const KEYS: i64 = 120;
    let batch = several_steps_a_row(41, KEYS);
    let session = session_of(&batch, 3, 16);
    let mut random = Random(99);
    for _ in 0..40 {
        let (options, written) = random_options(&mut random);
        let window = random.below(8) + 1;
        let spec = Spec::new(Mode::Ordered, 3, Some(window)).unwrap();
        let Ok(spec) = spec.with_options(options) else {
            continue;
        };
        let sql = format!(
            "SELECT k, m['level'] AS level, m['times'] AS times, m['state'] AS s, m['attempts'] AS n, m['completions'] AS c
             FROM (SELECT k, funnel_match({window}, 'ordered', {written}, t, a, b, c) AS m FROM t GROUP BY k)
             ORDER BY k"
        );
        let mut matcher = Matcher::new(spec);
        let mut expected = Vec::new();
        for key in 0..KEYS {
            let mut rows: Vec<Row> = crate::oracle::history(&batch, key);
            rows.retain(|row| row.mask != 0);
            rows.sort_by_key(|row| row.time);
            let mut times = Vec::new();
            let level = matcher.trace(&rows, &mut times);
            let times: Vec<String> = times.iter().flatten().map(i64::to_string).collect();
            let outcome = matcher.outcome(&rows);
            expected.push(format!(
                "{key} | {level} | [{}] | {} | {} | {}",
                times.join(", "),
                format!("{:?}", outcome.state).to_lowercase(),
                outcome.attempts,
                outcome.completions
            ));
        }
        assert_eq!(text(&session, &sql).await, expected.join("\n"), "{sql}");
    }
}

/// Options, and the same as SQL; keys `count` and `as_of` always stand there.
fn random_options(random: &mut Random) -> (Options, String) {
    let entries = [
        (Entry::Latest, "latest"),
        (Entry::First, "first"),
        (Entry::EarliestLongest, "earliest_longest"),
    ];
    let counts = [
        (Count::Unique, "unique"),
        (Count::Attempts, "attempts"),
        (Count::Completions, "completions"),
    ];
    let bounds = [
        (Bound::Inclusive, "inclusive"),
        (Bound::Exclusive, "exclusive"),
    ];
    let (entry, entry_sql) = entries[random.below(3) as usize];
    let (count, count_sql) = counts[random.below(3) as usize];
    let (bound, bound_sql) = bounds[random.below(2) as usize];
    let as_of = (random.below(2) > 0).then(|| random.int(9));
    let gap = (random.below(2) > 0).then(|| random.below(4));
    let written = format!(
        "named_struct('entry', '{entry_sql}', 'count', '{count_sql}', 'bound', '{bound_sql}', 'as_of', {}, 'max_gap', {})",
        as_of.map_or("NULL".to_owned(), |time| time.to_string()),
        gap.map_or("NULL".to_owned(), |gap| format!("make_array(NULL, {gap})")),
    );
    let options = Options {
        entry,
        count,
        bound,
        as_of,
        max_gap: gap.map_or_else(Vec::new, |gap| vec![None, Some(gap)]),
        ..Options::default()
    };
    (options, written)
}

#[tokio::test]
async fn unknown_keys_and_choices_are_refused_while_planning() {
    check(&[
        ("window_funnel(9, 'ordered', named_struct('entree', 'first'), n, yes)", "window_funnel: `options`: there is no option `entree`; known options: `entry`, `count`, `max_gap`"),
        ("window_funnel(9, named_struct('entry', 'last'), n, yes)", "window_funnel: `options`: `entry` must be one of 'latest', 'first', 'earliest_longest', found 'last'"),
        ("window_funnel(9, named_struct('entry', 1), n, yes)", "window_funnel: `options`: `entry` must be one of 'latest', 'first', 'earliest_longest', found Int64"),
        ("window_funnel(9, named_struct('entry', 'first', 'entry', 'first'), n, yes)", "entry"),
        ("window_funnel(9, named_struct('bound', 'exclusive', 'window_bound', 'exclusive'), n, yes)", "`window_bound` is given twice"),
        ("window_funnel(9, named_struct('bound', 'open'), n, yes)", "`bound` must be one of 'inclusive', 'exclusive', found 'open'"),
        ("funnel_steps(9, named_struct('reuse', 'no'), n, yes)", "funnel_steps: `options`: `reuse` must be one of 'row_once', 'row_many'"),
        ("funnel_match(9, named_struct('count', 'all'), n, yes)", "`count` must be one of 'unique', 'attempts', 'completions'"),
        ("window_funnel(9, named_struct('count', 'attempts'), n, yes)", "`count` changes no level; ask funnel_match"),
        ("window_funnel(9, named_struct('entry', word), n, yes)", "window_funnel: `options` must be a constant"),
        ("window_funnel(9, named_struct('entry', 'last'), n, yes) OVER ()", "found 'last'"),
    ])
    .await;
}

#[tokio::test]
async fn lengths_times_and_modes_that_do_not_fit_are_refused_while_planning() {
    check(&[
        ("funnel_steps(9, named_struct('as_of', 9), n, yes)", "`as_of` changes no level; ask funnel_match"),
        ("window_funnel(9, named_struct('max_gap', 5), n, yes, yes)", "`max_gap` must be a list of whole numbers in the unit of `time`"),
        ("window_funnel(9, named_struct('max_gap', make_array(INTERVAL '1 day')), n, yes, yes)", "list of whole numbers"),
        ("window_funnel(NULL, named_struct('max_gap', make_array(5)), ts, yes, yes)", "`max_gap` must be a list of intervals"),
        ("window_funnel(NULL, named_struct('max_gap', make_array(INTERVAL '1 month')), ts, yes, yes)", "`options.max_gap[1]` must not contain months"),
        ("window_funnel(9, named_struct('max_gap', make_array(1, -5)), n, yes, yes, yes)", "`options.max_gap[2]` must not be negative, found -5"),
        ("window_funnel(9, named_struct('max_gap', make_array(1, 2)), n, yes, yes)", "option `max_gap` with mode 'ordered': has a limit for each step but the last"),
        ("funnel_match(NULL, named_struct('as_of', 5), ts, yes)", "`as_of` must be a TIMESTAMP or a DATE, found Int64"),
        ("funnel_match(9, named_struct('as_of', ts), n, yes)", "`as_of` must be a whole number in the unit of `time`"),
        ("window_funnel(9, 'next', named_struct('entry', 'first'), n, yes)", "option `entry` with mode 'next': needs mode 'ordered'"),
        ("window_funnel(9, 'ch:default', named_struct('bound', 'exclusive'), n, yes)", "a dialect has its own rule"),
        ("window_funnel(9, 'ordered', named_struct('entry', 'first', 'reuse', 'row_many'), n, yes)", "is not defined where a row fills several steps"),
    ])
    .await;
}

#[tokio::test]
async fn options_may_be_an_expression_of_constants_and_parameters() {
    let session = session();
    let options = "named_struct('entry', concat('fir', lower('ST')), 'max_gap', make_array(2 + 3))";
    let sql = format!(
        "SELECT window_funnel(9, {options}, v, v = 1, v = 5, v = 9) FROM (VALUES (1), (5), (9)) AS t(v)"
    );
    assert_eq!(text(&session, &sql).await, "3");
    let sql = "SELECT window_funnel(9, named_struct('entry', $1), v, v > 0, v > 1) AS level FROM (VALUES (1), (5)) AS t(v)";
    let bind = async |entry: &str| {
        let query = session.sql(sql).await.unwrap();
        query
            .with_param_values(vec![datafusion::common::ScalarValue::from(entry)])
            .unwrap()
            .collect()
            .await
    };
    assert_eq!(bind("first").await.unwrap()[0].num_rows(), 1);
    let message = bind("last").await.unwrap_err().to_string();
    assert!(message.contains("`entry` must be one of"), "{message}");
    assert!(run(&session, sql).await.is_err());
}
