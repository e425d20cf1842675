//! One session while it happens: dice, messages and record side by side.

use super::dice::Dice;
use super::options::Options;
use super::world::Account;
use crate::payload::history::Bought;
use crate::payload::{Engagement, sde};
use crate::scribe::{Draft, Scribe, Shown, Visit};
use crate::truth::record::{Conversion, SessionRecord, Step, View};

/// What stays the same over all visits of one visitor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Chats open in LivePerson's default window.
    pub(crate) default_window: bool,
    /// Logged in with the brand.
    pub(crate) authenticated: bool,
    /// How far the visitor's clock is off.
    pub(crate) clock_error: i64,
    /// Impression messages get lost. Such a visitor comes once and buys nothing.
    pub(crate) lossy: bool,
}

pub(crate) struct Tour<'a> {
    pub(crate) dice: Dice,
    pub(crate) options: &'a Options,
    pub(crate) account: &'a Account,
    pub(crate) visit: &'a Visit,
    pub(crate) traits: Traits,
    pub(crate) scribe: Scribe<'a>,
    pub(crate) record: SessionRecord,
    /// Number of the visitor's next chat, unique in the account.
    pub(crate) next_chat: i64,
    context: u32,
    /// Conversions bear no ambiguity only where every exposure arrived.
    may_convert: bool,
}

impl<'a> Tour<'a> {
    pub(crate) fn new(
        (account, options): (&'a Account, &'a Options),
        (visit, traits): (&'a Visit, Traits),
        mut dice: Dice,
        salt: u64,
        start: i64,
    ) -> Self {
        let mut scribe = Scribe::new(visit, salt);
        scribe.clock_error = traits.clock_error;
        scribe.anonymous_chats = dice.chance(options.disorder.anonymous_chats);
        // A wrong clock is replaced by the producer's, which is a little later.
        let stamped = if traits.clock_error != 0 && visit.flow == "monitored" {
            start + crate::scribe::PRODUCER_DELAY_MS
        } else {
            start
        };
        Self {
            dice,
            options,
            account,
            visit,
            traits,
            scribe,
            record: SessionRecord::new(stamped),
            next_chat: 0,
            context: 0,
            may_convert: !traits.lossy,
        }
    }

    pub(crate) fn finish(self) -> (Vec<Draft>, SessionRecord, Dice) {
        (self.scribe.out, self.record, self.dice)
    }

    pub(crate) fn context(&mut self) -> u32 {
        self.context += 1;
        self.context
    }

    pub(crate) fn page_id(&mut self) -> String {
        self.dice.digits(10)
    }

    /// Within a second of the last, on the same page: not a second click.
    pub(crate) fn near_duplicate(&mut self) -> Option<i64> {
        let share = self.options.disorder.near_duplicates;
        self.dice.chance(share).then(|| self.dice.between(60, 700))
    }

    pub(crate) fn view(&mut self, time: i64, e: &Engagement, state: i64, offer: usize) {
        let view = View {
            time,
            engagement: e.id,
            state,
            content: e.content,
        };
        self.record.shown(view, offer);
    }

    /// The facts of a visitor that matter little to the funnel.
    pub(crate) fn attributes(&mut self, start: i64, page: &str) {
        let mut time = start + 2_300;
        for kind in 0..8 {
            let share = [0.3, 0.15, 0.06, 0.25, 0.12, 0.05, 0.06, 0.05][kind];
            if !self.dice.chance(share) {
                continue;
            }
            time += self.dice.between(40, 900);
            let number = self.dice.digits(7);
            let cents = self.dice.between(100, 90_000);
            let payload = match kind {
                0 => sde::customer(&format!("CU-{number}"), "gold"),
                1 => sde::marketing(self.dice.between(0, 4), "spring-lending-24"),
                2 => sde::personal("en-US"),
                3 => sde::viewed_product(&format!("HL-{number}"), cents),
                4 => sde::cart(cents, 1 + cents % 4),
                5 => sde::error(&format!("ap{number}")),
                6 => sde::search("refinance cost"),
                // Still in progress: no conversion.
                _ => sde::service(&format!("SV-{number}"), 1),
            };
            self.scribe.sde(time, page, payload);
        }
    }

    /// A purchase, a lead or a completed service, by the given chance.
    pub(crate) fn convert(&mut self, time: i64, page: &str, share: f64) -> Option<Bought> {
        if !self.may_convert || !self.dice.chance(share) {
            return None;
        }
        let number = format!("{}-{}", self.dice.digits(8), self.dice.hex(6));
        let (kind, reference, cents) = match self.dice.below(10) {
            0..=5 => (
                "purchase",
                format!("ORD-{number}"),
                self.dice.between(500, 250_000),
            ),
            // Leads carry no value here: whether it is revenue is told differently by different
            // documents.
            6..=7 => ("lead", format!("LD-{number}"), 0),
            _ => ("service", format!("SV-{number}"), 0),
        };
        let payload = match kind {
            "purchase" => sde::purchase(&reference, cents, 1 + cents % 4),
            "lead" => sde::lead(&reference),
            _ => sde::service(&reference, 0),
        };
        self.scribe.sde(time, page, payload);
        self.record.conversions.push(Conversion { time, cents });
        Some(Bought {
            kind,
            reference,
            cents,
            time,
        })
    }

    /// A click of the monitored flow, perhaps a double one.
    pub(crate) fn click(&mut self, time: i64, e: &Engagement, at: Shown<'_>, offer: usize) {
        self.scribe.offer(time, "OFFER_CLICK", e, at);
        if let Some(gap) = self.near_duplicate() {
            self.scribe.offer(time + gap, "OFFER_CLICK", e, at);
        }
        self.record.clicked(time, offer, at.state, false);
    }

    pub(crate) fn fact(&mut self, time: i64, step: Step, offer: usize) {
        self.record.fact(time, step, offer);
    }
}
