//! The results, typed in by hand.

use std::collections::BTreeMap;

use super::Variant;

/// The results of the scenario. Rates are decimal text with six places, money with two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Monitored, sessions started on [`super::DATE`], `DateBasis::SessionStart`: counts.
    pub counts: BTreeMap<&'static str, u64>,
    /// The same: rates, averages and money.
    pub values: BTreeMap<&'static str, &'static str>,
    /// Online clicks and online exposures by engagement name, and the accepted rate.
    pub accepted_by_engagement: [(&'static str, u64, u64, &'static str); 2],
    /// What `DateBasis::SessionStartAndEventTime` changes.
    pub event_time_too: BTreeMap<&'static str, u64>,
    /// What a cross-session window of 5 days changes.
    pub five_days: BTreeMap<&'static str, u64>,
    /// Unmonitored: distinct sessions that reached a step, loose.
    pub unmonitored_sessions: Vec<(&'static str, u64)>,
    /// Unmonitored: offers that reached a step, loose, where it differs in kind from sessions.
    pub unmonitored_offers: Vec<(&'static str, u64)>,
    /// Sessions for which the step `authenticated` is required.
    pub authentication_required: u64,
    /// Answers to requests for an engagement.
    pub engagement_answers: u64,
    /// Clicks on offers that were no longer valid.
    pub stale_offers: u64,
    pub outcomes: Vec<OfferOutcome>,
    /// Monitored conversations whose offer lacks its impression.
    pub skipped_impressions: u64,
}

/// What became of one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferOutcome {
    /// s1 … s13, u1 … u7.
    pub session: &'static str,
    pub visitor_id: String,
    pub session_id: String,
    /// `None`: a refused request for an engagement.
    pub context_id: Option<&'static str>,
    /// With conversions attributed, by the last interaction within 31 days.
    pub outcome: &'static str,
    /// As stored, before conversions are looked at.
    pub stored: &'static str,
}

const COUNTS: [(&str, u64); 29] = [
    ("sessions", 13),
    ("prospects", 12),
    ("exposed", 11),
    ("exposures", 12),
    ("online_exposures", 10),
    ("offline_exposures", 1),
    ("busy_exposures", 1),
    ("content_exposures", 0),
    ("engagement_views", 13),
    ("accepted_offers", 7),
    ("online_offers_accepted", 6),
    ("offline_offers_accepted", 1),
    ("busy_offers_accepted", 0),
    ("requested_chats", 5),
    ("requested_conversations", 4),
    ("connected_chats", 4),
    ("connected_conversations", 3),
    ("abandoned_chats", 1),
    ("abandoned_conversations", 1),
    ("interactive_chats", 3),
    ("interactive_conversations", 2),
    ("non_interactive_chats", 1),
    ("engaged", 2),
    ("unattributed_chats", 0),
    ("conversions_after_engagement", 2),
    ("conversions_after_engagement_in_session", 1),
    ("conversions_after_engagement_cross_session", 1),
    ("conversions_after_exposure", 3),
    ("conversions_after_exposure_not_engagement", 1),
];

const VALUES: [(&str, &str); 22] = [
    ("prospect_rate", "0.923077"),
    ("exposed_rate", "0.916667"),
    ("avg_exposures", "1.090909"),
    ("online_exposure_rate", "0.833333"),
    ("abandoned_chat_rate", "0.200000"),
    ("abandonment_rate_realtime", "0.200000"),
    ("abandoned_conversation_rate", "0.250000"),
    ("connected_chat_rate_requested", "0.800000"),
    ("connected_conversation_rate_requested", "0.750000"),
    ("connected_chat_rate_accepted", "0.571429"),
    ("connected_conversation_rate_accepted", "0.428571"),
    ("interactive_chat_rate", "0.750000"),
    ("interactive_conversation_rate", "0.666667"),
    ("engaged_rate", "0.181818"),
    ("revenue_after_engagement", "200.00"),
    ("aov_after_engagement", "100.00"),
    ("revenue_after_exposure", "250.00"),
    ("conversion_rate_after_engagement", "1.000000"),
    ("conversion_rate_after_exposure", "0.272727"),
    ("conversion_rate_after_exposure_not_engagement", "0.111111"),
    ("incremental_conversions", "1.777778"),
    ("incremental_conversion_ratio", "0.888889"),
];

/// Session, context, outcome with conversions, outcome as stored.
const OUTCOMES: [(&str, Option<&str>, &str, &str); 20] = [
    ("s1", Some("1"), "converted_engaged", "interactive"),
    ("s2", Some("1"), "abandoned_in_queue", "abandoned_in_queue"),
    ("s2", Some("2"), "ignored", "ignored"),
    ("s3", Some("1"), "declined", "declined"),
    ("s4", Some("1"), "blocked_offline", "blocked_offline"),
    ("s5", Some("1"), "ignored", "ignored"),
    ("s8", Some("1"), "timed_out", "timed_out"),
    (
        "s9",
        Some("1"),
        "connected_non_interactive",
        "connected_non_interactive",
    ),
    ("s10", Some("1"), "click_no_request", "click_no_request"),
    ("s11", Some("1"), "converted_engaged", "interactive"),
    ("s12", Some("1"), "click_no_request", "click_no_request"),
    ("s13", Some("1"), "ignored", "ignored"),
    ("u1", Some("1"), "interactive", "interactive"),
    ("u2", None, "not_available", "not_available"),
    ("u3", Some("1"), "ignored", "ignored"),
    (
        "u4",
        Some("1"),
        "unavailable_at_recheck",
        "unavailable_at_recheck",
    ),
    ("u5", Some("1"), "abandoned_in_queue", "abandoned_in_queue"),
    ("u6", Some("1"), "auth_failed", "auth_failed"),
    ("u7", Some("1"), "click_no_request", "click_no_request"),
    (
        "u7",
        Some("2"),
        "connected_non_interactive",
        "connected_non_interactive",
    ),
];

