//! Visit Information: the state of one visit as the monitoring system holds it.

use super::{Device, Engagement};
use crate::json::Obj;

/// An offer that was shown.
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    pub engagement: &'a Engagement,
    pub context: u32,
    /// Agents: 1 online, 2 offline, 4 busy.
    pub state: i64,
    pub accepted: Option<i64>,
}

/// What is told of a visit.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// With suffix.
    pub session: &'a str,
    pub start: i64,
    pub page: &'a str,
    pub offers: &'a [Offer<'a>],
    pub device: Device,
}

/// The answer: one session with one page.
pub fn snapshot(s: &Snapshot<'_>) -> Obj {
    let mut session = Obj::with_capacity(2048);
    let offers: Vec<String> = s.offers.iter().map(|o| offer(o, s.page).end()).collect();
    session.arr("engagements", &offers);
    let mut geo = Obj::new();
    geo.str("country", "United States").str("countryCode", "US");
    session.obj("geo", geo);
    session.int("startTime", s.start).str("id", s.session);
    session
        .str("deviceOS", s.device.os)
        .str("deviceFamily", s.device.family);
    session
        .str("userAgent", "Mozilla/5.0")
        .str("siteControlGroup", "NA");
    session.arr("pages", &[page(s.page, s.start).end()]);
    let mut o = Obj::with_capacity(2200);
    o.str("id", s.session);
    o.arr("appSessions", &[session.end()]);
    o
}

fn page(id: &str, start: i64) -> Obj {
    let mut basic = Obj::new();
    basic
        .str("url", "https://www.examplebank.test/offers")
        .int("startTime", start)
        .str("title", "Offers");
    let mut o = Obj::new();
    o.obj("pageBasic", basic).str("pageTitle", "Offers");
    o.int("startTime", start).int("timeOnPage", 21_482);
    o.str("id", id).str("url", "www.examplebank.test/offers");
    o
}

fn offer(shown: &Offer<'_>, page: &str) -> Obj {
    let e = shown.engagement;
    let mut campaign = Obj::new();
    campaign
        .int("revision", 232)
        .int("id", e.campaign)
        .int("goalId", e.goal);
    let mut skill = Obj::new();
    skill.str("skillName", &e.skill).int("skillId", e.skill_id);
    let mut entity = Obj::new();
    entity.int("revision", e.revision).int("id", e.id);
    entity
        .int("channel", if e.content { 100 } else { 1 })
        .int("type", e.format);
    entity
        .obj("engagementSkill", skill)
        .int("conversationType", 0);
    let mut goal = Obj::new();
    goal.int("revision", 4).int("id", e.goal);
    goal.int("type", 4).int("indicatorType", 3);
    let mut inner = Obj::with_capacity(600);
    inner.int("state", shown.state).int("zoneId", e.zone);
    inner.str("pageId", page).str("campaignControl", "TEST");
    inner
        .obj("campaignEntity", campaign)
        .obj("engagementEntity", entity)
        .obj("goalEntity", goal);
    let mut o = Obj::with_capacity(700);
    o.obj("engagement", inner)
        .str("id", &shown.context.to_string());
    if let Some(time) = shown.accepted {
        let mut accepted = Obj::new();
        accepted.int("activityTime", time).str("pageId", page);
        o.arr("impressionAccepted", &[accepted.end()]);
    }
    o
}
