//! What offers carry in every source: ids of campaign, engagement and context, state, format.

use crate::draft::{Draft, fill, replace};
use crate::json::Value;

/// Ids and names that mean the same wherever they stand, except in Engagement History.
pub(super) fn read_ids(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let in_array = draft.in_array;
    let event = &mut draft.event;
    let campaign = value.take_int("campaignId");
    fill(
        &mut event.campaign_id,
        campaign.or_else(|| value.take_int("campaign")),
    );
    let engagement = value.take_int("engagementId");
    fill(
        &mut event.engagement_id,
        engagement.or_else(|| value.take_int("engId")),
    );
    let revision = value.take_int("engagementRevision");
    fill(
        &mut event.engagement_revision,
        revision.or_else(|| value.take_int("revision")),
    );
    fill(
        &mut event.engagement_name,
        value.take_text("engagementName"),
    );
    fill(&mut event.engagement_type, value.take_int("engagementType"));
    fill(
        &mut event.conversation_type,
        value.take_int("conversationType"),
    );
    fill(&mut event.window_id, value.take_id("windowId"));
    fill(&mut event.zone_id, value.take_int("zoneId"));
    fill(
        &mut event.valid_for_seconds,
        value.take_int("validForSeconds"),
    );
    fill(&mut event.language, value.take_text("language"));
    let connector = value.take_int("connectorId");
    fill(
        &mut event.connector_id,
        connector.or_else(|| value.take_int("authChatConnId")),
    );
    read_skill(value, draft);
    let (context, page) = read_contexts(value);
    let event = &mut draft.event;
    // An entry of an array knows its own context; the envelope speaks for the whole array.
    let put = if in_array { replace } else { fill };
    put(&mut event.context_id, context);
    put(&mut event.page_id, page);
}

/// `skill` is a number in some sources and a name in others.
pub(super) fn read_skill(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    fill(&mut event.skill_id, value.take_known_int("skillId"));
    fill(&mut event.skill_name, value.take_known_text("skillName"));
    match value.get("skill").map(|skill| skill.as_int().is_some()) {
        Some(true) => fill(&mut event.skill_id, value.take_known_int("skill")),
        Some(false) => fill(&mut event.skill_name, value.take_known_text("skill")),
        None => {}
    }
}

/// Context and page of `contextId`, `contexts` (Web Tag) or `eContext` (impression events).
fn read_contexts(value: Value<'_, '_>) -> (Option<String>, Option<String>) {
    let mut context = value.take_id("contextId");
    let mut page = value.take_id("pageId");
    for item in value.array("contexts").into_iter().flat_map(Value::items) {
        for (name, inner) in item.members() {
            match name {
                "EngagementContext" | "engagementContext" => {
                    fill(&mut context, inner.take_id("id"))
                }
                "pageContext" | "PageContext" => fill(&mut page, inner.take_id("id")),
                _ => {}
            }
        }
    }
    for item in value.array("eContext").into_iter().flat_map(Value::items) {
        match item.peek_text("type") {
            Some("engagementContext") => fill(&mut context, item.take_id("id")),
            Some("pageContext") => fill(&mut page, item.take_id("id")),
            _ => {}
        }
    }
    (context, page)
}

/// State and kind of an impression event or an offer object.
pub(super) fn read_state(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    if let Some(kind) = value
        .get("type")
        .filter(|kind| kind.text() == draft.event.source_event)
    {
        kind.mark();
    }
    read_agent_state(value, "state", draft);
}

/// Availability of agents as digits or as Data Access text. Busy is 4; 3 is nobody's code and stays
/// as sent.
pub(super) fn read_agent_state(value: Value<'_, '_>, key: &str, draft: &mut Draft<'_, '_>) {
    let Some(state) = value.get(key) else { return };
    let event = &mut draft.event;
    let text = state.text();
    let named = [("content", 0), ("chatonline", 1), ("chatoffline", 2)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name));
    match named {
        Some((name, code)) => {
            event.agent_state = Some(code);
            if name == "content" {
                event.is_content = Some(true);
            }
            state.mark();
        }
        None => event.agent_state = value.take_int(key),
    }
}
