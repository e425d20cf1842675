//! The unmonitored flow: the brand's service asks for an engagement and shows its own button.

use super::talk;
use super::tour::Tour;
use crate::payload::Engagement;
use crate::payload::app::AuthIds;
use crate::scribe::{Asked, Recheck, Shown};
use crate::truth::record::{Outcome, Step};

/// A whole session.
pub(super) fn session(tour: &mut Tour<'_>, start: i64) {
    let page = tour.page_id();
    let source = match tour.dice.below(20) {
        0..=10 => Asked::Server,
        11..=17 => Asked::Sdk,
        _ => Asked::Monitoring,
    };
    if tour.dice.chance(0.03) {
        tour.scribe.account_loading(start - 5_000);
    }
    let offers = if tour.traits.authenticated {
        &tour.account.authenticated
    } else {
        &tour.account.open
    };
    let e = &offers[tour.dice.below(offers.len())];
    let mut time = start;
    let mut found = free(tour, time);
    tour.scribe.session_created(time, &page, source);
    tour.attributes(start, &page);
    // The service may try again while nothing is to be had.
    let tries = tour.dice.between(1, 3);
    for n in 0..tries {
        if n > 0 {
            time += tour.dice.seconds(40, 90);
            found = free(tour, time);
        }
        if found {
            break;
        }
        refused(tour, time, &page, source);
    }
    if !found {
        tour.convert(time + 30_000, &page, 0.01);
        return;
    }
    let offer = offered(tour, time, &page, source, e);
    time = shown(tour, e, &page, offer, time, source);
    let share = if tour.record.engaged() { 0.2 } else { 0.03 };
    tour.convert(time + 15_000, &page, share);
}

fn free(tour: &mut Tour<'_>, time: i64) -> bool {
    tour.account.agents(time, &mut tour.dice) == 1
}

fn refused(tour: &mut Tour<'_>, time: i64, page: &str, source: Asked) {
    tour.scribe.retrieved(time, page, source, None);
    let offer = tour.record.offer(Outcome::NotAvailable, false);
    tour.fact(time, Step::EngagementRequested, offer);
}

/// Index and context of a new offer.
fn offered(
    tour: &mut Tour<'_>,
    time: i64,
    page: &str,
    source: Asked,
    e: &Engagement,
) -> (usize, u32) {
    let context = tour.context();
    tour.scribe
        .retrieved(time, page, source, Some((e, context)));
    let offer = tour
        .record
        .offer(Outcome::NotDisplayed, e.connector.is_some());
    // One answer serves both steps.
    tour.fact(time, Step::EngagementRequested, offer);
    tour.fact(time, Step::Available, offer);
    (offer, context)
}

/// From the button to the end of the story; answers when that is.
fn shown(
    tour: &mut Tour<'_>,
    e: &Engagement,
    page: &str,
    (offer, context): (usize, u32),
    retrieved: i64,
    source: Asked,
) -> i64 {
    let time = retrieved + tour.dice.between(900, 2_500);
    if tour.dice.chance(0.06) {
        return time;
    }
    let at = Shown {
        context,
        page,
        state: 0,
    };
    if tour.dice.chance(0.05) && !tour.traits.lossy {
        // A quick visitor: both reported in one call, with one time.
        let time = time + 2_000;
        tour.scribe.imp_accept_and_display(time, e, at);
        tour.view(time, e, 0, offer);
        tour.record.clicked(time, offer, 0, false);
        return accepted(tour, e, page, (offer, context), time, source);
    }
    if !tour.traits.lossy {
        tour.scribe.imp(time, "impDisplay", e, at);
        if let Some(gap) = tour.near_duplicate() {
            tour.scribe.imp(time + gap, "impDisplay", e, at);
        }
        tour.view(time, e, 0, offer);
    }
    if !tour.dice.chance((tour.options.click * 1.4).min(1.0)) {
        return unclicked(tour, e, at, offer, time);
    }
    // The Monitoring API does not say how long an offer is valid.
    let stale = source != Asked::Monitoring && tour.dice.chance(0.05);
    let clicked = if stale {
        retrieved + e.valid_for_seconds * 1_000 + tour.dice.seconds(60, 400)
    } else {
        time + tour.dice.seconds(4, 90)
    };
    tour.scribe.imp(clicked, "impAccept", e, at);
    if let Some(gap) = tour.near_duplicate() {
        tour.scribe.imp(clicked + gap, "impAccept", e, at);
    }
    tour.record.clicked(clicked, offer, 0, false);
    if !stale {
        return accepted(tour, e, page, (offer, context), clicked, source);
    }
    // Too old: a new offer is asked for.
    tour.record.stale_offers += 1;
    let again = clicked + 1_500;
    let (offer, context) = offered(tour, again, page, source, e);
    let at = Shown {
        context,
        page,
        state: 0,
    };
    if !tour.traits.lossy {
        tour.scribe.imp(again + 1_200, "impDisplay", e, at);
        tour.view(again + 1_200, e, 0, offer);
    }
    let clicked = again + tour.dice.seconds(5, 30);
    tour.scribe.imp(clicked, "impAccept", e, at);
    tour.record.clicked(clicked, offer, 0, false);
    accepted(tour, e, page, (offer, context), clicked, source)
}

