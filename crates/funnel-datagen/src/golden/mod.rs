//! The golden scenario: twenty-one small stories with hand-computed results.
//!
//! s1 to s14 belong to the monitored flow and to [`ACCOUNT`], u1 to u7 to the unmonitored flow and
//! to [`UNMONITORED_ACCOUNT`], so that the numbers of the one do not mix with the other's. Both
//! accounts are in UTC.

mod cast;
mod expected;
mod monitored;
mod talk;
mod unmonitored;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::message::{IdStyle, Message, topics};
use crate::scribe::{Draft, Route};

pub use expected::{Expected, OfferOutcome, expected};

/// The account of the monitored stories.
pub const ACCOUNT: &str = "58213347";
/// The account of the unmonitored stories.
pub const UNMONITORED_ACCOUNT: &str = "58213399";
/// The day the sessions of the scenario start on. Only s14 starts later, on 2024-03-10.
pub const DATE: &str = "2024-03-04";

/// A disguise of the scenario. None changes its numbers, except `drop_s9_impression`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variant {
    /// All messages in a random order.
    pub shuffle: Option<u64>,
    /// Every message twice.
    pub twice: bool,
    /// Chat messages before the clicks that led to them.
    pub chat_first: bool,
    /// Data Access copies of s1 after the live messages.
    pub data_access_copies: bool,
    /// Every form of each chat fact: request call, states, system lines, callbacks, window states,
    /// Engagement History and Data Access records.
    pub all_forms: bool,
    pub ids: IdStyle,
    /// The `OFFER_IMPRESSION` of s9 is lost. This one does change the numbers of exposure.
    pub drop_s9_impression: bool,
}

impl Variant {
    /// Every disguise of the scenario, by name.
    pub fn all() -> Vec<(&'static str, Self)> {
        let plain = Self::default();
        vec![
            ("plain", plain),
            (
                "shuffled",
                Self {
                    shuffle: Some(7),
                    ..plain
                },
            ),
            (
                "twice",
                Self {
                    twice: true,
                    ..plain
                },
            ),
            (
                "chat_first",
                Self {
                    chat_first: true,
                    ..plain
                },
            ),
            (
                "data_access_copies",
                Self {
                    data_access_copies: true,
                    ..plain
                },
            ),
            (
                "ids_as_strings",
                Self {
                    ids: IdStyle::Strings,
                    ..plain
                },
            ),
            (
                "ids_as_numbers",
                Self {
                    ids: IdStyle::Numbers,
                    ..plain
                },
            ),
            (
                "all_forms",
                Self {
                    all_forms: true,
                    ..plain
                },
            ),
            (
                "everything",
                Self {
                    shuffle: Some(11),
                    twice: true,
                    data_access_copies: true,
                    all_forms: true,
                    ..plain
                },
            ),
            (
                "drop_s9_impression",
                Self {
                    drop_s9_impression: true,
                    ..plain
                },
            ),
        ]
    }
}

/// The scenario's messages, both flows, in order of delivery.
pub fn messages(variant: Variant) -> Vec<Message> {
    let mut drafts: Vec<Draft> = (1..=14)
        .flat_map(|n| monitored::story(n, variant))
        .collect();
    drafts.extend((1..=7).flat_map(|n| unmonitored::story(n, variant)));
    // Sorting is stable: what is told together stays together.
    drafts.sort_by_key(|d| d.time + delay(d.route));
    let mut messages: Vec<Message> = drafts.into_iter().map(|d| d.message).collect();
    if variant.chat_first {
        messages.sort_by_key(|m| m.topic != topics::CHAT);
    }
    if variant.twice {
        messages.extend_from_within(..);
    }
    if let Some(seed) = variant.shuffle {
        messages.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    let mut latest = i64::MIN;
    for m in &mut messages {
        latest = latest.max(m.timestamp_ms);
        m.timestamp_ms = latest;
    }
    messages
}

fn delay(route: Route) -> i64 {
    match route {
        Route::Live => 0,
        Route::History => 2 * cast::HOUR,
        Route::Files => 6 * cast::HOUR,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn values(messages: &[Message]) -> Vec<serde_json::Value> {
        messages
            .iter()
            .map(|m| serde_json::from_slice(m.value.as_deref().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn every_variant_is_made_of_valid_envelopes_that_fit_their_topic() {
        for (name, variant) in Variant::all() {
            let messages = messages(variant);
            assert!(messages.len() > 100, "{name}");
            for (m, v) in messages.iter().zip(values(&messages)) {
                assert_eq!(v["schemaVersion"], "1.0", "{name}");
                assert!(v["payload"].is_object(), "{name}");
                assert_eq!(
                    m.topic,
                    topics::of(v["eventType"].as_str().unwrap()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn disguises_deliver_the_same_messages_in_another_order_or_number() {
        let set = |v| {
            messages(v)
                .into_iter()
                .map(|m| m.value)
                .collect::<BTreeSet<_>>()
        };
        let plain = Variant::default();
        let expected = set(plain);
        for v in [
            Variant {
                shuffle: Some(3),
                ..plain
            },
            Variant {
                twice: true,
                ..plain
            },
            Variant {
                chat_first: true,
                ..plain
            },
        ] {
            assert_eq!(set(v), expected);
        }
        let copies = set(Variant {
            data_access_copies: true,
            ..plain
        });
        assert!(copies.is_superset(&expected));
        assert_eq!(copies.len() - expected.len(), 6);
        let dropped = set(Variant {
            drop_s9_impression: true,
            ..plain
        });
        // Event ids behind the lost message move up, so compare numbers only.
        assert_eq!(dropped.len(), expected.len() - 1);
    }

    #[test]
    fn ids_are_text_or_numbers_throughout_as_asked() {
        let of = |ids| {
            values(&messages(Variant {
                ids,
                ..Variant::default()
            }))
        };
        let ids = ["accountId", "pageId", "contextId"];
        for v in of(IdStyle::Strings) {
            assert!(ids.iter().all(|k| !v[*k].is_number()));
            assert!(!v["payload"]["campaignId"].is_number());
        }
        for v in of(IdStyle::Numbers) {
            assert!(ids.iter().all(|k| !v[*k].is_string()));
            assert!(!v["payload"]["campaignId"].is_string());
        }
    }

    #[test]
    fn the_purchase_of_s1_is_delivered_twice_and_chats_can_precede_clicks() {
        let plain = messages(Variant::default());
        let orders = values(&plain)
            .iter()
            .filter(|v| v["payload"]["orderId"] == "o-1")
            .count();
        assert_eq!(orders, 2);
        let first = messages(Variant {
            chat_first: true,
            ..Variant::default()
        });
        let last_chat = first.iter().rposition(|m| m.topic == topics::CHAT).unwrap();
        assert!(first[..=last_chat].iter().all(|m| m.topic == topics::CHAT));
    }
}
