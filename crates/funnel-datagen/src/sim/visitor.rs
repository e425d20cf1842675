//! Visitors: who they are, when they come, and the telling of one visit.

use std::collections::VecDeque;

use super::dice::Dice;
use super::options::Options;
use super::tour::{Tour, Traits};
use super::world::Account;
use super::{content, monitored, unmonitored};
use crate::payload::Device;
use crate::scribe::{Asked, Draft, Visit};
use crate::truth::record::{Outcome, SessionRecord, Step};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Chats of one visitor, at most; the numbers of a visitor's chats follow each other.
const CHATS_MAX: i64 = 64;
/// Chat numbers of LivePerson start above 32 bits.
const CHAT_BASE: i64 = 1 << 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tagged pages, told live.
    Monitored,
    /// Tagged pages, told by files.
    Content,
    Unmonitored,
}

impl Kind {
    pub(super) fn flow(self) -> &'static str {
        if self == Self::Unmonitored {
            "unmonitored"
        } else {
            "monitored"
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    time: i64,
    /// Comes to buy, and sees no offer.
    buys: bool,
}

#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) account: usize,
    pub(super) kind: Kind,
    index: u64,
    id: String,
    traits: Traits,
    device: Device,
    dice: Dice,
    plan: VecDeque<Planned>,
    pub(super) sessions: Vec<SessionRecord>,
    next_chat: i64,
}

impl Visitor {
    /// A visitor whose first visit starts at `time`, and at most `budget` visits in all.
    pub(super) fn new(
        options: &Options,
        index: u64,
        account: usize,
        time: i64,
        budget: u64,
    ) -> Self {
        // Streams 0 to 9 belong to the simulation itself.
        let mut dice = Dice::new(options.seed, 10 + index);
        let kind = if dice.chance(options.unmonitored) {
            Kind::Unmonitored
        } else if dice.chance(0.1) {
            Kind::Content
        } else {
            Kind::Monitored
        };
        let d = &options.disorder;
        let lossy = dice.chance(d.lost_impressions);
        let off = dice.chance(d.wrong_clocks);
        let days = dice.between(2, 20) * if dice.chance(0.5) { 1 } else { -1 };
        let traits = Traits {
            default_window: dice.chance(options.default_window),
            authenticated: dice.chance(options.authenticated),
            clock_error: if off { days * DAY_MS } else { 0 },
            lossy,
        };
        let mut plan = VecDeque::from([Planned { time, buys: false }]);
        if !lossy {
            plan_returns(&mut dice, options, kind, &mut plan);
        }
        plan.truncate(usize::try_from(budget).unwrap_or(usize::MAX));
        let id = dice.web_id();
        let device = device(&mut dice);
        let chats = i64::try_from(index).unwrap_or_default() * CHATS_MAX;
        Self {
            account,
            kind,
            index,
            id,
            traits,
            device,
            dice,
            plan,
            sessions: Vec::new(),
            next_chat: CHAT_BASE + chats,
        }
    }

    pub(super) fn device(&self) -> &'static str {
        self.device.family
    }

    pub(super) fn visits(&self) -> u64 {
        self.plan.len() as u64
    }

    /// When the next visit starts.
    pub(super) fn next_visit(&self) -> Option<i64> {
        self.plan.front().map(|p| p.time)
    }

    /// Tells the next visit.
    pub(super) fn visit(&mut self, account: &Account, options: &Options) -> Vec<Draft> {
        let Some(planned) = self.plan.pop_front() else {
            return Vec::new();
        };
        let session = self.dice.web_id();
        let monitored = self.kind != Kind::Unmonitored;
        let session_raw = if monitored {
            format!("{session}.{}", self.dice.hex(40))
        } else {
            session.clone()
        };
        let visit = Visit {
            account: account.id.clone(),
            visitor: self.id.clone(),
            session,
            session_raw,
            flow: self.kind.flow(),
            device: self.device,
        };
        let salt = self.index * 16 + self.sessions.len() as u64;
        let dice = self.dice.clone();
        let mut tour = Tour::new(
            (account, options),
            (&visit, self.traits),
            dice,
            salt,
            planned.time,
        );
        tour.next_chat = self.next_chat;
        match self.kind {
            _ if planned.buys => buy(&mut tour, planned.time),
            Kind::Monitored => monitored::session(&mut tour, planned.time),
            Kind::Content => content::session(&mut tour, planned.time),
            Kind::Unmonitored => unmonitored::session(&mut tour, planned.time),
        }
        self.next_chat = tour.next_chat;
        let (drafts, record, dice) = tour.finish();
        self.dice = dice;
        self.sessions.push(record);
        drafts
    }
}

/// One for all visits: a visitor is a browser.
fn device(dice: &mut Dice) -> Device {
    let device = |family, os, browser| Device {
        family,
        os,
        browser,
    };
    match dice.below(20) {
        0..=5 => Device::DESKTOP,
        6..=8 => device("DESKTOP", "MAC_OSX", "Safari 17.3"),
        9 => device("DESKTOP", "LINUX", "Firefox 123.0"),
        10..=13 => device("MOBILE", "ANDROID", "Chrome 122.0"),
        14..=17 => device("MOBILE", "IOS", "Safari 17.3"),
        18 => device("TABLET", "IOS", "Safari 17.3"),
        _ => device("TABLET", "ANDROID", "Chrome 122.0"),
    }
}

