//! Decisions and reasons in words, for people who did not write the funnel.

use funnel_match::classify::{Class, Reason};

use super::judge::Decision;
use crate::funnel::tabular::Clock;

/// What the words are about.
#[derive(Debug)]
pub(super) struct Words<'a> {
    /// By step.
    pub(super) titles: Vec<&'a str>,
    pub(super) mode: String,
    pub(super) clock: Clock,
}

/// What became of a row.
pub(super) fn of_decision(words: &Words<'_>, decision: Decision) -> String {
    let title = |step: usize| title(words, step);
    let before = |step: usize| title(step.saturating_sub(1));
    match decision {
        Decision::Filtered => "left out by the filter of the funnel or of the question".to_owned(),
        Decision::OtherHold => "belongs to other held values than the chain".to_owned(),
        Decision::Matched(class) => match class {
            Class::Used { steps } => format!("counts as {}", list(words, steps)),
            Class::SupersededEntry => {
                "an earlier beginning; a later one counts, or one that led further".to_owned()
            }
            Class::Repeat { step } => format!("{} again, which was reached before", title(step)),
            Class::BeforeEntry => {
                format!("before the first step, {}, that counts", title(0))
            }
            Class::OutOfOrder { step } => {
                format!(
                    "{} although {} was not reached yet",
                    title(step),
                    before(step)
                )
            }
            Class::NotLater { step } => {
                format!(
                    "{} in the same instant as {}; it must be later",
                    title(step),
                    before(step)
                )
            }
            Class::OutOfWindow { step, by } => {
                let by = distance(words, by);
                format!("{}, but {by} outside of the window", title(step))
            }
            Class::Interrupted { step, by } => {
                format!("{}, but row {} came between", title(step), by + 1)
            }
            Class::Interrupts { step } => {
                format!(
                    "ends the chain, which {} should have continued",
                    title(step)
                )
            }
            Class::OwnRule { step } => {
                format!(
                    "{}, in time and in order; a rule of mode {}, or an option, stands against it",
                    title(step),
                    words.mode
                )
            }
            Class::Excluded { exclusion } => {
                format!(
                    "an excluded row, by exclusion {}; it must not come between its steps",
                    exclusion + 1
                )
            }
            Class::NotExplained => "not part of this attempt".to_owned(),
            Class::AfterCompletion => "after the last step".to_owned(),
            Class::DuplicateId => "another form or copy of an event that is counted".to_owned(),
            Class::NullTime => "has no time".to_owned(),
            _ => "no step of this funnel".to_owned(),
        },
    }
}

/// Why a step is missing, and what would have had to happen.
pub(super) fn of_reason(words: &Words<'_>, reason: Reason) -> (String, String) {
    let missing = title(words, reason.step());
    let needed = |text: &str| format!("a row that satisfies {missing} {text}");
    match reason {
        Reason::NeverEntered => (
            format!("the first step, {missing}, never happened"),
            needed("is where the funnel begins"),
        ),
        Reason::NeverSeen { .. } => (
            format!("{missing} never happened"),
            needed("after the steps reached"),
        ),
        Reason::OnlyBeforeEntry { .. } => (
            format!("{missing} happened only before the funnel began"),
            needed("after the first step"),
        ),
        Reason::OnlyBeforePrevious { .. } => (
            format!("{missing} happened only before the step that it follows"),
            format!(
                "{}; mode loose does not ask for the order",
                needed("after the steps before it")
            ),
        ),
        Reason::AfterWindow { by, .. } => (
            format!(
                "{missing} happened {} after the window had ended",
                distance(words, by)
            ),
            format!("a window longer by {} would count it", distance(words, by)),
        ),
        Reason::AfterGap { by, .. } => (
            format!(
                "{missing} happened {} after the longest time since the step before was over",
                distance(words, by)
            ),
            format!(
                "a `max_gap` longer by {} would count it",
                distance(words, by)
            ),
        ),
        Reason::WindowOpen { until, .. } => {
            let until = words.clock.time(until).map_or_else(
                || words.clock.number(until).to_string(),
                |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            );
            (
                format!("{missing} is still missing; the window is open until {until}"),
                needed("and those before it that its chain lacks, until then"),
            )
        }
        Reason::OnlyCandidateUsed { .. } => (
            format!("the only row that satisfies {missing} already serves a step before it"),
            needed("beside it"),
        ),
        Reason::NotStrictlyLater { .. } => (
            format!("{missing} happened only in the same instant as the step before it"),
            format!("{}; mode ordered would count it", needed("at a later time")),
        ),
        Reason::SeveralRules { .. } => (
            format!("{missing} has only rows that serve another step or lie outside of the window"),
            needed("inside the window"),
        ),
        other => of_rules(words, other),
    }
}

