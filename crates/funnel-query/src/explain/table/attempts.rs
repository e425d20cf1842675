//! A key whose attempts are counted, each for itself.

use std::ops::Range;

use funnel_match::classify::{self, Reason};
use funnel_match::{Matcher, Row, Spec, State};

use super::super::judge::{Decision, Judgement};
use super::runs;
use crate::funnel::tabular::{self, History};

/// The best attempt so far.
struct Best {
    rank: (usize, u8),
    reached: u64,
    reason: Option<Reason>,
}

/// The rows of each attempt as its own chain has them; those after it, until the next one begins, as rows
/// that could not take it further. Level and reason are those of the first of the best attempts.
pub(super) fn judge(
    history: &History,
    counted: &Spec,
    placed: &[(usize, Row)],
    mut decisions: Vec<Decision>,
) -> (Judgement, Vec<Option<i32>>) {
    let spec = &history.spec;
    let mut matcher = Matcher::new(spec.clone());
    let mut finder = Matcher::new(counted.clone());
    let mut numbers = vec![None; decisions.len()];
    let mut best: Option<Best> = None;
    let (mut number, mut ranges) = (0, Vec::new());
    for (places, of_run) in runs(history, placed) {
        finder.attempts(&of_run, &mut ranges);
        for (attempt, range) in ranges.iter().enumerate() {
            number += 1;
            let around = around(&ranges, attempt, of_run.len());
            let begin = if attempt == 0 { 0 } else { range.start };
            let classes = classify::classify(spec, &of_run[around.clone()]);
            for (at, class) in around.clone().zip(classes) {
                if at >= begin {
                    let class = class.at(|row| places[around.start + row]);
                    decisions[places[at]] = Decision::Matched(class);
                }
                if range.contains(&at) {
                    numbers[places[at]] = Some(number);
                }
            }
            let own = &of_run[range.clone()];
            let outcome = matcher.outcome(own);
            let rank = outcome.state.rank(outcome.level);
            if best.as_ref().is_none_or(|best| rank > best.rank) {
                let reason = |rows: Range<usize>| {
                    let begin = rows.start;
                    let reason = tabular::reason(spec, &of_run[rows], &outcome);
                    reason.map(|reason| reason.at(|row| places[begin + row]))
                };
                // What belongs to no attempt may say why this one went no further.
                let around = match outcome.state {
                    State::Excluded => None,
                    _ => reason(around),
                };
                best = Some(Best {
                    rank,
                    reached: matcher.reached(own),
                    reason: around.or_else(|| reason(range.clone())),
                });
            }
        }
        if ranges.is_empty() {
            for (place, class) in places.iter().zip(classify::classify(spec, &of_run)) {
                decisions[*place] = Decision::Matched(class.at(|row| places[row]));
            }
        }
    }
    let reason = match &best {
        Some(best) => best.reason,
        None => classify::reason(spec, &[], None),
    };
    let reached = best.map_or(0, |best| best.reached);
    let judgement = Judgement {
        decisions,
        reached,
        reason,
    };
    (judgement, numbers)
}

/// The rows of an attempt with those that belong to none on both sides.
fn around(ranges: &[Range<usize>], attempt: usize, rows: usize) -> Range<usize> {
    let before = attempt.checked_sub(1);
    let begin = before.map_or(0, |before| ranges[before].end);
    let after = ranges.get(attempt + 1);
    begin..after.map_or(rows, |after| after.start)
}
