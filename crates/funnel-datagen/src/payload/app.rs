//! App Engagement API, Monitoring API and the steps of the brand's own window before the chat.

use super::{Device, Engagement, id, iso, text_id};
use crate::json::{Obj, quoted};
use crate::message::IdStyle;

/// The ids an answer repeats.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub visitor: &'a str,
    pub session: &'a str,
    pub page: &'a str,
}

fn answer(status: &str, a: Answer<'_>, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(400);
    o.str("status", status);
    o.str("sessionId", a.session);
    o.str("visitorId", a.visitor);
    text_id(&mut o, "pageId", a.page, style);
    o
}

/// The body of the call that creates a session: the app, its device, its place.
pub fn create_session(device: Device, section: &str) -> Obj {
    let mut details = Obj::new();
    details
        .str("appVersion", "3.1")
        .str("deviceFamily", device.family);
    details.str("ipAddress", "203.0.113.9").str("os", device.os);
    let mut o = Obj::with_capacity(256);
    o.str("appType", "EXTERNAL").obj("appDetails", details);
    o.arr("consumerSections", &[quoted(section)]);
    o
}

/// The same for the Monitoring API, which names the parts otherwise.
pub fn monitoring_request(device: Device, section: &str) -> Obj {
    let mut properties = Obj::new();
    properties
        .str("appVersion", "1.0")
        .str("deviceFamily", device.family);
    properties
        .str("ipAddress", "203.0.113.9")
        .str("osName", device.os);
    let mut o = Obj::with_capacity(256);
    o.arr("entryPoints", &[quoted(&format!("sec://{section}"))]);
    o.obj("clientProperties", properties);
    o
}

/// An engagement was found.
pub fn available(a: Answer<'_>, e: &Engagement, context: u32, style: IdStyle) -> Obj {
    let mut o = answer("Available", a, style);
    let mut d = Obj::with_capacity(256);
    id(&mut d, "campaignId", e.campaign, true, style);
    id(&mut d, "engagementId", e.id, true, style);
    id(&mut d, "contextId", i64::from(context), true, style);
    id(&mut d, "windowId", e.window, true, style);
    d.str("language", "en-US");
    d.int("engagementRevision", e.revision);
    d.int("validForSeconds", e.valid_for_seconds);
    id(&mut d, "skillId", e.skill_id, false, style);
    d.str("skillName", &e.skill);
    if let Some(connector) = e.connector {
        id(&mut d, "connectorId", connector, true, style);
    }
    o.obj("engagementDetails", d);
    o
}

/// No engagement for this visitor now.
pub fn not_available(a: Answer<'_>, style: IdStyle) -> Obj {
    answer("NotAvailable", a, style)
}

/// The account is still being loaded; the caller tries again.
pub fn loading(account: &str, visitor: &str, time: i64) -> Obj {
    let mut o = Obj::new();
    o.int("time", time);
    o.str(
        "message",
        &format!("Loading account: {account}, vid: {visitor}"),
    );
    o.int("internalCode", 20);
    o
}

/// One impression event: `impDisplay`, `impAccept`, `impExpanded`, `impTimeout` or `impClose`.
pub fn impression(kind: &str, e: &Engagement, context: Option<u32>, style: IdStyle) -> Obj {
    let mut o = Obj::new();
    o.str("type", kind);
    if kind == "impExpanded" {
        o.null("expanded").null("userInit").null("actionableItems");
    }
    id(&mut o, "campaign", e.campaign, false, style);
    id(&mut o, "engId", e.id, false, style);
    o.int("revision", e.revision);
    if let Some(context) = context {
        let mut c = Obj::new();
        c.str("type", "engagementContext");
        id(&mut c, "id", i64::from(context), true, style);
        o.arr("eContext", &[c.end()]);
    }
    o
}

/// The body of an update-session call: several impression events without times of their own.
pub fn update_session(page: &str, impressions: &[String], style: IdStyle) -> Obj {
    let mut o = Obj::new();
    text_id(&mut o, "pageId", page, style);
    o.arr("impAttributes", impressions);
    o
}

/// The Monitoring API's engagement answer. It has no status but a list, and no list where there is
/// nothing to offer.
pub fn monitoring_answer(a: Answer<'_>, offer: Option<(&Engagement, u32)>, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(400);
    o.str("sessionId", a.session);
    o.str("visitorId", a.visitor);
    text_id(&mut o, "pageId", a.page, style);
    let Some((e, context)) = offer else { return o };
    let mut d = Obj::with_capacity(256);
    id(&mut d, "campaignId", e.campaign, false, style);
    id(&mut d, "engagementId", e.id, false, style);
    d.int("engagementRevision", e.revision);
    id(&mut d, "contextId", i64::from(context), true, style);
    if let Some(connector) = e.connector {
        id(&mut d, "connectorId", connector, false, style);
    }
    d.str("status", "expose");
    id(&mut d, "windowId", e.window, true, style);
    d.str("language", "en-US");
    o.arr("engagementDetails", &[d.end()]);
    o
}

/// `GET chat/availability`.
pub fn availability(skill: &str, available: bool) -> Obj {
    let mut request = Obj::new();
    request.str("skill", skill).int("maxWaitTime", 0);
    let mut o = Obj::new();
    o.obj("request", request).bool("availability", available);
    o
}

/// Seconds to wait; 0 at once, -1 nobody there, -2 not enough data.
pub fn estimated_wait(skill: &str, seconds: i64) -> Obj {
    let mut request = Obj::new();
    request.str("skill", skill);
    let mut o = Obj::new();
    o.obj("request", request).int("estimatedWaitTime", seconds);
    o
}

/// `onState` when there is no chat to resume.
pub fn not_found(time: i64) -> Obj {
    let mut o = Obj::new();
    o.str("state", "notfound").str("time", &iso(time));
    o
}

/// The ids an authenticated chat carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthIds {
    pub conversation: String,
    pub participant: String,
}

/// `onAuthentication` with ids, `onAuthenticationFail` without.
pub fn authentication(e: &Engagement, context: u32, ids: Option<&AuthIds>, style: IdStyle) -> Obj {
    let mut o = Obj::new();
    id(
        &mut o,
        "authChatConnId",
        e.connector.unwrap_or_default(),
        false,
        style,
    );
    id(&mut o, "engagementId", e.id, false, style);
    id(&mut o, "contextId", i64::from(context), true, style);
    match ids {
        Some(ids) => {
            o.str("conversationId", &ids.conversation);
            o.str("participantId", &ids.participant);
            o.bool("authenticated", true);
        }
        None => {
            o.bool("authenticated", false);
            o.str("error", "invalid_code");
        }
    }
    o
}
