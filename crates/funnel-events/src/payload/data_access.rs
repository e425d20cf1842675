//! Data Access records: one element, one record with its header, or a whole file, in Avro's JSON
//! encoding.

pub(super) mod conversation;

use super::{offer, sde, session, survey};
use crate::draft::{Draft, Record, fill, replace};
use crate::envelope::time_reject;
use crate::event_type::EventType;
use crate::json::{Value, simple_name};
use crate::reject::RejectCode;
use crate::time::read_time;

pub(super) fn read(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    if !walk(record, payload, None, "/payload") {
        read_element(record);
    }
}

/// Looks for the arrays that hold facts, and remembers the visitor header on the way. False if
/// there is nothing but one bare element.
fn walk<'d, 'a>(
    record: &mut Record<'d, 'a>,
    value: Value<'d, 'a>,
    outer: Option<Value<'d, 'a>>,
    path: &str,
) -> bool {
    let header = value.object("header").or(outer);
    let mut found = false;
    for (name, member) in value.members() {
        let member = member.unwrapped();
        let path = format!("{path}/{name}");
        let name = simple_name(name);
        found |= match name {
            "navigationData"
            | "impressions"
            | "achievedGoals"
            | "engagementAttributes"
            | "surveys"
                if member.is_array() =>
            {
                read_rows(record, (name, member), header, &path)
            }
            "eligibilityData" if member.is_array() => {
                for (row, _) in record.objects(member, &path) {
                    read_eligibility(record, row, header);
                }
                true
            }
            "eligibleCampaigns" => read_eligibility(record, value, header),
            "engagements" if member.is_array() => {
                for (row, path) in record.objects(member, &path) {
                    let row = row
                        .object("com.liveperson.dataaccess.Conversation")
                        .unwrap_or(row);
                    conversation::read(record, row, header, &path);
                }
                true
            }
            "Conversation" if member.is_object() => {
                conversation::read(record, member, header, &path);
                true
            }
            "sessionStartTime" => read_session(record, value, header),
            // Agents' shifts are nobody's funnel.
            "agentSessionsData" => true,
            "recordCollection" if member.is_array() => {
                for (row, path) in record.objects(member, &path) {
                    walk(record, row, header, &path);
                }
                true
            }
            _ if member.is_object() && is_container(name) => walk(record, member, header, &path),
            _ => false,
        };
    }
    found
}

/// `body`, and records under their own names.
fn is_container(name: &str) -> bool {
    name == "body" || name.ends_with("Data") || name.ends_with("Record")
}

/// Rows that are one fact each.
fn read_rows<'d, 'a>(
    record: &mut Record<'d, 'a>,
    (name, rows): (&str, Value<'d, 'a>),
    header: Option<Value<'d, 'a>>,
    path: &str,
) -> bool {
    for (row, path) in record.objects(rows, path) {
        let mut draft = record.entry(row);
        read_header(header, &mut draft);
        if let Some(time) = row.get("timestamp") {
            match read_time(time) {
                Ok(time_us) => draft.set_own_time(Some(time_us)),
                Err(error) => {
                    let reject = time_reject(error);
                    let path = format!("{path}/timestamp");
                    record.refuse_draft(&draft, reject.code, path, &reject.detail);
                    continue;
                }
            }
            time.mark();
        }
        match name {
            "navigationData" => {
                draft.set_type(EventType::PageViewed);
                session::read_page(row, &mut draft);
            }
            "impressions" => {
                let Some(event_type) = impression_type(row) else {
                    let detail = "an impression is one of Show, Accept, Close, Timeout";
                    let path = format!("{path}/impressionType");
                    record.refuse_draft(&draft, RejectCode::TypeUnknown, path, detail);
                    continue;
                };
                draft.set_type(event_type);
                read_impression(row, &mut draft);
            }
            "achievedGoals" => {
                draft.set_type(EventType::GoalReached);
                read_goal(row, &mut draft);
            }
            "engagementAttributes" => {
                draft.set_type(EventType::SdeReported);
                read_attribute(row, &mut draft);
            }
            _ => {
                draft.set_type(EventType::SurveyEvent);
                survey::read(row, &mut draft);
            }
        }
        record.push(draft);
    }
    true
}

/// A single element, of the type that the envelope names.
fn read_element(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    let mut draft = record.whole();
    payload.take_time("timestamp");
    match record.event_type() {
        EventType::SessionStarted | EventType::PageViewed => {
            session::read_page(payload, &mut draft);
            session::read_visitor(payload, &mut draft);
        }
        EventType::GoalReached => read_goal(payload, &mut draft),
        EventType::SurveyEvent => survey::read(payload, &mut draft),
        EventType::SdeReported => read_attribute(payload, &mut draft),
        EventType::ChatLine => conversation::read_line(payload, &mut draft),
        event_type if event_type.is_offer() => read_impression(payload, &mut draft),
        _ => offer::read_ids(payload, &mut draft),
    }
    record.push(draft);
}

/// The visit of a record. Chats of the unmonitored flow have empty texts here.
fn read_header(header: Option<Value<'_, '_>>, draft: &mut Draft<'_, '_>) {
    let Some(header) = header else { return };
    let event = &mut draft.event;
    replace(&mut event.visitor_id, header.take_id("visitorId"));
    replace(&mut event.session_id_raw, header.take_id("visitId"));
    header.take_id("contextId");
}

