//! From what one visitor did to the numbers of the account.

use std::collections::BTreeMap;

use super::funnel::{FUNNELS, UNITS, Unit};
use super::record::{Fact, SessionRecord, Step};
use super::{AccountTruth, FunnelTruth};

/// The widest cross-session window there is, and the default.
const ATTRIBUTION_MS: i64 = 31 * 24 * 3_600_000;

/// Every metric, so that a zero is told, too.
const METRICS: [&str; 34] = [
    "sessions",
    "prospects",
    "exposed",
    "exposures",
    "online_exposures",
    "offline_exposures",
    "busy_exposures",
    "content_exposures",
    "engagement_views",
    "accepted_offers",
    "online_offers_accepted",
    "offline_offers_accepted",
    "busy_offers_accepted",
    "content_clicked",
    "requested_chats",
    "requested_conversations",
    "connected_chats",
    "connected_conversations",
    "abandoned_chats",
    "abandoned_conversations",
    "interactive_chats",
    "interactive_conversations",
    "non_interactive_chats",
    "engaged",
    "engagements",
    "unattributed_chats",
    "conversions_after_engagement",
    "conversions_after_engagement_in_session",
    "conversions_after_engagement_cross_session",
    "conversions_after_exposure",
    "conversions_after_exposure_not_engagement",
    "offers",
    "stale_offers",
    "engaged_visitors",
];

/// Funnel, unit, numbers.
type Funnels = Vec<(&'static str, &'static str, FunnelTruth)>;

fn empty_funnels() -> Funnels {
    FUNNELS
        .iter()
        .flat_map(|d| UNITS.map(|unit| (d.name, unit, d.empty())))
        .collect()
}

fn named(funnels: Funnels) -> BTreeMap<String, BTreeMap<String, FunnelTruth>> {
    let mut named: BTreeMap<String, BTreeMap<String, FunnelTruth>> = BTreeMap::new();
    for (funnel, unit, truth) in funnels {
        named
            .entry(funnel.to_owned())
            .or_default()
            .insert(unit.to_owned(), truth);
    }
    named
}

/// The numbers of one account while they grow.
#[derive(Debug)]
pub(crate) struct AccountTally {
    metrics: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    cents_after_engagement: i64,
    cents_after_exposure: i64,
    outcomes: BTreeMap<&'static str, u64>,
    dates: BTreeMap<String, u64>,
    funnels: Funnels,
    by_device: BTreeMap<&'static str, Funnels>,
    unattributed: BTreeMap<&'static str, u64>,
}

impl AccountTally {
    pub(crate) fn new() -> Self {
        let zeros: BTreeMap<_, _> = METRICS.map(|m| (m, 0)).into();
        Self {
            metrics: [("monitored", zeros.clone()), ("unmonitored", zeros)].into(),
            cents_after_engagement: 0,
            cents_after_exposure: 0,
            outcomes: BTreeMap::new(),
            dates: BTreeMap::new(),
            funnels: empty_funnels(),
            by_device: BTreeMap::new(),
            unattributed: BTreeMap::new(),
        }
    }

    fn add(&mut self, flow: &'static str, metric: &'static str, n: u64) {
        *self
            .metrics
            .entry(flow)
            .or_default()
            .entry(metric)
            .or_default() += n;
    }

    pub(crate) fn date(&mut self, date: String) {
        *self.dates.entry(date).or_default() += 1;
    }

    /// A chat that belongs to no offer.
    pub(crate) fn unattributed(&mut self, connected: bool, interactive: bool) {
        self.add("unmonitored", "unattributed_chats", 1);
        for (step, yes) in [
            ("requested", true),
            ("connected", connected),
            ("interactive", interactive),
            ("completed", interactive),
        ] {
            *self.unattributed.entry(step).or_default() += u64::from(yes);
        }
    }

    /// Everything one visitor did, in order of time.
    pub(crate) fn visitor(
        &mut self,
        flow: &'static str,
        device: &'static str,
        sessions: &[SessionRecord],
    ) {
        for s in sessions {
            self.session(flow, s);
        }
        let engaged = sessions.iter().any(SessionRecord::engaged);
        self.add(flow, "engaged_visitors", u64::from(engaged));
        let converted = self.conversions(flow, sessions);
        let of_device = self.by_device.entry(device).or_insert_with(empty_funnels);
        for funnels in [&mut self.funnels, of_device] {
            count_funnels(funnels, flow, sessions, &converted);
        }
    }

