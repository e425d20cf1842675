//! Visit Information: a snapshot of one visit with its pages, its offers and its attributes.

use super::{engagement_history, offer, sde, session};
use crate::draft::{Draft, Record, fill};
use crate::event_type::{EventType, TimeSource};
use crate::json::Value;

/// Attributes by the members that hold their last state.
const LAST_STATES: [(&str, &str); 9] = [
    ("cart", "cart"),
    ("purchases", "purchase"),
    ("leads", "lead"),
    ("serviceActivity", "service"),
    ("customerInfo", "ctmrinfo"),
    ("marketingCampaignInfo", "mrktInfo"),
    ("personalInfo", "personal"),
    ("viewedProduct", "prodView"),
    ("visitorError", "error"),
];

pub(super) fn read(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    if let Some(sessions) = payload.array("appSessions") {
        let visit = payload.take_id("id");
        for (visit_session, path) in record.objects(sessions, "/payload/appSessions") {
            read_session(record, visit_session, visit.as_deref(), &path);
        }
    } else if ["engagements", "pages", "events"]
        .iter()
        .any(|key| payload.array(key).is_some())
    {
        read_session(record, payload, None, "/payload");
    } else if payload.object("engagement").is_some() {
        read_engagement(record, payload, payload, payload);
    } else {
        let mut draft = record.whole();
        offer::read_ids(payload, &mut draft);
        session::read_visitor(payload, &mut draft);
        session::read_page(payload, &mut draft);
        record.push(draft);
    }
}

/// One session in a fixed order: its start, its pages, its offers, its attributes.
fn read_session<'d, 'a>(
    record: &mut Record<'d, 'a>,
    visit: Value<'d, 'a>,
    outer_id: Option<&str>,
    path: &str,
) {
    let mut template = record.whole();
    let session_id = visit.take_id("id").or_else(|| outer_id.map(str::to_owned));
    fill(&mut template.event.session_id_raw, session_id);
    record
        .base
        .session_id_raw
        .clone_from(&template.event.session_id_raw);
    let started_us = visit.take_time("startTime");
    if started_us.is_some() {
        let mut draft = record.entry(visit);
        draft.in_array = visit.position() != record.payload.position();
        draft.set_type(EventType::SessionStarted);
        draft.set_own_time(started_us);
        session::read_visitor(visit, &mut draft);
        let event = &mut draft.event;
        event.country_code = visit
            .object("geo")
            .and_then(|geo| geo.take_known_text("countryCode"));
        event.referrer_url = visit.take_url("externalReferrer");
        record.push(draft);
    }
    for (page, _) in objects(record, visit, "pages", path) {
        read_page(record, page);
    }
    for (shown, _) in objects(record, visit, "engagements", path) {
        read_engagement(record, visit, shown, shown);
    }
    read_attributes(record, visit, path);
}

fn objects<'d, 'a>(
    record: &mut Record<'d, 'a>,
    visit: Value<'d, 'a>,
    key: &str,
    path: &str,
) -> Vec<(Value<'d, 'a>, String)> {
    let array = visit.array(key);
    array
        .map(|array| record.objects(array, &format!("{path}/{key}")))
        .unwrap_or_default()
}

fn read_page<'d, 'a>(record: &mut Record<'d, 'a>, page: Value<'d, 'a>) {
    let mut draft = record.entry(page);
    draft.set_type(EventType::PageViewed);
    draft.set_own_time(page.take_time("startTime"));
    draft.event.page_id = page.take_id("id");
    if let Some(basic) = page.object("pageBasic") {
        // The full address stands here; the page's own `url` may lack the scheme.
        session::read_page(basic, &mut draft);
        basic.take_time("startTime");
    }
    session::read_page(page, &mut draft);
    record.push(draft);
}

