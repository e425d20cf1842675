//! Engagement History records: one chat leg, after its end.

use chrono::DateTime;

use super::sde::money;
use super::{Device, Engagement, id, text_id};
use crate::json::Obj;
use crate::message::IdStyle;

/// A conversion as the history repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    /// `purchase`, `lead` or `service`.
    pub kind: &'static str,
    pub reference: String,
    pub cents: i64,
    pub time: i64,
}

/// What a record says about one leg.
#[derive(Debug, Clone)]
pub struct Leg<'a> {
    pub account: &'a str,
    /// Account id followed by the chat's number.
    pub chat_key: String,
    /// As the history prints it: in lower case.
    pub visitor: Option<String>,
    pub requested: i64,
    pub connected: Option<i64>,
    pub ended: i64,
    pub interactive: bool,
    pub end_reason: i64,
    /// Counter of transferred legs.
    pub sequence: i64,
    pub engagement: Option<&'a Engagement>,
    pub bought: Option<&'a Bought>,
    pub device: Device,
}

fn time(o: &mut Obj, key: &str, ms: i64) {
    let text = DateTime::from_timestamp_millis(ms)
        .map(|t| t.format("%Y-%m-%d %H:%M:%S%.3f+0000").to_string())
        .unwrap_or_default();
    o.str(key, &text);
    o.int(&format!("{key}L"), ms);
}

fn info(leg: &Leg<'_>, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(900);
    time(&mut o, "chatRequestedTime", leg.requested);
    if let Some(connected) = leg.connected {
        time(&mut o, "startTime", connected);
    }
    time(&mut o, "endTime", leg.ended);
    o.int(
        "duration",
        leg.connected.map_or(0, |c| (leg.ended - c) / 1000),
    );
    if let Some(visitor) = &leg.visitor {
        o.str("visitorId", visitor);
    }
    o.str("visitorName", "Visitor");
    text_id(&mut o, "engagementId", &leg.chat_key, style);
    o.bool("isInteractive", leg.interactive);
    text_id(&mut o, "accountId", leg.account, style);
    if leg.connected.is_some() {
        id(&mut o, "agentId", 88_214, true, style);
        o.str("agentLoginName", "mira@example.test");
    }
    if let Some(e) = leg.engagement {
        id(&mut o, "skillId", e.skill_id, false, style);
        o.str("skillName", &e.skill);
    }
    o.int("channel", 1);
    o.str("startReason", if leg.sequence == 0 { "0" } else { "6" });
    o.str("endReason", &leg.end_reason.to_string());
    o.int("engagementSet", 0)
        .int("engagementSequence", leg.sequence);
    o.int("agentGroupId", -1).str("agentGroupName", "NA");
    o.bool("ended", true)
        .bool("chatDataEnriched", true)
        .bool("isPartial", false);
    o.str("chatStartUrl", "https://www.examplebank.test/loans/home");
    o
}

/// `sdes`: one attribute. All values are texts here.
fn sdes(b: &Bought) -> Obj {
    let mut inner = Obj::new();
    let name = match b.kind {
        "purchase" => {
            inner.str("total", &money(b.cents)).str("currency", "USD");
            inner.str("orderId", &b.reference);
            "purchase"
        }
        "lead" => {
            let mut lead = Obj::new();
            lead.str("topic", "home loan callback")
                .str("leadId", &b.reference);
            inner.obj("lead", lead);
            "lead"
        }
        _ => {
            inner.str("topic", "address change").str("status", "0");
            inner
                .str("category", "account")
                .str("serviceId", &b.reference);
            "serviceActivity"
        }
    };
    inner.str("serverTimeStamp", &(b.time + 80).to_string());
    inner.str("originalTimeStamp", &b.time.to_string());
    let mut event = Obj::new();
    event.obj(name, inner);
    let mut o = Obj::new();
    o.arr("events", &[event.end()]);
    o
}

/// The record.
pub fn record(leg: &Leg<'_>, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(1400);
    o.obj("info", info(leg, style));
    if let Some(e) = leg.engagement {
        let mut c = Obj::with_capacity(300);
        id(&mut c, "campaignEngagementId", e.id, true, style);
        c.str("campaignEngagementName", &e.name);
        id(&mut c, "campaignId", e.campaign, true, style);
        c.str("campaignName", "Spring lending");
        id(&mut c, "goalId", e.goal, true, style);
        c.str("goalName", "Generate leads")
            .str("lobId", "-1")
            .str("lobName", "NA");
        o.obj("campaign", c);
    }
    let mut v = Obj::new();
    v.str("country", "United States")
        .str("countryCode", "US")
        .str("device", leg.device.family);
    v.str("browser", leg.device.browser)
        .str("operatingSystem", leg.device.os);
    o.obj("visitorInfo", v);
    if let Some(bought) = leg.bought {
        o.obj("sdes", sdes(bought));
    }
    o
}
