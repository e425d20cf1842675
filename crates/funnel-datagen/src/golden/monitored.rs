//! The stories s1 to s14.

use super::Variant;
use super::cast::{DAY, HOUR, MIDNIGHT, MINUTE, SECOND, chat, e1, e2, monitored, page};
use super::talk::{Stretch, Talk};
use crate::payload::{Engagement, sde};
use crate::scribe::{Draft, Scribe, Shown, Visit};

/// One story being told.
struct Story<'a> {
    number: usize,
    visit: &'a Visit,
    start: i64,
    variant: Variant,
    s: Scribe<'a>,
}

impl Story<'_> {
    fn begin(&mut self) {
        let page = page(self.number, 0);
        self.s.monitoring_started(self.start, &page);
    }

    fn eligible(&mut self, time: i64, group: &str) {
        let (one, two) = (e1(), e2());
        self.s.eligible(time, &[&one, &two], group);
    }

    /// Start, rendering and impression of one offer on the `nth` page.
    fn show(&mut self, time: i64, e: &Engagement, context: u32, state: i64, nth: usize) {
        let page = page(self.number, nth);
        let at = Shown {
            context,
            page: &page,
            state,
        };
        self.s.offer(time, "START", e, at);
        self.s.offer(time + 220, "OFFER_DISPLAY", e, at);
        if !(self.variant.drop_s9_impression && self.number == 9) {
            self.s.offer(time + 255, "OFFER_IMPRESSION", e, at);
        }
    }

    fn offer(&mut self, time: i64, event: &str, e: &Engagement, context: u32, state: i64) {
        let page = page(self.number, 0);
        self.s.offer(
            time,
            event,
            e,
            Shown {
                context,
                page: &page,
                state,
            },
        );
    }

    fn talk(&mut self, start: i64, e: &Engagement, legs: &[Stretch]) {
        let number = i64::try_from(self.number).unwrap_or_default();
        let talk = Talk {
            visit: self.visit,
            chat: chat(self.visit, number, e, 1, start),
            legs: legs.to_vec(),
            all_forms: self.variant.all_forms,
        };
        talk.write(&mut self.s);
    }

    fn purchase(&mut self, time: i64, order: &str, cents: i64) {
        let page = page(self.number, 0);
        self.s.sde(time, &page, sde::purchase(order, cents, 1));
    }
}

/// Tells story `number`.
pub(super) fn story(number: usize, variant: Variant) -> Vec<Draft> {
    let visit = monitored(number);
    let hour = i64::try_from(number).unwrap_or_default();
    let start = MIDNIGHT
        + match number {
            12 => 23 * HOUR + 30 * MINUTE,
            14 => 6 * DAY + 10 * HOUR,
            _ => (5 + hour) * HOUR,
        };
    let mut s = Scribe::new(&visit, u64::try_from(number).unwrap_or_default());
    s.style = variant.ids;
    let mut story = Story {
        number,
        visit: &visit,
        start,
        variant,
        s,
    };
    story.begin();
    if !matches!(number, 7 | 14) {
        let after = if number == 12 { 5 * MINUTE } else { 1_100 };
        story.eligible(start + after, if number == 6 { "CONTROL" } else { "TEST" });
    }
    match number {
        1 => s1(&mut story),
        2 | 3 | 8 => queue_and_toaster(&mut story),
        4 | 5 => not_online(&mut story),
        9..=11 => after_the_click(&mut story),
        12 => {
            let shown = MIDNIGHT + DAY + 10 * MINUTE;
            story.show(shown, &e1(), 1, 1, 0);
            story.offer(shown + 5 * MINUTE, "OFFER_CLICK", &e1(), 1, 1);
        }
        13 => {
            story.show(start + 1_500, &e1(), 1, 1, 0);
            story.purchase(start + 20 * MINUTE, "o-3", 5_000);
        }
        14 => story.purchase(start + 5 * MINUTE, "o-2", 8_000),
        _ => {}
    }
    story.s.out
}

fn s1(story: &mut Story<'_>) {
    let (e, t) = (e1(), story.start);
    story.show(t + 1_500, &e, 1, 1, 0);
    story.show(t + 25_500, &e, 1, 1, 1);
    let second = page(1, 1);
    let at = Shown {
        context: 1,
        page: &second,
        state: 1,
    };
    story.s.offer(t + 42_310, "OFFER_CLICK", &e, at);
    let leg = Stretch {
        connected: Some(26_469),
        line: Some(39_899),
        ended: 432_289,
        end_reason: 210,
    };
    story.talk(t + 44_011, &e, &[leg]);
    story.purchase(t + 15 * MINUTE, "o-1", 12_000);
    // Delivered twice.
    if let Some(last) = story.s.out.last().cloned() {
        story.s.out.push(last);
    }
    if story.variant.data_access_copies {
        copies(story, &e);
    }
}

