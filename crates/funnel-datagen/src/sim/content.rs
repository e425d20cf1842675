//! Tagged pages whose events come from Data Access files only, with content offers among them.
//!
//! Only Data Access says that an engagement is content, and it is not looked at where live events
//! exist: content is therefore simulated where there are none.

use super::tour::Tour;
use crate::scribe::Shown;
use crate::truth::record::{Outcome, Step};

/// A whole session. Nobody here chats or buys.
pub(super) fn session(tour: &mut Tour<'_>, start: i64) {
    tour.scribe.da_session(start);
    if tour.dice.chance(0.4) {
        let channel = tour.dice.between(0, 4);
        tour.scribe
            .da_marketing(start + 900, channel, "spring-lending-24");
    }
    let pages = 1 + tour.dice.between(0, 2);
    for n in 0..pages {
        let url = format!("https://www.examplebank.test/guides/{n}");
        tour.scribe.da_page(start + 300 + n * 25_000, &url);
    }
    if !tour.dice.chance(0.85) {
        return;
    }
    let engagements = &tour.account.content;
    let all: Vec<_> = engagements.iter().collect();
    tour.scribe.eligible(start + 1_100, &all, "TEST");
    tour.record.eligible(start + 1_100);
    let shown = if tour.dice.chance(0.4) { 2 } else { 1 };
    for (n, e) in engagements.iter().take(shown).enumerate() {
        let context = tour.context();
        let index = tour.record.offer(Outcome::NotDisplayed, false);
        let mut time = start + 2_000 + i64::try_from(n).unwrap_or_default() * 1_300;
        let at = Shown {
            context,
            page: "",
            state: 0,
        };
        for _ in 0..pages {
            tour.scribe.da_impression(time, "Show", e, at);
            tour.view(time, e, 0, index);
            time += 25_000;
        }
        match tour.dice.below(10) {
            0..=3 => {
                tour.scribe.da_impression(time, "Accept", e, at);
                tour.record.clicked(time, index, 0, true);
            }
            4 => {
                tour.scribe.da_impression(time, "Close", e, at);
                tour.record.offers[index].outcome = Outcome::Declined;
            }
            5 => {
                tour.scribe.da_impression(time, "Timeout", e, at);
                tour.record.offers[index].outcome = Outcome::TimedOut;
            }
            _ => {}
        }
    }
    debug_assert!(tour.record.facts.iter().all(|f| f.step != Step::Requested));
}
