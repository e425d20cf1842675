//! Engagement History: ended chats with their campaign, attributes and surveys. All numbers may be
//! texts.

use super::chat::take_agent;
use super::data_access::conversation::{Times, ended_by, push_beginning, span_ms};
use super::{sde, set_chat_key, survey};
use crate::draft::{Draft, Record, fill, replace};
use crate::event_type::EventType;
use crate::json::Value;
use crate::reject::RejectCode;

/// Surveys of one chat by the name of their container.
const SURVEYS: [(&str, i16); 4] = [
    ("preChat", 1),
    ("postChat", 2),
    ("operator", 3),
    ("offline", 4),
];

pub(super) fn read(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    if let Some(records) = payload.array("interactionHistoryRecords") {
        for (chat, path) in record.objects(records, "/payload/interactionHistoryRecords") {
            read_chat(record, chat, &path);
        }
    } else if payload.object("info").is_some() {
        read_chat(record, payload, "/payload");
    } else {
        read_part(record);
    }
}

/// A part of a chat that a producer sent alone.
fn read_part(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    let mut draft = record.whole();
    match record.event_type() {
        EventType::ChatLine => read_line(payload, &mut draft),
        EventType::SdeReported => read_attribute(payload, &mut draft),
        EventType::SurveyEvent => survey::read(payload, &mut draft),
        _ => super::offer::read_ids(payload, &mut draft),
    }
    record.push(draft);
}

/// One chat as the facts it states, in a fixed order: requested, connected, interactive, ended,
/// then attributes, then surveys. A record that is sent as one kind of fact gives that kind only.
fn read_chat<'d, 'a>(record: &mut Record<'d, 'a>, chat: Value<'d, 'a>, path: &str) {
    let Some(info) = chat.object("info") else {
        let path = format!("{path}/info");
        return record.refuse(
            RejectCode::FieldMissing,
            path,
            "a chat of history has its `info`",
        );
    };
    let mut template = record.whole();
    template.in_array = chat.position() != record.payload.position();
    template.body = chat;
    read_info(info, &mut template);
    if let Some(campaign) = chat.object("campaign") {
        read_campaign(campaign, &mut template);
    }
    if let Some(visitor) = chat.object("visitorInfo") {
        template.event.country_code = visitor.take_known_text("countryCode");
        super::session::read_device(visitor, &mut template);
    }
    let attributes = parts(record, chat, ("sdes", "events"), path);
    let lines = parts(record, chat, ("transcript", "lines"), path);
    match record.event_type() {
        EventType::ChatLine => read_lines(record, lines, &template),
        EventType::SdeReported => read_attributes(record, attributes, &template),
        EventType::SurveyEvent => read_surveys(record, chat, &template),
        _ => {
            read_facts(record, info, &template);
            read_attributes(record, attributes, &template);
            read_surveys(record, chat, &template);
        }
    }
}

/// The elements of a list inside a part of the chat. One that is no object is refused whether or
/// not the list is asked for: a record is good or bad independently of what is taken from it.
fn parts<'d, 'a>(
    record: &mut Record<'d, 'a>,
    chat: Value<'d, 'a>,
    (part, list): (&str, &str),
    path: &str,
) -> Vec<Value<'d, 'a>> {
    let array = chat.object(part).and_then(|part| part.array(list));
    let path = format!("{path}/{part}/{list}");
    let objects = array
        .map(|array| record.objects(array, &path))
        .unwrap_or_default();
    objects.into_iter().map(|(object, _)| object).collect()
}

fn read_facts<'d, 'a>(record: &mut Record<'d, 'a>, info: Value<'d, 'a>, template: &Draft<'d, 'a>) {
    let times = Times {
        requested_us: info.take_first_time(&["chatRequestedTimeL", "chatRequestedTime"]),
        connected_us: info.take_first_time(&["startTimeL", "startTime"]),
        ended_us: info.take_first_time(&["endTimeL", "endTime"]),
    };
    let end_reason = info.take_int("endReason");
    info.take_text("endReasonDesc");
    let seconds = info.take_int::<i64>("duration");
    let mut template = template.clone();
    template.event.was_connected = Some(times.connected_us.is_some());
    let before = record.found.len();
    push_beginning(record, &template, &times);
    let said_ended = info
        .take_bool("ended")
        .or_else(|| info.take_bool("isEnded"));
    let is_ended = times.ended_us.is_some() || said_ended == Some(true);
    if is_ended || record.found.len() == before {
        // A record without any time is what its envelope says that it is.
        let event_type = if is_ended {
            EventType::ChatEnded
        } else {
            record.event_type()
        };
        let mut draft = record.entry_like(&template, template.body, event_type);
        draft.set_own_time(times.ended_us);
        let event = &mut draft.event;
        event.end_reason = end_reason;
        event.ended_by = is_ended.then(|| ended_by(end_reason).to_owned());
        event.wait_ms = span_ms(times.requested_us, times.connected_us.or(times.ended_us));
        event.chat_duration_ms = seconds
            .and_then(|seconds| seconds.checked_mul(1000))
            .or(span_ms(times.connected_us, times.ended_us));
        record.push(draft);
    }
}