/// Later visits lie at least half a day apart. A visit to buy lies either well inside the 31 days
/// after the first visit, or well beyond the 31 days after the last one.
fn plan_returns(dice: &mut Dice, options: &Options, kind: Kind, plan: &mut VecDeque<Planned>) {
    let first = plan[0].time;
    let mut last = first;
    if dice.chance(options.returning) {
        for _ in 0..dice.between(1, 2) {
            last += dice.between(12 * HOUR_MS, 60 * HOUR_MS);
            plan.push_back(Planned {
                time: last,
                buys: false,
            });
        }
    }
    if kind == Kind::Content || !dice.chance(options.returning / 2.0) {
        return;
    }
    let time = if dice.chance(0.7) {
        dice.between(last + 12 * HOUR_MS, first + 29 * DAY_MS)
    } else {
        dice.between(last + 33 * DAY_MS, last + 40 * DAY_MS)
    };
    plan.push_back(Planned { time, buys: true });
}

/// A session in which nothing is offered and something is bought.
fn buy(tour: &mut Tour<'_>, start: i64) {
    let page = tour.page_id();
    if tour.visit.flow == "monitored" {
        tour.scribe.monitoring_started(start, &page);
        tour.scribe.da_session(start);
        tour.scribe
            .new_page(start + 240, &page, "https://www.examplebank.test/checkout");
    } else {
        tour.scribe.session_created(start, &page, Asked::Server);
        tour.scribe.retrieved(start, &page, Asked::Server, None);
        let offer = tour.record.offer(Outcome::NotAvailable, false);
        tour.fact(start, Step::EngagementRequested, offer);
    }
    tour.convert(start + 180_000, &page, 1.0);
}

#[cfg(test)]
mod tests {
    use super::super::world;
    use super::*;

    /// What the facts of an offer say about its outcome, by the rules and not by the story.
    fn judged(s: &SessionRecord, offer: usize) -> Vec<Outcome> {
        let has = |step| {
            s.facts
                .iter()
                .any(|f| f.offer == Some(offer) && f.step == step)
        };
        if has(Step::Interactive) {
            vec![Outcome::Interactive]
        } else if has(Step::Connected) {
            vec![Outcome::ConnectedNonInteractive]
        } else if has(Step::Requested) {
            vec![Outcome::AbandonedInQueue]
        } else if has(Step::Clicked) {
            vec![
                Outcome::AuthFailed,
                Outcome::UnavailableAtRecheck,
                Outcome::ContentClicked,
                Outcome::BlockedOffline,
                Outcome::BlockedBusy,
                Outcome::ClickNoRequest,
            ]
        } else if has(Step::Exposed) {
            vec![Outcome::Declined, Outcome::TimedOut, Outcome::Ignored]
        } else {
            vec![
                Outcome::Declined,
                Outcome::TimedOut,
                Outcome::NotDisplayed,
                Outcome::NotAvailable,
            ]
        }
    }

    #[test]
    fn outcomes_follow_from_the_facts_and_facts_from_each_other() {
        let options = Options {
            sessions: 2_000,
            ..Options::default()
        };
        let account = world::account(0);
        for index in 0..1_200 {
            let mut v = Visitor::new(&options, index, 0, 1_709_560_800_000, 9);
            while v.next_visit().is_some() {
                v.visit(&account, &options);
            }
            for s in &v.sessions {
                let count = |step| s.facts.iter().filter(|f| f.step == step).count();
                assert_eq!(count(Step::Session), 1);
                assert_eq!(count(Step::Clicked), s.clicks.len());
                assert_eq!(count(Step::Exposed), s.views.len());
                let legs: usize = s.conversations.iter().map(|c| c.legs.len()).sum();
                assert_eq!(count(Step::Requested), legs);
                for (n, offer) in s.offers.iter().enumerate() {
                    let allowed = judged(s, n);
                    assert!(
                        allowed.contains(&offer.outcome),
                        "visitor {index}: {offer:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn visits_do_not_overlap_and_buying_visits_keep_clear_of_the_window() {
        let options = Options {
            returning: 1.0,
            ..Options::default()
        };
        for index in 0..500 {
            let v = Visitor::new(&options, index, 0, 0, 9);
            let plan: Vec<Planned> = v.plan.iter().copied().collect();
            assert!(
                plan.windows(2)
                    .all(|w| w[1].time - w[0].time >= 12 * HOUR_MS)
            );
            let Some(buys) = plan.iter().find(|p| p.buys) else {
                continue;
            };
            let last = plan.iter().filter(|p| !p.buys).map(|p| p.time).max();
            let far = last.is_some_and(|last| buys.time - last >= 33 * DAY_MS);
            assert!(far || buys.time <= 29 * DAY_MS, "visitor {index}");
        }
    }
}