    fn session(&mut self, flow: &'static str, s: &SessionRecord) {
        let one = u64::from;
        self.add(flow, "sessions", 1);
        self.add(flow, "prospects", one(s.prospect));
        self.add(flow, "exposed", one(!s.views.is_empty()));
        self.add(flow, "exposures", s.exposures(|_| true));
        self.add(flow, "online_exposures", s.exposures(|v| v.state == 1));
        self.add(flow, "offline_exposures", s.exposures(|v| v.state == 2));
        self.add(flow, "busy_exposures", s.exposures(|v| v.state == 4));
        self.add(flow, "content_exposures", s.exposures(|v| v.content));
        self.add(flow, "engagement_views", s.views.len() as u64);
        self.add(flow, "accepted_offers", s.clicks.len() as u64);
        let clicks = |state| s.clicks.iter().filter(|(c, _)| *c == state).count() as u64;
        self.add(flow, "online_offers_accepted", clicks(1));
        self.add(flow, "offline_offers_accepted", clicks(2));
        self.add(flow, "busy_offers_accepted", clicks(4));
        let content = s.clicks.iter().filter(|(_, content)| *content).count() as u64;
        self.add(flow, "content_clicked", content);
        self.add(flow, "engagements", content);
        self.add(flow, "engaged", one(s.engaged()));
        self.add(flow, "offers", s.offers.len() as u64);
        self.add(flow, "stale_offers", s.stale_offers);
        for c in &s.conversations {
            for leg in &c.legs {
                self.add(flow, "requested_chats", 1);
                self.add(flow, "connected_chats", one(leg.connected));
                self.add(flow, "abandoned_chats", one(!leg.connected));
                self.add(flow, "interactive_chats", one(leg.interactive));
                self.add(
                    flow,
                    "non_interactive_chats",
                    one(leg.connected && !leg.interactive),
                );
                self.add(flow, "engagements", one(leg.interactive));
            }
            let connected = c.legs.iter().any(|l| l.connected);
            self.add(flow, "requested_conversations", 1);
            self.add(flow, "connected_conversations", one(connected));
            self.add(flow, "abandoned_conversations", one(!connected));
            let interactive = c.legs.iter().any(|l| l.interactive);
            self.add(flow, "interactive_conversations", one(interactive));
        }
        for offer in &s.offers {
            *self.outcomes.entry(offer.outcome.name()).or_default() += 1;
        }
    }

    /// Gives each conversion to the last interaction before it. Answers with session, conversation
    /// and time of those that go to a conversation.
    fn conversions(
        &mut self,
        flow: &'static str,
        sessions: &[SessionRecord],
    ) -> Vec<(usize, usize, i64)> {
        let mut converted = Vec::new();
        for (at, session) in sessions.iter().enumerate() {
            for conversion in &session.conversions {
                let within = |s: usize, time: i64| {
                    time <= conversion.time && (s == at || conversion.time - time <= ATTRIBUTION_MS)
                };
                let engagement = last_engagement(sessions, within);
                if let Some((_, s, c)) = engagement {
                    self.add(flow, "conversions_after_engagement", 1);
                    let scope = if s == at {
                        "conversions_after_engagement_in_session"
                    } else {
                        "conversions_after_engagement_cross_session"
                    };
                    self.add(flow, scope, 1);
                    self.cents_after_engagement += conversion.cents;
                    converted.push((s, c, conversion.time));
                }
                let exposed = exposed_before(sessions, within);
                if exposed {
                    self.add(flow, "conversions_after_exposure", 1);
                    self.cents_after_exposure += conversion.cents;
                    let only = u64::from(engagement.is_none());
                    self.add(flow, "conversions_after_exposure_not_engagement", only);
                }
            }
        }
        converted
    }

    pub(crate) fn finish(self, time_zone: &str) -> AccountTruth {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        let mut by_flow = BTreeMap::new();
        for (flow, metrics) in self.metrics {
            for (name, n) in &metrics {
                *all.entry((*name).to_owned()).or_default() += n;
            }
            by_flow.insert(flow.to_owned(), owned(metrics));
        }
        let money = crate::payload::sde::money;
        let revenue = [
            (
                "revenue_after_engagement".to_owned(),
                money(self.cents_after_engagement),
            ),
            (
                "revenue_after_exposure".to_owned(),
                money(self.cents_after_exposure),
            ),
        ];
        AccountTruth {
            time_zone: time_zone.to_owned(),
            metrics: all,
            metrics_by_flow: by_flow,
            revenue: revenue.into(),
            outcomes: owned(self.outcomes),
            sessions_by_date: self.dates,
            unattributed: owned(self.unattributed),
            funnels: named(self.funnels),
            by_device: self
                .by_device
                .into_iter()
                .map(|(device, funnels)| (device.to_owned(), named(funnels)))
                .collect(),
        }
    }
}

fn count_funnels(
    funnels: &mut Funnels,
    flow: &'static str,
    sessions: &[SessionRecord],
    converted: &[(usize, usize, i64)],
) {
    for (name, unit, truth) in funnels {
        let Some(d) = FUNNELS.iter().find(|d| d.name == *name) else {
            continue;
        };
        if d.flow.is_some_and(|f| f != flow) {
            continue;
        }
        for u in units(unit, sessions, converted) {
            d.count(&u, truth);
        }
    }
}

