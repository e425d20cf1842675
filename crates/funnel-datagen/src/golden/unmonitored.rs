//! The stories u1 to u7.

use super::Variant;
use super::cast::{HOUR, MIDNIGHT, SECOND, chat, e3, e3_authenticated, page, unmonitored};
use super::talk::{Stretch, Talk};
use crate::payload::Engagement;
use crate::scribe::{Asked, Draft, Recheck, Scribe, Shown, Visit};

/// Tells story `number`.
pub(super) fn story(number: usize, variant: Variant) -> Vec<Draft> {
    let visit = unmonitored(number);
    let mut s = Scribe::new(&visit, 1_000 + u64::try_from(number).unwrap_or_default());
    s.style = variant.ids;
    let t = MIDNIGHT + (7 + i64::try_from(number).unwrap_or_default()) * HOUR;
    let page = page(100 + number, 0);
    let e = if number == 6 {
        e3_authenticated()
    } else {
        e3()
    };
    // Either interface may have asked.
    let source = if number.is_multiple_of(2) {
        Asked::Sdk
    } else {
        Asked::Server
    };
    s.session_created(t, &page, source);
    if number == 2 {
        s.retrieved(t, &page, source, None);
        return s.out;
    }
    s.retrieved(t, &page, source, Some((&e, 1)));
    let at = Shown {
        context: 1,
        page: &page,
        state: 0,
    };
    s.imp(t + 1_200, "impDisplay", &e, at);
    match number {
        3 => {}
        7 => {
            s.imp(t + 1_000 * SECOND, "impAccept", &e, at);
            let again = t + 1_001 * SECOND;
            s.retrieved(again, &page, source, Some((&e, 2)));
            let at = Shown { context: 2, ..at };
            s.imp(again + 1_200, "impDisplay", &e, at);
            s.imp(again + 13_000, "impAccept", &e, at);
            s.recheck(again + 14_000, 2, &e.skill, Recheck::Availability(true));
            talk(&mut s, &visit, number, (&e, 2), again + 16_000, variant);
        }
        _ => {
            s.imp(t + 13_450, "impAccept", &e, at);
            let free = match number {
                4 => Recheck::Availability(false),
                5 => Recheck::Wait(-2),
                _ => Recheck::Availability(true),
            };
            s.recheck(t + 14_000, 1, &e.skill, free);
            match number {
                4 => {}
                6 => s.authentication(t + 15_100, 1, &e, None),
                _ => talk(&mut s, &visit, number, (&e, 1), t + 16_000, variant),
            }
        }
    }
    s.out
}

/// u1 talks, u5 leaves the queue, u7 never says a word.
fn talk(
    s: &mut Scribe<'_>,
    visit: &Visit,
    number: usize,
    (e, context): (&Engagement, u32),
    start: i64,
    variant: Variant,
) {
    let connected = (number != 5).then_some(20_000);
    let leg = Stretch {
        connected,
        line: (number == 1).then_some(31_000),
        ended: if number == 5 {
            45 * SECOND
        } else {
            300 * SECOND
        },
        end_reason: match number {
            1 => 210,
            7 => 208,
            _ => 0,
        },
    };
    let id = i64::try_from(number).unwrap_or_default();
    let talk = Talk {
        visit,
        chat: chat(visit, id, e, context, start),
        legs: vec![leg],
        all_forms: variant.all_forms,
    };
    talk.write(s);
}
