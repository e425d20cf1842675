//! Surveys: pre-chat 1, exit 2, agent 3, offline 4. Answers are personal and are not read here.

use super::set_chat_key;
use crate::draft::{Draft, fill};
use crate::json::Value;

/// The SDK's callbacks and calls say by their names which survey it is.
const NAMED: [(&str, i16); 3] = [("pre", 1), ("exit", 2), ("offline", 4)];

/// One survey of Data Access or of the chat SDK.
pub(super) fn read(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let survey = value.object("survey").unwrap_or(value);
    let id = survey.take_id("id").or_else(|| survey.take_id("surveyId"));
    let source_event = draft.event.source_event.to_lowercase();
    let named = NAMED
        .iter()
        .find(|(part, _)| source_event.contains(part))
        .map(|(_, code)| *code);
    let event = &mut draft.event;
    event.survey_id = id;
    event.survey_type = survey
        .take_int("type")
        .or_else(|| survey.take_int("surveyType"))
        .or(named);
    let submitted_us = submit_time(survey);
    let viewed_us = survey.take_time("viewTime");
    let submitted = submitted_us.is_some() || source_event.contains("submit");
    event.survey_action = Some(if submitted { "submitted" } else { "viewed" }.to_owned());
    draft.discriminator = submitted_us.map(|time_us| time_us.to_string());
    if draft.in_array {
        draft.set_own_time(submitted_us.or(viewed_us));
    }
    let conversation = survey.take_id("conversationId");
    set_chat_key(draft, conversation);
    for key in ["chatSessionKey", "rtSessionId"] {
        match key {
            "chatSessionKey" => fill(&mut draft.event.chat_session_key, value.take_id(key)),
            _ => fill(&mut draft.event.rt_session_id, value.take_int(key)),
        }
    }
}

/// The first time at which an answer was submitted.
fn submit_time(survey: Value<'_, '_>) -> Option<i64> {
    let contents = survey.array("contents");
    contents
        .into_iter()
        .flat_map(Value::items)
        .filter_map(|content| content.unwrapped().take_time("answerSubmitTime"))
        .min()
}