/// What must come out.
pub fn expected(variant: Variant) -> Expected {
    let mut e = Expected {
        counts: COUNTS.into(),
        values: VALUES.into(),
        accepted_by_engagement: [
            ("Home loans sticky button", 6, 7, "0.857143"),
            ("Home loans toaster", 0, 3, "0.000000"),
        ],
        event_time_too: [("exposed", 10), ("accepted_offers", 6)].into(),
        five_days: [
            ("conversions_after_engagement", 1),
            ("conversions_after_exposure", 2),
        ]
        .into(),
        unmonitored_sessions: vec![
            ("session", 7),
            ("engagement_requested", 7),
            ("available", 6),
            ("displayed", 6),
            ("clicked", 5),
            ("rechecked", 4),
            ("authenticated", 0),
            ("requested", 3),
            ("connected", 2),
            ("interactive", 1),
        ],
        unmonitored_offers: vec![("available", 7), ("displayed", 7), ("clicked", 6)],
        authentication_required: 1,
        engagement_answers: 8,
        stale_offers: 1,
        outcomes: OUTCOMES.map(outcome).to_vec(),
        skipped_impressions: 0,
    };
    if variant.drop_s9_impression {
        without_s9_impression(&mut e);
    }
    e
}

fn outcome(
    (session, context_id, outcome, stored): (
        &'static str,
        Option<&'static str>,
        &'static str,
        &'static str,
    ),
) -> OfferOutcome {
    let number = session[1..].parse().unwrap_or_default();
    let visit = if session.starts_with('s') {
        super::cast::monitored(number)
    } else {
        super::cast::unmonitored(number)
    };
    OfferOutcome {
        session,
        visitor_id: visit.visitor,
        session_id: visit.session,
        context_id,
        outcome,
        stored,
    }
}

/// s9 still clicks and chats, but was never seen to be shown anything.
fn without_s9_impression(e: &mut Expected) {
    e.counts.extend([
        ("exposed", 10),
        ("exposures", 11),
        ("online_exposures", 9),
        ("engagement_views", 12),
    ]);
    e.values.extend([
        ("exposed_rate", "0.833333"),
        ("avg_exposures", "1.100000"),
        ("online_exposure_rate", "0.818182"),
        ("engaged_rate", "0.200000"),
        ("conversion_rate_after_exposure", "0.300000"),
        ("conversion_rate_after_exposure_not_engagement", "0.125000"),
        ("incremental_conversions", "1.750000"),
        ("incremental_conversion_ratio", "0.875000"),
    ]);
    e.accepted_by_engagement[0] = ("Home loans sticky button", 6, 6, "1.000000");
    e.event_time_too.insert("exposed", 9);
    e.skipped_impressions = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [(&str, &str, &str); 12] = [
        ("prospect_rate", "prospects", "sessions"),
        ("exposed_rate", "exposed", "prospects"),
        ("avg_exposures", "exposures", "exposed"),
        ("online_exposure_rate", "online_exposures", "exposures"),
        ("abandoned_chat_rate", "abandoned_chats", "requested_chats"),
        (
            "abandoned_conversation_rate",
            "abandoned_conversations",
            "requested_conversations",
        ),
        (
            "connected_chat_rate_requested",
            "connected_chats",
            "requested_chats",
        ),
        (
            "connected_chat_rate_accepted",
            "connected_chats",
            "accepted_offers",
        ),
        (
            "interactive_chat_rate",
            "interactive_chats",
            "connected_chats",
        ),
        ("engaged_rate", "engaged", "exposed"),
        (
            "conversion_rate_after_engagement",
            "conversions_after_engagement",
            "engaged",
        ),
        (
            "conversion_rate_after_exposure",
            "conversions_after_exposure",
            "exposed",
        ),
    ];

    #[test]
    fn rates_follow_from_the_counts() {
        let lost = Variant {
            drop_s9_impression: true,
            ..Variant::default()
        };
        for e in [Variant::default(), lost].map(expected) {
            let n = |k: &str| f64::from(u32::try_from(e.counts[k]).unwrap());
            let check = |rate: &str, value: f64| assert_eq!(e.values[rate], format!("{value:.6}"));
            for (rate, top, bottom) in RATES {
                check(rate, n(top) / n(bottom));
            }
            let settled = n("abandoned_chats") + n("connected_chats");
            check("abandonment_rate_realtime", n("abandoned_chats") / settled);
            let after = n("conversions_after_engagement") / n("engaged");
            let only = n("conversions_after_exposure_not_engagement");
            let only = only / (n("exposed") - n("engaged"));
            check("conversion_rate_after_exposure_not_engagement", only);
            check("incremental_conversions", (after - only) * n("engaged"));
            let states = n("online_exposures") + n("offline_exposures") + n("busy_exposures");
            assert_eq!(e.counts["exposures"], states as u64);
            assert_eq!(e.counts["requested_chats"], settled as u64);
        }
    }

    #[test]
    fn every_offer_has_one_outcome_and_conversions_only_lift_interactive_ones() {
        let e = expected(Variant::default());
        let mut seen = std::collections::BTreeSet::new();
        for o in &e.outcomes {
            assert!(seen.insert((o.session, o.context_id)), "{o:?}");
            let lifted = o.outcome == "converted_engaged" && o.stored == "interactive";
            assert!(lifted || o.outcome == o.stored, "{o:?}");
        }
    }
}