/// What Data Access says about s1 hours later. The server's times differ from the page's.
fn copies(story: &mut Story<'_>, e: &Engagement) {
    let t = story.start;
    story.s.da_session(t + 4);
    story
        .s
        .da_page(t + 900, "https://www.examplebank.test/loans/home");
    let at = Shown {
        context: 1,
        page: "",
        state: 1,
    };
    story.s.da_impression(t + 1_760, "Show", e, at);
    story.s.da_impression(t + 25_760, "Show", e, at);
    story.s.da_impression(t + 42_320, "Accept", e, at);
    let visit = story.visit;
    story
        .s
        .da_conversation(&crate::payload::data_access::Conversation {
            device: crate::payload::Device::DESKTOP,
            chat_key: format!("{}{}", visit.account, 4_295_386_101_i64),
            requested: t + 44_011,
            connected: Some(t + 70_480),
            ended: t + 476_300,
            interactive: true,
            end_reason: 210,
            visitor: Some((&visit.visitor, &visit.session_raw)),
            engagement: Some(e),
        });
}

/// s2: shown both, clicked the button, left the queue. s3: toaster declined. s8: toaster timed out.
fn queue_and_toaster(story: &mut Story<'_>) {
    let t = story.start;
    match story.number {
        2 => {
            story.show(t + 1_500, &e1(), 1, 1, 0);
            story.show(t + 9_500, &e2(), 2, 1, 0);
            story.offer(t + 30_000, "OFFER_CLICK", &e1(), 1, 1);
            let leg = Stretch {
                connected: None,
                line: None,
                ended: 45 * SECOND,
                end_reason: 0,
            };
            story.talk(t + 32_000, &e1(), &[leg]);
        }
        3 => {
            story.show(t + 1_500, &e2(), 1, 1, 0);
            story.offer(t + 12_000, "OFFER_DECLINED", &e2(), 1, 1);
            story.offer(t + 12_040, "OFFER_REMOVE", &e2(), 1, 1);
        }
        _ => {
            story.show(t + 1_500, &e2(), 1, 1, 0);
            story.offer(t + 31_755, "OFFER_TIMEOUT", &e2(), 1, 1);
            story.offer(t + 31_790, "OFFER_REMOVE", &e2(), 1, 1);
        }
    }
}

/// s4: clicked while offline, left a message. s5: busy, nothing.
fn not_online(story: &mut Story<'_>) {
    let t = story.start;
    if story.number == 5 {
        story.show(t + 1_500, &e1(), 1, 4, 0);
        return;
    }
    story.show(t + 1_500, &e1(), 1, 2, 0);
    story.offer(t + 20_000, "OFFER_CLICK", &e1(), 1, 2);
    story.s.window(t + 20_400, "offline");
    story.s.survey(t + 61_000, 410_233, 4, None);
}

/// s9: ghost chat. s10: pre-chat left. s11: passed on, interactive on both legs.
fn after_the_click(story: &mut Story<'_>) {
    let (e, t) = (e1(), story.start);
    story.show(t + 1_500, &e, 1, 1, 0);
    story.offer(t + 20_000, "OFFER_CLICK", &e, 1, 1);
    let requested = t + 22_000;
    match story.number {
        9 => {
            let leg = Stretch {
                connected: Some(12_000),
                line: None,
                ended: 200 * SECOND,
                end_reason: 201,
            };
            story.talk(requested, &e, &[leg]);
        }
        10 => {
            story.s.window(t + 20_600, "initialised");
            story.s.window(t + 20_900, "preChat");
            story.s.window_closed(t + 45_000);
        }
        _ => {
            let first = Stretch {
                connected: Some(10_000),
                line: Some(24_000),
                ended: 180 * SECOND,
                end_reason: 106,
            };
            let second = Stretch {
                connected: Some(18_000),
                line: Some(40_000),
                ended: 240 * SECOND,
                end_reason: 205,
            };
            story.talk(requested, &e, &[first, second]);
        }
    }
}
