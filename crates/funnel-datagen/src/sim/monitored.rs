//! The monitored flow: tagged pages, told live.

use super::talk;
use super::tour::Tour;
use crate::payload::{Engagement, visit};
use crate::scribe::Shown;
use crate::truth::record::{Outcome, Step};

/// One offer on its way through the session.
struct Offer {
    engagement: Engagement,
    index: usize,
    context: u32,
    shown: bool,
    state: i64,
}

/// A whole session.
pub(super) fn session(tour: &mut Tour<'_>, start: i64) {
    let mut pages = vec![(start, tour.page_id())];
    let more = tour.dice.between(0, 3);
    for _ in 0..more {
        let (last, _) = pages[pages.len() - 1];
        let next = last + tour.dice.seconds(15, 60);
        pages.push((next, tour.page_id()));
    }
    tour.scribe.monitoring_started(start, &pages[0].1);
    // The tag does not know the device; the files of the session do.
    tour.scribe.da_session(start);
    for (n, (time, page)) in pages.iter().enumerate() {
        let path = ["home", "loans/home", "cards", "contact"][n.min(3)];
        let url = format!("https://www.examplebank.test/{path}?ref={n}");
        tour.scribe.new_page(time + 240, page, &url);
    }
    tour.attributes(start, &pages[0].1);
    if !tour.dice.chance(0.8) {
        // Nobody to offer anything to.
        tour.convert(start + 50_000, &pages[0].1, 0.01);
        return;
    }
    let campaign = &tour.account.campaigns[tour.dice.below(tour.account.campaigns.len())];
    let first = tour.dice.below(campaign.len());
    let mut engagements: Vec<&Engagement> = vec![&campaign[first]];
    if tour.dice.chance(0.3) {
        engagements.push(&campaign[(first + 1) % campaign.len()]);
    }
    let control = tour.dice.chance(tour.options.control_group);
    tour.scribe.eligible(
        start + 1_100,
        &engagements,
        if control { "CONTROL" } else { "TEST" },
    );
    tour.record.eligible(start + 1_100);
    if control {
        tour.convert(start + 60_000, &pages[0].1, 0.03);
        return;
    }
    let mut offers: Vec<Offer> = Vec::new();
    for e in engagements {
        let offer = show(tour, e, &pages);
        offers.push(offer);
    }
    let (last_time, last_page) = pages[pages.len() - 1].clone();
    let mut time = last_time + tour.dice.seconds(12, 30);
    for offer in &offers {
        time = fate(tour, offer, &last_page, time) + tour.dice.seconds(8, 20);
    }
    snapshot(tour, &offers, start, time);
    let share = if tour.record.engaged() { 0.2 } else { 0.04 };
    tour.convert(time + 15_000, &last_page, share);
    if tour.dice.chance(0.1) {
        let goal = tour.account.campaigns[0][0].goal;
        let id = tour.dice.uuid();
        tour.scribe.url_goal(time + 22_000, &id, goal);
    }
}

/// Somebody looks the visit up while the monitoring system holds it. It tells nothing that the tag
/// has not told, except for visitors whose messages get lost or are misdated.
fn snapshot(tour: &mut Tour<'_>, offers: &[Offer], start: i64, time: i64) {
    let told = !tour.traits.lossy && tour.traits.clock_error == 0;
    if !told || !tour.dice.chance(0.1) {
        return;
    }
    let clicked = |index: usize| {
        let mut facts = tour.record.facts.iter();
        facts
            .find(|f| f.step == Step::Clicked && f.offer == Some(index))
            .map(|f| f.time)
    };
    let shown: Vec<visit::Offer<'_>> = offers
        .iter()
        .filter(|offer| offer.shown)
        .map(|offer| visit::Offer {
            engagement: &offer.engagement,
            context: offer.context,
            state: offer.state,
            accepted: clicked(offer.index),
        })
        .collect();
    let page = tour.page_id();
    tour.scribe.snapshot(time, start, &page, &shown);
}