/// The reasons that lie with what mode, exclusions and held values ask for.
fn of_rules(words: &Words<'_>, reason: Reason) -> (String, String) {
    let missing = title(words, reason.step());
    let needed = |text: &str| format!("a row that satisfies {missing} {text}");
    match reason {
        Reason::Interrupted { by, .. } => (
            format!(
                "row {} came between {missing} and the step before it",
                by + 1
            ),
            format!(
                "{}; mode ordered would count it",
                needed("directly after the step before it")
            ),
        ),
        Reason::ExcludedBy { row, .. } => (
            match (row, reason.step()) {
                (Some(row), 0) => format!(
                    "row {}, which is excluded, takes the key out of the funnel",
                    row + 1
                ),
                (None, 0) => "an excluded row takes the key out of the funnel".to_owned(),
                (Some(row), _) => {
                    format!("row {}, which is excluded, came before {missing}", row + 1)
                }
                (None, _) => format!("an excluded row came before {missing}"),
            },
            match reason.step() {
                0 => "a beginning without an excluded row behind it".to_owned(),
                _ => needed("without an excluded row before it"),
            },
        ),
        Reason::HeldDiffers { .. } => (
            format!("{missing} happened only with other held values"),
            needed("with the same held values, or a funnel that holds fewer"),
        ),
        Reason::OwnRule { .. } => (
            format!(
                "rows satisfy {missing}, and a rule of mode {}, or an option, keeps them from counting",
                words.mode
            ),
            match words.mode.as_str() {
                "ordered" => needed("as the options of the funnel ask for"),
                _ => format!(
                    "{}; mode ordered would count it",
                    needed("by the rules of that mode")
                ),
            },
        ),
        Reason::NotExplained { .. } => (
            format!(
                "rows satisfy {missing}, and mode {} does not tell why they do not count",
                words.mode
            ),
            needed("by the rules of that mode"),
        ),
        _ => (
            format!("{missing} was not reached"),
            needed("after the steps reached"),
        ),
    }
}

/// What the outcome of the offer adds: the reasons that lie with the contact centre.
pub(super) fn of_outcome(outcome: &str) -> Option<&'static str> {
    Some(match outcome {
        "blocked_offline" => "unavailable: the click met a contact centre without agents online",
        "blocked_busy" => "unavailable: the click met agents that were all busy",
        "unavailable_at_recheck" => "unavailable: the check before the request said no",
        "abandoned_in_queue" => "left the queue before an agent took the chat",
        "auth_failed" => "the authentication failed, so no chat was requested",
        "click_no_request" => "clicked while agents were there, and asked for no chat",
        "declined" => "declined the offer",
        "timed_out" => "the offer ran out on the page",
        "ignored" => "saw the offer and did nothing",
        "not_displayed" => "the offer was made but never shown",
        "not_available" => "no engagement was available: offline, busy or not eligible",
        "in_progress" => "the session or the chat is still open",
        "connected_non_interactive" => "was connected and wrote nothing",
        _ => return None,
    })
}

/// The titles of the steps in `mask`.
fn list(words: &Words<'_>, mask: u64) -> String {
    let steps = (0..words.titles.len()).filter(|step| mask >> step & 1 == 1);
    let titles: Vec<String> = steps.map(|step| title(words, step)).collect();
    titles.join(" and ")
}

fn title(words: &Words<'_>, step: usize) -> String {
    format!("`{}`", words.titles.get(step).unwrap_or(&"?"))
}

/// A distance in the unit of the rows.
fn distance(words: &Words<'_>, by: u64) -> String {
    match words.clock {
        Clock::Integer | Clock::Unsigned => by.to_string(),
        Clock::Ticks(ticks) => {
            let us = u128::from(by) * 1_000_000 / u128::from(ticks.unsigned_abs().max(1));
            span(u64::try_from(us).unwrap_or(u64::MAX))
        }
    }
}

/// A span of microseconds in at most two units.
fn span(us: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = us / 1_000_000;
    if !us.is_multiple_of(1_000_000) && seconds < 60 {
        return format!("{}.{:03} s", seconds, us % 1_000_000 / 1_000);
    }
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size {
            parts.push(format!("{} {unit}", rest / size));
            rest %= size;
        }
    }
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_at_a_glance() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(1_500_000), "1.500 s");
        assert_eq!(span(3_600_000_000), "1 h");
        assert_eq!(span(90_061_000_000), "1 d 1 h");
    }

    #[test]
    fn reasons_of_the_contact_centre_have_words() {
        for outcome in ["blocked_offline", "blocked_busy", "unavailable_at_recheck"] {
            assert!(of_outcome(outcome).unwrap().starts_with("unavailable"));
        }
        assert_eq!(of_outcome("interactive"), None);
    }
}
