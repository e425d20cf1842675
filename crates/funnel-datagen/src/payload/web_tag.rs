//! Web Tag events: offers, pages, window states.

use super::{Engagement, id, text_id};
use crate::json::{Obj, quoted};
use crate::message::IdStyle;

/// `lp_SMT / MONITORING_STATE`.
pub fn monitoring_state() -> Obj {
    let mut o = Obj::new();
    o.bool("active", true);
    o
}

/// A new page of a single-page application.
pub fn new_page(url: &str, sections: &[&str]) -> Obj {
    let mut o = Obj::new();
    o.str("url", url);
    let sections: Vec<String> = sections.iter().map(|s| quoted(s)).collect();
    o.arr("section", &sections);
    o
}

/// The offer object of every `LP_OFFERS` event.
pub fn offer(e: &Engagement, context: u32, page: &str, state: i64, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(400);
    let mut inner = Obj::new();
    id(&mut inner, "id", i64::from(context), true, style);
    let mut engagement_context = Obj::new();
    engagement_context.obj("EngagementContext", inner);
    let mut inner = Obj::new();
    text_id(&mut inner, "id", page, style);
    let mut page_context = Obj::new();
    page_context.obj("pageContext", inner);
    o.arr("contexts", &[engagement_context.end(), page_context.end()]);
    id(&mut o, "campaignId", e.campaign, false, style);
    id(&mut o, "engagementId", e.id, false, style);
    o.int("engagementRevision", e.revision);
    o.int("engagementType", e.format);
    id(&mut o, "contextId", i64::from(context), true, style);
    id(&mut o, "zoneId", e.zone, false, style);
    o.int("state", state);
    o.str(
        "confKey",
        &format!("{}_{}_{}", e.campaign, e.id, e.revision),
    );
    o.str(
        "tglName",
        match e.format {
            1 => "overlay",
            2 => "toaster",
            3 => "slider",
            5 => "embedded",
            6 => "sticky",
            _ => "peelingCorner",
        },
    );
    o.bool("done", true);
    o.str("engagementName", &e.name);
    o
}

/// `lpUnifiedWindow / state`.
pub fn window_state(state: &str) -> Obj {
    let mut o = Obj::new();
    o.str("state", state);
    o
}

/// What `lpUnifiedWindow / conversationInfo` says about a chat.
#[derive(Debug, Clone, Copy)]
pub struct ConversationInfo<'a> {
    pub rt_session_id: i64,
    pub state: &'a str,
    /// With the dotted suffix.
    pub session: &'a str,
    pub visitor: &'a str,
    pub agent: Option<(&'a str, i64)>,
}

/// `lpUnifiedWindow / conversationInfo`.
pub fn conversation_info(info: ConversationInfo<'_>, e: &Engagement, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(400);
    if let Some((name, agent)) = info.agent {
        o.str("agentName", name);
        id(&mut o, "agentId", agent, false, style);
    }
    id(&mut o, "conversationId", info.rt_session_id, false, style);
    o.str("state", info.state);
    o.str("monitoringSessionId", info.session);
    o.str("visitorId", info.visitor);
    o.str("skill", &e.skill);
    id(&mut o, "engagementId", e.id, false, style);
    id(&mut o, "campaignId", e.campaign, false, style);
    o.str("language", "en-US");
    o.str("engagementName", &e.name);
    o
}
