//! Decisions and reasons in words, for people who did not write the funnel.

use funnel_match::classify::{Class, Reason};

use super::judge::Decision;
use crate::funnel::FunnelDefinition;

/// What became of a row.
pub(super) fn of_decision(definition: &FunnelDefinition, decision: Decision) -> String {
    let title = |step: usize| title(definition, step);
    let before = |step: usize| title(step.saturating_sub(1));
    match decision {
        Decision::Filtered => "left out by the filter of the funnel or of the question".to_owned(),
        Decision::Matched(class) => match class {
            Class::Used { steps } => format!("counts as {}", list(definition, steps)),
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
                format!("{}, but {} outside of the window", title(step), span(by))
            }
            Class::AfterCompletion => "after the last step".to_owned(),
            Class::DuplicateId => "another form or copy of an event that is counted".to_owned(),
            Class::NullTime => "has no time".to_owned(),
            _ => "no step of this funnel".to_owned(),
        },
    }
}

/// Why a step is missing, and what would have had to happen.
pub(super) fn of_reason(definition: &FunnelDefinition, reason: Reason) -> (String, String) {
    let missing = title(definition, reason.step());
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
            format!("{missing} happened {} after the window had ended", span(by)),
            format!("a window longer by {} would count it", span(by)),
        ),
        Reason::WindowOpen { until, .. } => {
            let until = chrono::DateTime::from_timestamp_micros(until).map_or_else(
                || "a time beyond the calendar".to_owned(),
                |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            );
            (
                format!("{missing} did not happen yet; the window is open until {until}"),
                needed("until then"),
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
        _ => (format!("{missing} was not reached"), needed("")),
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
pub(super) fn list(definition: &FunnelDefinition, mask: u64) -> String {
    let steps = (0..definition.steps.len()).filter(|step| mask >> step & 1 == 1);
    let titles: Vec<String> = steps.map(|step| title(definition, step)).collect();
    titles.join(" and ")
}

fn title(definition: &FunnelDefinition, step: usize) -> String {
    let title = definition.steps.get(step).map(|step| step.title.as_str());
    format!("`{}`", title.unwrap_or("?"))
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