/// Start, rendering and impression on each page; the same context all along.
fn show(tour: &mut Tour<'_>, e: &Engagement, pages: &[(i64, String)]) -> Offer {
    let context = tour.context();
    let index = tour.record.offer(Outcome::NotDisplayed, false);
    let lost = tour.traits.lossy;
    let blocked = tour.dice.chance(0.03);
    let mut state = 1;
    // The second offer of a page comes up a little later than the first.
    let offset = 1_500 + i64::from(context) * 2_000;
    for (opened, page) in pages {
        let time = opened + offset;
        state = tour.account.agents(time, &mut tour.dice);
        let at = Shown {
            context,
            page,
            state,
        };
        tour.scribe.offer(time, "START", e, at);
        tour.fact(time, Step::OfferStarted, index);
        if blocked {
            break;
        }
        tour.scribe.offer(time + 220, "OFFER_DISPLAY", e, at);
        tour.fact(time + 220, Step::Rendered, index);
        if lost {
            continue;
        }
        tour.scribe.offer(time + 255, "OFFER_IMPRESSION", e, at);
        if let Some(gap) = tour.near_duplicate() {
            tour.scribe
                .offer(time + 255 + gap, "OFFER_IMPRESSION", e, at);
        }
        tour.view(time + 255, e, state, index);
    }
    Offer {
        engagement: e.clone(),
        index,
        context,
        shown: !blocked,
        state,
    }
}

/// What the visitor does with it. Answers when it is over.
fn fate(tour: &mut Tour<'_>, offer: &Offer, page: &str, time: i64) -> i64 {
    if !offer.shown {
        return time;
    }
    // A shown button learns of agents coming and going.
    let state = if tour.dice.chance(0.05) {
        tour.account.agents(time, &mut tour.dice)
    } else {
        offer.state
    };
    let share = tour.options.click * [0.0, 1.0, 0.3, 0.0, 0.6][usize::try_from(state).unwrap_or(1)];
    let e = &offer.engagement;
    let at = Shown {
        context: offer.context,
        page,
        state,
    };
    if tour.dice.chance(share) {
        tour.click(time, e, at, offer.index);
        return after_click(tour, offer, at, time);
    }
    let gone = match tour.dice.below(20) {
        0..=3 => Some(("OFFER_DECLINED", Outcome::Declined)),
        4..=6 => Some(("OFFER_TIMEOUT", Outcome::TimedOut)),
        _ => None,
    };
    if let Some((event, outcome)) = gone {
        tour.scribe.offer(time, event, e, at);
        tour.record.offers[offer.index].outcome = outcome;
    }
    if gone.is_some() || tour.dice.chance(0.3) {
        tour.scribe.offer(time + 40, "OFFER_REMOVE", e, at);
    }
    time
}

fn after_click(tour: &mut Tour<'_>, offer: &Offer, at: Shown<'_>, time: i64) -> i64 {
    let e = &offer.engagement;
    let queue_anyway = at.state == 4 && tour.dice.chance(0.5);
    if at.state != 1 && !queue_anyway {
        let share = if at.state == 2 { 0.6 } else { 0.3 };
        if tour.dice.chance(share) {
            let id = tour.dice.between(1_000_000, 9_999_999_999);
            tour.scribe.survey(time + 40_000, id, 4, None);
        }
        return time + 45_000;
    }
    if tour.traits.default_window {
        tour.scribe.window(time + 1_200, "initialised");
        tour.scribe.window(time + 1_500, "preChat");
        tour.fact(time + 1_200, Step::WindowReady, offer.index);
    } else if tour.dice.chance(0.15) {
        let free = tour.dice.chance(0.9);
        let answer = crate::scribe::Recheck::Availability(free);
        tour.scribe
            .recheck(time + 1_200, offer.context, &e.skill, answer);
        if !free {
            tour.record.offers[offer.index].outcome = Outcome::UnavailableAtRecheck;
            return time + 10_000;
        }
        tour.fact(time + 1_200, Step::WindowReady, offer.index);
    }
    if tour.dice.chance(0.2) {
        if tour.traits.default_window {
            tour.scribe.window_closed(time + 20_000);
        }
        // The outcome of the click stands: who waits for a busy agent and leaves was blocked.
        return time + 25_000;
    }
    let asked = time + tour.dice.seconds(4, 25);
    let from = talk::Origin {
        offer: offer.index,
        context: offer.context,
        engagement: e,
        auth: None,
    };
    talk::chat(tour, from, at.page, asked)
}
