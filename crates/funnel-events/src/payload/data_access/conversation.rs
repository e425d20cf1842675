//! A whole conversation of Data Access, as the facts it states.

use super::read_header;
use crate::draft::{Draft, Record, fill};
use crate::event_type::{EventType, TimeSource};
use crate::json::Value;
use crate::payload::session::read_device;
use crate::payload::set_chat_key;

/// Who ended a chat, by the reason codes that Data Access and Engagement History share.
pub(in crate::payload) fn ended_by(end_reason: Option<i16>) -> &'static str {
    match end_reason {
        Some(101 | 106) => "transfer",
        Some(201 | 202) => "agent",
        Some(205 | 208 | 210) => "visitor",
        _ => "unknown",
    }
}

/// Facts in a fixed order: requested, connected, interactive, transferred, ended.
pub(super) fn read<'d, 'a>(
    record: &mut Record<'d, 'a>,
    conversation: Value<'d, 'a>,
    header: Option<Value<'d, 'a>>,
    path: &str,
) {
    let mut template = record.whole();
    template.in_array = true;
    template.body = conversation;
    read_header(header, &mut template);
    read_common(conversation, &mut template);
    // Both lists are looked through whichever is asked for: a bad element is refused in any case.
    let transfers = list(record, conversation, "transfers", path);
    let lines = list(record, conversation, "transcripts", path);
    if record.event_type() == EventType::ChatLine {
        return read_lines(record, lines, &template);
    }
    let started_us = conversation.take_time("conversationStartTime");
    let requested_us = conversation.take_time("queueStartTime").or(started_us);
    let answered_us = conversation.take_time("queueEndTime");
    let connected_us = conversation.take_time("interactionStartTime");
    let ended_us = conversation.take_time("conversationEndTime");
    let end_reason = conversation.take_int("endReasonId");
    template.event.was_connected = Some(connected_us.is_some());
    let times = Times {
        requested_us,
        connected_us,
        ended_us,
    };
    let before = record.found.len();
    push_beginning(record, &template, &times);
    for transfer in transfers {
        let mut draft = record.entry_like(&template, transfer, EventType::ChatTransferred);
        draft.set_own_time(transfer.take_time("timestamp"));
        // The leg that begins here is the target's.
        draft.event.skill_id = transfer
            .take_known_int("targetSkillId")
            .or(draft.event.skill_id);
        draft.event.agent_id = transfer.take_id("agentId");
        record.push(draft);
    }
    let is_ended = times.ended_us.is_some();
    if is_ended || record.found.len() == before {
        // A record without any time is what its envelope says that it is.
        let event_type = if is_ended {
            EventType::ChatEnded
        } else {
            record.event_type()
        };
        let mut draft = record.entry_like(&template, template.body, event_type);
        draft.set_own_time(times.ended_us);
        draft.event.end_reason = end_reason;
        draft.event.ended_by = is_ended.then(|| ended_by(end_reason).to_owned());
        let left_us = connected_us.or(answered_us).or(times.ended_us);
        draft.event.wait_ms = span_ms(times.requested_us, left_us);
        draft.event.chat_duration_ms = span_ms(times.connected_us, times.ended_us);
        record.push(draft);
    }
}

/// The times of one chat.
#[derive(Debug)]
pub(in crate::payload) struct Times {
    pub(in crate::payload) requested_us: Option<i64>,
    pub(in crate::payload) connected_us: Option<i64>,
    pub(in crate::payload) ended_us: Option<i64>,
}

/// The facts that lie before transfers and end.
pub(in crate::payload) fn push_beginning<'d, 'a>(
    record: &mut Record<'d, 'a>,
    template: &Draft<'d, 'a>,
    times: &Times,
) {
    let facts = [
        (EventType::ChatRequested, times.requested_us),
        (EventType::ChatConnected, times.connected_us),
    ];
    for (event_type, time_us) in facts {
        if time_us.is_some() {
            let mut draft = record.entry_like(template, template.body, event_type);
            draft.set_own_time(time_us);
            record.push(draft);
        }
    }
    if template.event.is_interactive == Some(true) {
        let mut draft = record.entry_like(template, template.body, EventType::ChatInteractive);
        // The source says that the visitor wrote, not when: not before the connection.
        draft.set_own_time(times.connected_us.or(times.ended_us));
        draft.event.event_time_source = TimeSource::Derived;
        record.push(draft);
    }
}

pub(in crate::payload) fn span_ms(from_us: Option<i64>, to_us: Option<i64>) -> Option<i64> {
    let span_us = to_us?.checked_sub(from_us?)?;
    (span_us >= 0).then_some(span_us / 1000)
}

fn read_common(conversation: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    set_chat_key(draft, conversation.take_id("conversationId"));
    let event = &mut draft.event;
    event.conversation_type = match conversation.take_text("type").as_deref() {
        Some("MESSAGING") => Some(1),
        Some("LIVE_CHAT") => Some(0),
        _ => None,
    };
    event.is_interactive = conversation.take_bool("isInteractive");
    event.agent_id = conversation.take_id("agentId").filter(|agent| agent != "0");
    event.skill_id = conversation.take_known_int("skillID").or_else(|| {
        let skills = conversation.array("skills")?;
        skills.mark_all();
        skills
            .items()
            .last()?
            .unwrapped()
            .as_int()
            .filter(|skill| *skill != -1)
    });
    event.start_reason = conversation.take_int("startReasonId");
    event.reason_source = Some("data_access".to_owned());
    event.url = conversation.take_url("startUrl");
    event.page_title = conversation.take_text("startPage");
    event.mcs = conversation.take_int("mcs");
    if let Some(campaign) = conversation.object("campaignData") {
        event.campaign_id = campaign.take_int("campaignId");
        event.engagement_id = campaign.take_int("campaignEngagementId");
    }
    read_device(conversation, draft);
    draft.consumer = conversation
        .get("consumerId")
        .and_then(|id| id.as_text(1024));
}

fn list<'d, 'a>(
    record: &mut Record<'d, 'a>,
    conversation: Value<'d, 'a>,
    key: &str,
    path: &str,
) -> Vec<Value<'d, 'a>> {
    let array = conversation.array(key);
    let path = format!("{path}/{key}");
    let objects = array
        .map(|array| record.objects(array, &path))
        .unwrap_or_default();
    objects.into_iter().map(|(object, _)| object).collect()
}

fn read_lines<'d, 'a>(
    record: &mut Record<'d, 'a>,
    lines: Vec<Value<'d, 'a>>,
    template: &Draft<'d, 'a>,
) {
    for line in lines {
        let mut draft = record.entry_like(template, line, EventType::ChatLine);
        draft.set_own_time(line.take_time("timestamp"));
        read_line(line, &mut draft);
        record.push(draft);
    }
}

/// One line of a transcript: 0 visitor, 2 system, the others are kinds of agents' lines.
pub(super) fn read_line(line: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    let kind = line.take_int::<i64>("type");
    event.line_source = kind.map(|kind| {
        match kind {
            0 => "visitor",
            2 => "system",
            _ => "agent",
        }
        .to_owned()
    });
    event.line_subtype = (kind == Some(5)).then(|| "ONLY_TO_REP".to_owned());
    event.text_type = line.take_text("contentFormat");
    event.system_message_id = line.take_int("controlType").filter(|id| *id != 0);
    event.agent_id = line
        .take_id("agentId")
        .filter(|agent| agent != "0" && !agent.contains('@'));
    let conversation = line.take_id("conversationId");
    fill(&mut event.chat_key, conversation);
}