fn impression_type(row: Value<'_, '_>) -> Option<EventType> {
    Some(match row.peek_text("impressionType")? {
        "Show" => EventType::EngagementImpression,
        "Accept" => EventType::EngagementClick,
        "Close" => EventType::EngagementDeclined,
        "Timeout" => EventType::EngagementTimeout,
        _ => return None,
    })
}

fn read_impression(row: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    if let Some(kind) = row.take_text("impressionType").filter(|_| draft.in_array) {
        draft.event.source_event = kind;
    }
    let context = row.take_id("engagementInstanceId");
    if draft.in_array {
        replace(&mut draft.event.context_id, context);
    } else {
        fill(&mut draft.event.context_id, context);
    }
    if let Some(engagement) = row.object("engagement") {
        read_engagement(engagement, draft);
    }
    read_campaign(row, draft);
    offer::read_agent_state(row, "state", draft);
}

/// The configured engagement. Channel 100 is content.
fn read_engagement(engagement: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.engagement_id = engagement.take_int("id");
    event.engagement_type = engagement.take_int("type");
    if let Some(channel) = engagement.take_int::<i64>("channel") {
        event.is_content = Some(channel == 100);
    }
    event.visitor_behavior_id = first_id(engagement.array("visitorBehaviors"));
    offer::read_skill(engagement, draft);
}

fn read_campaign(row: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    if let Some(campaign) = row.object("campaign") {
        event.campaign_id = campaign.take_int("id");
        event.visitor_profile_id = first_id(campaign.array("visitorProfiles"));
    }
    if let Some(goal) = row.object("goal") {
        event.goal_id = goal.take_int("id");
        event.goal_type = goal.take_int("type");
        event.goal_indicator_type = goal.take_int("indicatorType");
    }
}

fn first_id(array: Option<Value<'_, '_>>) -> Option<i64> {
    array?.items().next()?.unwrapped().take_int("id")
}

/// One row per eligible campaign and engagement of one evaluation.
fn read_eligibility<'d, 'a>(
    record: &mut Record<'d, 'a>,
    row: Value<'d, 'a>,
    header: Option<Value<'d, 'a>>,
) -> bool {
    let Some(campaigns) = row.array("eligibleCampaigns") else {
        return false;
    };
    let time_us = row.take_time("timestamp");
    for (place, campaign) in campaigns.items().map(Value::unwrapped).enumerate() {
        let engagements: Vec<_> = campaign
            .array("engagements")
            .into_iter()
            .flat_map(Value::items)
            .map(|engagement| Some(engagement.unwrapped()))
            .collect();
        // A control group is eligible for a campaign that shows nothing.
        let engagements = if engagements.is_empty() {
            vec![None]
        } else {
            engagements
        };
        for (number, engagement) in engagements.into_iter().enumerate() {
            let mut draft = record.entry(campaign);
            draft.set_type(EventType::EngagementEligible);
            read_header(header, &mut draft);
            draft.set_own_time(time_us);
            draft.event.control_group = campaign.take_text("controlGroupType");
            if let Some(engagement) = engagement {
                read_engagement(engagement, &mut draft);
            }
            read_campaign(campaign, &mut draft);
            draft.discriminator = Some(format!("{place}.{number}"));
            record.push(draft);
        }
    }
    true
}

/// The session's own record.
fn read_session<'d, 'a>(
    record: &mut Record<'d, 'a>,
    row: Value<'d, 'a>,
    header: Option<Value<'d, 'a>>,
) -> bool {
    let mut draft = record.entry(row);
    draft.set_type(EventType::SessionStarted);
    read_header(header, &mut draft);
    draft.set_own_time(row.take_time("sessionStartTime"));
    session::read_visitor(row, &mut draft);
    for geo in [row.object("geo"), Some(row)].into_iter().flatten() {
        fill(
            &mut draft.event.country_code,
            geo.take_known_text("countryCode"),
        );
    }
    record.push(draft);
    true
}

/// A reached goal with what it was worth.
pub(super) fn read_goal(row: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.goal_event_id = row.take_id("id");
    event.goal_id = row
        .take_int("campaignGoalId")
        .or_else(|| row.take_int("goalId"));
    event.goal_type = row.take_int("campaignGoalType");
    let Some(data) = row.object("goalMetaData") else {
        return;
    };
    let amount = data.take_money("total");
    event.amount = amount.or_else(|| data.take_money("value"));
    event.order_ref = ["orderId", "leadId", "serviceId"]
        .iter()
        .find_map(|key| data.take_id(key));
    event.url = data.take_url("url");
}

/// An engagement attribute whose kind is the name of its record.
fn read_attribute<'d, 'a>(row: Value<'d, 'a>, draft: &mut Draft<'d, 'a>) {
    let named = row
        .raw("data")
        .unwrap_or(row)
        .members()
        .find_map(|(name, value)| {
            sde::kind_of(simple_name(name)).map(|kind| (kind, value.unwrapped()))
        });
    match named {
        Some((kind, body)) if body.is_object() => sde::read(Some(kind.to_owned()), body, draft),
        _ => sde::read_reported(row, draft),
    }
}
