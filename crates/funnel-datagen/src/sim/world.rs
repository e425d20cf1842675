//! The accounts: where they are, what they offer, when their agents work.

use chrono::{DateTime, NaiveDate, Timelike};
use chrono_tz::Tz;

use super::dice::Dice;
use crate::payload::Engagement;

/// One brand.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) zone: Tz,
    /// Campaigns of the tagged pages; the engagements of one campaign each.
    pub(crate) campaigns: Vec<Vec<Engagement>>,
    /// Content offers of the tagged pages, one campaign.
    pub(crate) content: Vec<Engagement>,
    /// Offers of the brand's own pages for anybody.
    pub(crate) open: Vec<Engagement>,
    /// The same for consumers who are logged in.
    pub(crate) authenticated: Vec<Engagement>,
}

const ZONES: [Tz; 7] = [
    Tz::America__New_York,
    Tz::Europe__Berlin,
    Tz::Asia__Kolkata,
    Tz::UTC,
    Tz::Pacific__Auckland,
    Tz::America__Sao_Paulo,
    Tz::Asia__Tokyo,
];

/// Formats by engagement: sticky, toaster, overlay, embedded, slide-out.
const FORMATS: [(i64, &str); 5] = [
    (6, "sticky button"),
    (2, "toaster"),
    (1, "overlay"),
    (5, "embedded"),
    (3, "slide-out"),
];

const SKILLS: [(i64, &str); 4] = [
    (41, "Home Loans"),
    (42, "Cards"),
    (43, "Savings"),
    (57, "Trading Desk"),
];

/// Account `n`. Not all ids consist of digits.
pub(crate) fn account(n: u32) -> Account {
    let id = if n % 3 == 2 {
        format!("qa{}", 60_418_295 + n)
    } else {
        format!("{}", 71_520_386 + n)
    };
    let zone = ZONES[n as usize % ZONES.len()];
    let base = 2_873_000_000 + i64::from(n) * 1_000_000;
    let make = |campaign: i64, nth: i64, content: bool| {
        let (format, what) = FORMATS[usize::try_from(nth).unwrap_or_default() % FORMATS.len()];
        let which = usize::try_from(campaign + nth).unwrap_or_default() % SKILLS.len();
        let (skill_id, skill) = SKILLS[which];
        Engagement {
            campaign: base + campaign * 1_000,
            id: base + campaign * 1_000 + 100 + nth,
            revision: 3 + nth,
            format,
            name: format!("{skill} {what}"),
            zone: base + 900_000,
            window: base + 910_000 + campaign,
            goal: base + 920_000 + campaign,
            skill_id,
            skill: skill.to_owned(),
            connector: None,
            valid_for_seconds: 900,
            content,
        }
    };
    let campaign = |number: i64, engagements: i64, content: bool| -> Vec<Engagement> {
        (0..engagements)
            .map(|nth| make(number, nth, content))
            .collect()
    };
    let authenticated = campaign(5, 2, false)
        .into_iter()
        .map(|e| Engagement {
            connector: Some(base + 930_000),
            ..e
        })
        .collect();
    Account {
        id,
        zone,
        campaigns: vec![campaign(1, 3, false), campaign(2, 5, false)],
        content: campaign(3, 2, true),
        open: campaign(4, 2, false),
        authenticated,
    }
}

impl Account {
    /// What the agents are doing: 1 online, 2 offline, 4 busy. They keep office hours.
    pub(crate) fn agents(&self, time: i64, dice: &mut Dice) -> i64 {
        let (online, busy) = match self.hour(time) {
            8..=10 | 15..=19 => (0.9, 0.07),
            11..=14 => (0.7, 0.25),
            _ => (0.12, 0.03),
        };
        if dice.chance(online) {
            1
        } else if dice.chance(busy / (1.0 - online)) {
            4
        } else {
            2
        }
    }

    /// The local hour of an instant.
    pub(crate) fn hour(&self, time: i64) -> u32 {
        DateTime::from_timestamp_millis(time).map_or(12, |t| t.with_timezone(&self.zone).hour())
    }

    /// The local date of an instant.
    pub(crate) fn date(&self, time: i64) -> NaiveDate {
        DateTime::from_timestamp_millis(time)
            .map(|t| t.with_timezone(&self.zone).date_naive())
            .unwrap_or_default()
    }
}