/// `engagementId` is the chat here, and the campaign's engagement stands in `campaign`.
fn read_info(info: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    set_chat_key(draft, info.take_id("engagementId"));
    info.take_id("accountId");
    let event = &mut draft.event;
    event.engagement_set = info.take_int("engagementSet");
    event.engagement_sequence = info.take_int("engagementSequence");
    event.chat_leg_key = match (&event.chat_key, event.engagement_sequence) {
        (Some(chat_key), Some(sequence)) => Some(format!("{chat_key}#{sequence}")),
        _ => None,
    };
    let visitor = info.take_id("visitorId");
    let put = if draft.in_array { replace } else { fill };
    put(&mut event.visitor_id, visitor);
    event.agent_id = take_agent(info);
    event.skill_id = info.take_known_int("skillId");
    event.skill_name = info.take_known_text("skillName");
    event.start_reason = info.take_int("startReason");
    event.reason_source = Some("engagement_history".to_owned());
    info.take_text("startReasonDesc");
    let interactive = info.take_bool("isInteractive");
    event.is_interactive = interactive.or_else(|| info.take_bool("interactive"));
    event.mcs = info.take_int("chatMCS").or_else(|| info.take_int("mcs"));
    event.url = info.take_url("chatStartUrl");
    event.page_title = info.take_text("chatStartPage");
    info.take_known_int("agentGroupId");
    info.take_known_text("agentGroupName");
}

fn read_campaign(campaign: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.campaign_id = campaign.take_int("campaignId");
    event.engagement_id = campaign.take_int("campaignEngagementId");
    event.engagement_name = campaign.take_text("campaignEngagementName");
    event.goal_id = campaign.take_int("goalId");
    event.visitor_behavior_id = campaign.take_int("visitorBehaviorId");
    event.visitor_profile_id = campaign.take_int("visitorProfileId");
    event.lob_id = campaign.take_id("lobId").filter(|lob| lob != "-1");
    campaign.take_known_text("lobName");
}

/// What attributes, surveys and lines of a chat share with it: whose they are, and which chat.
fn part_of<'d, 'a>(
    chat: &Draft<'d, 'a>,
    record: &mut Record<'d, 'a>,
    body: Value<'d, 'a>,
) -> Draft<'d, 'a> {
    let mut draft = record.entry(body);
    let (event, of) = (&mut draft.event, &chat.event);
    event.visitor_id.clone_from(&of.visitor_id);
    event.chat_key.clone_from(&of.chat_key);
    event.rt_session_id = of.rt_session_id;
    event.chat_leg_key.clone_from(&of.chat_leg_key);
    event.engagement_set = of.engagement_set;
    event.engagement_sequence = of.engagement_sequence;
    draft
}

fn read_attributes<'d, 'a>(
    record: &mut Record<'d, 'a>,
    attributes: Vec<Value<'d, 'a>>,
    template: &Draft<'d, 'a>,
) {
    for item in attributes {
        let mut draft = part_of(template, record, item);
        draft.set_type(EventType::SdeReported);
        read_attribute(item, &mut draft);
        record.push(draft);
    }
}

/// An attribute under the name of its kind, its times beside or inside it.
pub(super) fn read_attribute<'d, 'a>(item: Value<'d, 'a>, draft: &mut Draft<'d, 'a>) {
    let named = item
        .members()
        .find(|(name, value)| value.unwrapped().is_object() && sde::kind_of(name).is_some());
    let named = named.or_else(|| {
        item.members()
            .find(|(_, value)| value.unwrapped().is_object())
    });
    let Some((name, body)) = named else {
        return sde::read_reported(item, draft);
    };
    let body = body.unwrapped();
    let time_us = sde::reported_time(body).or_else(|| sde::reported_time(item));
    if draft.in_array {
        draft.set_own_time(time_us);
    }
    if let Some(page) = body
        .object("contexts")
        .and_then(|contexts| contexts.object("page"))
    {
        fill(&mut draft.event.page_id, page.take_id("id"));
    }
    item.take_text("sdeType");
    let authenticated = item.take_bool("isAuthenticated");
    let kind = sde::kind_of(name).unwrap_or(name);
    sde::read(Some(kind.to_owned()), body, draft);
    fill(&mut draft.event.is_authenticated, authenticated);
}

fn read_surveys<'d, 'a>(
    record: &mut Record<'d, 'a>,
    chat: Value<'d, 'a>,
    template: &Draft<'d, 'a>,
) {
    let Some(surveys) = chat.object("surveys") else {
        return;
    };
    for (name, survey_type) in SURVEYS {
        let Some(survey) = surveys.get(name) else {
            continue;
        };
        // An array of answers, or one answer.
        let first = if survey.is_array() {
            survey.items().next()
        } else {
            Some(survey)
        };
        let Some(first) = first
            .map(Value::unwrapped)
            .filter(|first| first.is_object())
        else {
            continue;
        };
        let mut draft = part_of(template, record, survey);
        draft.set_type(EventType::SurveyEvent);
        let answered_us = first.take_first_time(&["timeL", "time"]);
        draft.set_own_time(answered_us);
        let event = &mut draft.event;
        event.survey_id = first.take_id("surveyId");
        event.survey_type = Some(survey_type);
        let action = if answered_us.is_some() {
            "submitted"
        } else {
            "viewed"
        };
        event.survey_action = Some(action.to_owned());
        draft.discriminator = answered_us.map(|time_us| time_us.to_string());
        record.push(draft);
    }
}

fn read_lines<'d, 'a>(
    record: &mut Record<'d, 'a>,
    lines: Vec<Value<'d, 'a>>,
    template: &Draft<'d, 'a>,
) {
    for line in lines {
        let mut draft = part_of(template, record, line);
        draft.set_type(EventType::ChatLine);
        draft.set_own_time(line.take_first_time(&["timeL", "time"]));
        read_line(line, &mut draft);
        record.push(draft);
    }
}

fn read_line(line: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    line.take_first_time(&["timeL", "time"]);
    let event = &mut draft.event;
    fill(&mut event.line_seq, line.take_int("lineSeq"));
    event.line_source = line.take_text("source").map(|source| source.to_lowercase());
    event.line_subtype = line.take_text("subType");
    event.text_type = line.take_text("textType");
    event.system_message_id = line.take_int("controlType").filter(|id| *id != 0);
    event.agent_id = take_agent(line);
}
