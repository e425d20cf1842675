//! Who and what the scenario is made of.

use crate::payload::app::AuthIds;
use crate::payload::chat::Chat;
use crate::payload::{Device, Engagement};
use crate::scribe::Visit;

/// 2024-03-04T00:00:00Z.
pub(super) const MIDNIGHT: i64 = 1_709_510_400_000;
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// E1, a sticky button.
pub(super) fn e1() -> Engagement {
    Engagement {
        campaign: 2_873_105_910,
        id: 2_873_106_210,
        revision: 31,
        format: 6,
        name: "Home loans sticky button".to_owned(),
        zone: 512_940_310,
        window: 2_873_104_710,
        goal: 2_873_105_010,
        skill_id: 41,
        skill: "Home Loans".to_owned(),
        connector: None,
        valid_for_seconds: 900,
        content: false,
    }
}

/// E2, a toaster of the same campaign.
pub(super) fn e2() -> Engagement {
    Engagement {
        id: 2_873_106_310,
        revision: 12,
        format: 2,
        name: "Home loans toaster".to_owned(),
        ..e1()
    }
}

/// E3, the brand's own button of the unmonitored flow.
pub(super) fn e3() -> Engagement {
    Engagement {
        campaign: 3_915_520_410,
        id: 3_915_520_710,
        revision: 7,
        format: 0,
        name: "Portfolio button".to_owned(),
        zone: 0,
        window: 3_915_519_910,
        goal: 3_915_518_510,
        skill_id: 57,
        skill: "Trading Desk".to_owned(),
        ..e1()
    }
}

/// E3 for authenticated consumers.
pub(super) fn e3_authenticated() -> Engagement {
    Engagement {
        connector: Some(3_915_518_810),
        ..e3()
    }
}

/// Visit `number` of the monitored flow; s14 comes back as the visitor of s11.
pub(super) fn monitored(number: usize) -> Visit {
    let visitor = if number == 14 { 11 } else { number };
    let session = format!("h4ZrY8uJQkCx1bGtE6o{number:03}");
    Visit {
        account: super::ACCOUNT.to_owned(),
        visitor: format!("Qm7xT2dLS1eWc0vN9pK{visitor:03}"),
        session_raw: format!("{session}.9c1e07ab42d85f3360be7714ac58d2f10e69b{number:03x}"),
        session,
        flow: "monitored",
        device: Device::DESKTOP,
    }
}

/// Visit `number` of the unmonitored flow.
pub(super) fn unmonitored(number: usize) -> Visit {
    let session = format!("D8pGm0aXTyK7rNcQ4jE{number:03}");
    Visit {
        account: super::UNMONITORED_ACCOUNT.to_owned(),
        visitor: format!("kT9_bW3nRzqYf5LsVhU{number:03}"),
        session_raw: session.clone(),
        session,
        flow: "unmonitored",
        device: Device::DESKTOP,
    }
}

/// The page ids of visit `number`.
pub(super) fn page(number: usize, nth: usize) -> String {
    (1_604_880_000 + number * 10 + nth).to_string()
}

/// The chat of visit `number`.
pub(super) fn chat(visit: &Visit, number: i64, e: &Engagement, context: u32, start: i64) -> Chat {
    let base = if visit.flow == "monitored" { 0 } else { 500 };
    Chat {
        session_key: format!(
            "H6120934417728305514-5be0c94d7a3146f2b8810d2ce97f6{:03}K7719{:03}",
            base + number,
            base + number
        ),
        rt_session_id: 4_295_386_100 + base + number,
        numeric_visitor: 1_608_824_410_377_100 + base + number,
        start,
        offer: Some((visit.visitor.clone(), visit.session.clone(), context)),
        engagement: Some(e.clone()),
        auth: e.connector.map(|_| AuthIds {
            conversation: format!("7d0c2f54-98ab-4b1e-8c6d-5f1a20b9e{number:03}"),
            participant: format!("e2b71a9c-0f44-4a0b-9d83-6a3e5c81d{number:03}"),
        }),
    }
}