/// An offer that was displayed, and each time it was accepted.
fn read_engagement<'d, 'a>(
    record: &mut Record<'d, 'a>,
    visit: Value<'d, 'a>,
    shown: Value<'d, 'a>,
    body: Value<'d, 'a>,
) {
    let mut template = record.entry(body);
    read_offer(shown, &mut template);
    let accepted = shown.array("impressionAccepted");
    let clicks = accepted.map(|array| record.objects(array, "/payload/impressionAccepted"));
    let mut shown_once = Some(template);
    let clicks_only = record.event_type() == EventType::EngagementClick && accepted.is_some();
    if let Some(mut draft) = shown_once.take_if(|_| !clicks_only) {
        draft.set_type(EventType::EngagementImpression);
        // The snapshot tells where it was shown, not when: not before its page began.
        draft.set_own_time(page_start(visit, draft.event.page_id.as_deref()));
        draft.event.event_time_source = TimeSource::Derived;
        record.push(draft);
    }
    for (click, _) in clicks.unwrap_or_default() {
        let mut draft = shown_once.take().unwrap_or_else(|| record.entry(body));
        draft.body = click;
        read_offer(shown, &mut draft);
        draft.set_type(EventType::EngagementClick);
        draft.set_own_time(click.take_time("activityTime"));
        let page = click.take_id("pageId");
        draft.event.page_id = page.or(draft.event.page_id);
        record.push(draft);
    }
}

fn page_start(visit: Value<'_, '_>, page_id: Option<&str>) -> Option<i64> {
    let pages = visit.array("pages")?;
    pages
        .items()
        .find(|page| page.take_id("id").as_deref() == page_id)
        .and_then(|page| page.take_time("startTime"))
}

fn read_offer(shown: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    draft.event.context_id = shown.take_id("id").or(draft.event.context_id.take());
    let Some(offered) = shown.object("engagement") else {
        return;
    };
    offer::read_agent_state(offered, "state", draft);
    let event = &mut draft.event;
    event.zone_id = offered.take_int("zoneId");
    event.page_id = offered.take_id("pageId").or(event.page_id.take());
    event.control_group = offered.take_text("campaignControl");
    if let Some(campaign) = offered.object("campaignEntity") {
        event.campaign_id = campaign.take_int("id");
        event.goal_id = campaign.take_int("goalId");
        event.visitor_profile_id = first_key(campaign.object("activeVPs"));
    }
    if let Some(goal) = offered.object("goalEntity") {
        event.goal_id = goal.take_int("id").or(event.goal_id);
        event.goal_type = goal.take_int("type");
        event.goal_indicator_type = goal.take_int("indicatorType");
    }
    let Some(engagement) = offered.object("engagementEntity") else {
        return;
    };
    event.engagement_id = engagement.take_int("id");
    event.engagement_revision = engagement.take_int("revision");
    event.engagement_type = engagement.take_int("type");
    event.conversation_type = engagement.take_int("conversationType");
    event.visitor_behavior_id = first_key(engagement.object("activeVBs"));
    if let Some(channel) = engagement.take_int::<i64>("channel") {
        event.is_content = Some(channel == 100);
    }
    if let Some(skill) = engagement.object("engagementSkill") {
        offer::read_skill(skill, draft);
    }
}

/// Profiles and behaviours are objects with the id as the name.
fn first_key(object: Option<Value<'_, '_>>) -> Option<i64> {
    object?
        .members()
        .next()
        .and_then(|(name, _)| crate::json::integer(name))
}

/// Attributes as they were reported; without the list of reports, their last state.
fn read_attributes<'d, 'a>(record: &mut Record<'d, 'a>, visit: Value<'d, 'a>, path: &str) {
    let reported = visit.array("events").is_some();
    for (item, _) in objects(record, visit, "events", path) {
        let mut draft = record.entry(item);
        draft.set_type(EventType::SdeReported);
        engagement_history::read_attribute(item, &mut draft);
        record.push(draft);
    }
    for (key, kind) in LAST_STATES {
        let Some(state) = visit.get(key) else {
            continue;
        };
        let states: Vec<_> = if state.is_array() {
            state.items().collect()
        } else {
            vec![state]
        };
        for state in states
            .into_iter()
            .filter(|state| !reported && state.is_object())
        {
            let mut draft = record.entry(state);
            draft.set_type(EventType::SdeReported);
            sde::read(Some(kind.to_owned()), state, &mut draft);
            record.push(draft);
        }
        state.mark_all();
    }
}