fn unclicked(tour: &mut Tour<'_>, e: &Engagement, at: Shown<'_>, offer: usize, time: i64) -> i64 {
    let end = time + tour.dice.seconds(10, 60);
    if tour.dice.chance(0.1) {
        tour.scribe.imp(time + 4_000, "impExpanded", e, at);
    }
    match tour.dice.below(10) {
        0..=1 => {
            tour.scribe.imp(end, "impClose", e, at);
            tour.record.offers[offer].outcome = Outcome::Declined;
        }
        2 => {
            tour.scribe.imp(end, "impTimeout", e, at);
            tour.record.offers[offer].outcome = Outcome::TimedOut;
        }
        _ => {}
    }
    end
}

/// After the click: asking again, authentication, the chat.
fn accepted(
    tour: &mut Tour<'_>,
    e: &Engagement,
    page: &str,
    (offer, context): (usize, u32),
    clicked: i64,
    source: Asked,
) -> i64 {
    let mut time = clicked + 700;
    if source == Asked::Monitoring {
        // What follows is messaging, which is not simulated.
        return time;
    }
    if tour.dice.chance(0.7) {
        let available = tour.dice.chance(0.88);
        let answer = match (tour.dice.chance(0.5), available) {
            (true, _) => Recheck::Availability(available),
            (false, true) => Recheck::Wait([0, 25, -2][tour.dice.below(3)]),
            (false, false) => Recheck::Wait(-1),
        };
        tour.scribe.recheck(time, context, &e.skill, answer);
        if !available {
            tour.record.offers[offer].outcome = Outcome::UnavailableAtRecheck;
            return time;
        }
        tour.fact(time, Step::Rechecked, offer);
    } else if tour.dice.chance(0.1) {
        // Left before anything was asked.
        return time;
    }
    time += 900;
    let mut auth = None;
    if e.connector.is_some() {
        if !tour.dice.chance(0.88) {
            tour.scribe.authentication(time, context, e, None);
            tour.record.offers[offer].outcome = Outcome::AuthFailed;
            return time;
        }
        let ids = AuthIds {
            conversation: tour.dice.uuid(),
            participant: tour.dice.uuid(),
        };
        tour.scribe.authentication(time, context, e, Some(&ids));
        tour.fact(time, Step::Authenticated, offer);
        auth = Some(ids);
    }
    if source == Asked::Sdk && tour.dice.chance(0.06) {
        // The page first looks for a chat of an earlier visit.
        tour.scribe.resume_failed(time + 400, context);
    }
    time += tour.dice.seconds(3, 9);
    talk::chat(
        tour,
        talk::Origin {
            offer,
            context,
            engagement: e,
            auth,
        },
        page,
        time,
    )
}
