//! Which units reached which step: the definitions, and a plain matcher over facts.

use super::record::{Fact, Step};
use super::{FunnelTruth, StepTruth};

/// Steps of one chain must lie this close together where the unit is the visitor: 31 days.
const VISITOR_WINDOW_MS: i64 = 31 * 24 * 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// Only where a connector asks for authentication.
    WithConnector,
}

/// One funnel.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    /// `None`: both flows.
    pub(crate) flow: Option<&'static str>,
    pub(crate) steps: &'static [(&'static str, Step, Need)],
}

use Need::{Optional, Required, WithConnector};

pub(crate) const FUNNELS: [Definition; 4] = [
    Definition {
        name: "monitored",
        flow: Some("monitored"),
        steps: &[
            ("session", Step::Session, Required),
            ("prospect", Step::Prospect, Optional),
            ("offer_started", Step::OfferStarted, Optional),
            ("rendered", Step::Rendered, Optional),
            ("exposed", Step::Exposed, Required),
            ("clicked", Step::Clicked, Required),
            ("window_ready", Step::WindowReady, Optional),
            ("requested", Step::Requested, Required),
            ("connected", Step::Connected, Required),
            ("interactive", Step::Interactive, Required),
            ("completed", Step::Completed, Required),
            ("converted", Step::Converted, Required),
        ],
    },
    Definition {
        name: "unmonitored",
        flow: Some("unmonitored"),
        steps: &[
            ("session", Step::Session, Required),
            ("engagement_requested", Step::EngagementRequested, Required),
            ("available", Step::Available, Required),
            ("displayed", Step::Exposed, Required),
            ("clicked", Step::Clicked, Required),
            ("rechecked", Step::Rechecked, Optional),
            ("authenticated", Step::Authenticated, WithConnector),
            ("requested", Step::Requested, Required),
            ("connected", Step::Connected, Required),
            ("interactive", Step::Interactive, Required),
            ("completed", Step::Completed, Required),
            ("converted", Step::Converted, Required),
        ],
    },
    Definition {
        name: "impression_to_chat",
        flow: None,
        steps: &[
            ("exposed", Step::Exposed, Required),
            ("clicked", Step::Clicked, Required),
            ("requested", Step::Requested, Required),
            ("connected", Step::Connected, Required),
            ("interactive", Step::Interactive, Required),
            ("converted", Step::Converted, Required),
        ],
    },
    Definition {
        name: "chat_lifecycle",
        flow: None,
        steps: &[
            ("requested", Step::Requested, Required),
            ("connected", Step::Connected, Required),
            ("interactive", Step::Interactive, Required),
            ("completed", Step::Completed, Required),
        ],
    },
];

pub(crate) const UNITS: [&str; 4] = ["session", "offer", "conversation", "visitor"];

/// The facts of one unit.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    pub(crate) facts: Vec<Fact>,
    pub(crate) connector: bool,
    pub(crate) is_visitor: bool,
}

impl Definition {
    pub(crate) fn empty(&self) -> FunnelTruth {
        let steps = || {
            let step = |(name, _, _): &(&str, Step, Need)| StepTruth {
                step: (*name).to_owned(),
                reached: 0,
            };
            self.steps.iter().map(step).collect()
        };
        FunnelTruth {
            loose: steps(),
            ordered: steps(),
        }
    }

    /// Adds one unit.
    pub(crate) fn count(&self, unit: &Unit, into: &mut FunnelTruth) {
        let loose = self.loose(unit);
        let ordered = self.ordered(unit);
        for (steps, bits) in [(&mut into.loose, loose), (&mut into.ordered, ordered)] {
            for (i, step) in steps.iter_mut().enumerate() {
                step.reached += (bits >> i) & 1;
            }
        }
    }

    fn position(&self, step: Step) -> Option<usize> {
        self.steps.iter().position(|(_, s, _)| *s == step)
    }