fn owned(map: BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// The latest interactive conversation: time, session, conversation.
fn last_engagement(
    sessions: &[SessionRecord],
    within: impl Fn(usize, i64) -> bool,
) -> Option<(i64, usize, usize)> {
    let mut best: Option<(i64, usize, usize)> = None;
    for (s, session) in sessions.iter().enumerate() {
        for fact in &session.facts {
            let Some(c) = fact.conversation.filter(|_| fact.step == Step::Interactive) else {
                continue;
            };
            if within(s, fact.time) && best.is_none_or(|(time, ..)| time <= fact.time) {
                best = Some((fact.time, s, c));
            }
        }
    }
    best
}

fn exposed_before(sessions: &[SessionRecord], within: impl Fn(usize, i64) -> bool) -> bool {
    sessions
        .iter()
        .enumerate()
        .any(|(s, session)| session.views.iter().any(|v| within(s, v.time)))
}

/// The visitor's facts, cut into units.
fn units(unit: &str, sessions: &[SessionRecord], converted: &[(usize, usize, i64)]) -> Vec<Unit> {
    let conversion = |time: i64| Fact {
        time,
        step: Step::Converted,
        offer: None,
        conversation: None,
    };
    let mut units = Vec::new();
    for (at, s) in sessions.iter().enumerate() {
        let own = || converted.iter().filter(move |(session, ..)| *session == at);
        match unit {
            "offer" => {
                for (o, offer) in s.offers.iter().enumerate() {
                    let mut facts: Vec<Fact> = s
                        .facts
                        .iter()
                        .filter(|f| f.offer.is_none_or(|x| x == o))
                        .copied()
                        .collect();
                    let mine = own().filter(|(_, c, _)| s.conversations[*c].offer == o);
                    facts.extend(mine.map(|(.., time)| conversion(*time)));
                    units.push(Unit {
                        facts,
                        connector: offer.connector,
                        is_visitor: false,
                    });
                }
            }
            "conversation" => {
                for (c, conversation) in s.conversations.iter().enumerate() {
                    let o = conversation.offer;
                    let belongs = |f: &&Fact| match f.conversation {
                        Some(x) => x == c,
                        None => f.offer.is_none_or(|x| x == o),
                    };
                    let mut facts: Vec<Fact> = s.facts.iter().filter(belongs).copied().collect();
                    let mine = own().filter(|(_, x, _)| *x == c);
                    facts.extend(mine.map(|(.., time)| conversion(*time)));
                    let connector = s.offers[o].connector;
                    units.push(Unit {
                        facts,
                        connector,
                        is_visitor: false,
                    });
                }
            }
            _ => {
                let mut facts = s.facts.clone();
                facts.extend(own().map(|(.., time)| conversion(*time)));
                let connector = s.offers.iter().any(|o| o.connector);
                units.push(Unit {
                    facts,
                    connector,
                    is_visitor: false,
                });
            }
        }
    }
    if unit == "visitor" {
        let connector = units.iter().any(|u| u.connector);
        let facts = units.into_iter().flat_map(|u| u.facts).collect();
        units = vec![Unit {
            facts,
            connector,
            is_visitor: true,
        }];
    }
    units
}

#[cfg(test)]
mod tests {
    use super::super::record::{Conversion, LegRecord, Outcome};
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    fn engaged(start: i64) -> SessionRecord {
        let mut s = SessionRecord::new(start);
        let offer = s.offer(Outcome::Interactive, false);
        let view = super::super::record::View {
            time: start + 1,
            engagement: 7,
            state: 1,
            content: false,
        };
        s.shown(view, offer);
        let c = s.conversation(offer);
        s.chat_fact(start + 5, Step::Interactive, c);
        s.conversations[c].legs.push(LegRecord {
            connected: true,
            interactive: true,
        });
        s
    }

    fn buying(start: i64) -> SessionRecord {
        let mut s = SessionRecord::new(start);
        s.conversions.push(Conversion {
            time: start + 9,
            cents: 1050,
        });
        s
    }

    #[test]
    fn conversions_go_to_the_last_engagement_and_not_beyond_31_days() {
        let mut t = AccountTally::new();
        t.visitor(
            "monitored",
            "MOBILE",
            &[engaged(0), engaged(DAY), buying(30 * DAY), buying(40 * DAY)],
        );
        let truth = t.finish("UTC");
        assert_eq!(truth.metrics["conversions_after_engagement"], 1);
        assert_eq!(
            truth.metrics["conversions_after_engagement_cross_session"],
            1
        );
        assert_eq!(truth.metrics["conversions_after_exposure"], 1);
        assert_eq!(truth.revenue["revenue_after_engagement"], "10.50");
        let sessions = &truth.funnels["monitored"]["session"].loose;
        assert_eq!(sessions.last().map(|s| s.reached), Some(1));
        // The buying sessions have no offer, so no offer and no conversation is lost or won.
        assert_eq!(truth.metrics["offers"], 2);
    }
}