    /// Each step for itself.
    fn loose(&self, unit: &Unit) -> u64 {
        let found = unit.facts.iter().filter_map(|f| self.position(f.step));
        found.fold(0, |bits, at| bits | 1 << at)
    }

    /// The longest chain of required steps in order of time; an optional step counts if it follows
    /// a chain of all required steps before it. Equal times are in any order.
    fn ordered(&self, unit: &Unit) -> u64 {
        let window = if unit.is_visitor {
            VISITOR_WINDOW_MS
        } else {
            i64::MAX
        };
        let mut rows: Vec<(i64, usize)> = unit
            .facts
            .iter()
            .filter_map(|f| Some((f.time, self.position(f.step)?)))
            .collect();
        rows.sort_unstable();
        let required = |at: usize| match self.steps[at].2 {
            Required => true,
            Optional => false,
            WithConnector => unit.connector,
        };
        // Latest start of a chain that ends with the n-th required step.
        let mut chains: Vec<i64> = Vec::new();
        let mut bits = 0;
        for (time, at) in rows {
            let before = (0..at).filter(|i| required(*i)).count();
            let start = match before.checked_sub(1) {
                None => Some(time),
                Some(previous) => chains
                    .get(previous)
                    .copied()
                    .filter(|start| time - start <= window),
            };
            let Some(start) = start else { continue };
            bits |= 1 << at;
            if !required(at) {
                continue;
            }
            if before == chains.len() {
                chains.push(start);
            } else {
                chains[before] = chains[before].max(start);
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(facts: &[(i64, Step)], connector: bool) -> Unit {
        let facts = facts
            .iter()
            .map(|(time, step)| Fact {
                time: *time,
                step: *step,
                offer: None,
                conversation: None,
            })
            .collect();
        Unit {
            facts,
            connector,
            is_visitor: false,
        }
    }

    fn reached(funnel: usize, unit: &Unit) -> (Vec<&'static str>, Vec<&'static str>) {
        let d = &FUNNELS[funnel];
        let mut t = d.empty();
        d.count(unit, &mut t);
        let names = |steps: &[StepTruth]| {
            let hit = steps.iter().zip(d.steps).filter(|(s, _)| s.reached == 1);
            hit.map(|(_, (name, _, _))| *name).collect::<Vec<_>>()
        };
        (names(&t.loose), names(&t.ordered))
    }

    #[test]
    fn a_lost_impression_breaks_the_ordered_chain_only() {
        let u = unit(
            &[(1, Step::Exposed), (0, Step::Clicked), (3, Step::Requested)],
            false,
        );
        let (loose, ordered) = reached(2, &u);
        assert_eq!(loose, ["exposed", "clicked", "requested"]);
        assert_eq!(ordered, ["exposed"]);
    }

    #[test]
    fn optional_steps_break_nothing_and_need_the_chain_before_them() {
        let facts = [
            (0, Step::Session),
            (1, Step::Rendered),
            (2, Step::Exposed),
            (2, Step::Clicked),
        ];
        let (_, ordered) = reached(0, &unit(&facts, false));
        assert_eq!(ordered, ["session", "rendered", "exposed", "clicked"]);
        let (_, ordered) = reached(
            0,
            &unit(&[(0, Step::Session), (1, Step::WindowReady)], false),
        );
        assert_eq!(ordered, ["session"]);
    }

    #[test]
    fn authentication_is_asked_for_only_with_a_connector() {
        let facts = [
            (0, Step::Session),
            (0, Step::EngagementRequested),
            (0, Step::Available),
            (1, Step::Exposed),
            (2, Step::Clicked),
            (4, Step::Requested),
        ];
        let (_, open) = reached(1, &unit(&facts, false));
        assert_eq!(open.last(), Some(&"requested"));
        let (_, closed) = reached(1, &unit(&facts, true));
        assert_eq!(closed.last(), Some(&"clicked"));
    }
}
