//! Data Access records in Avro's JSON encoding: every nullable field is a union.

use super::{Device, Engagement};
use crate::json::{Obj, quoted};

fn of(kind: &str, json: &str) -> String {
    format!("{{\"{kind}\":{json}}}")
}

fn string(value: &str) -> String {
    of("string", &quoted(value))
}

fn long(value: i64) -> String {
    of("long", &value.to_string())
}

fn int(value: i64) -> String {
    of("int", &value.to_string())
}

fn opt_long(value: Option<i64>) -> String {
    value.map_or_else(|| "null".to_owned(), long)
}

fn array(items: &[String]) -> String {
    of("array", &format!("[{}]", items.join(",")))
}

fn record(name: &str, o: Obj) -> String {
    of(&format!("com.liveperson.dataaccess.{name}"), &o.end())
}

/// The start of a session.
pub fn session_info(start: i64, device: Device) -> Obj {
    let mut o = Obj::new();
    o.raw("sessionStartTime", &long(start));
    o.raw("userAgent", &string("Mozilla/5.0"));
    o.raw(
        "deviceFamily",
        &of(
            "com.liveperson.dataaccess.DeviceFamilyEnum",
            &quoted(device.family),
        ),
    );
    o.raw(
        "deviceOS",
        &of(
            "com.liveperson.dataaccess.DeviceOsEnum",
            &quoted(device.data_access_os()),
        ),
    );
    o
}

/// `WebSessionNavigationData`: one page.
pub fn navigation(time: i64, url: &str, sections: &[&str]) -> Obj {
    let mut o = Obj::with_capacity(256);
    o.raw("timestamp", &long(time)).raw("url", &string(url));
    o.raw("referrerUrl", &string("https://www.examplebank.test/"));
    let sections: Vec<String> = sections.iter().map(|s| quoted(s)).collect();
    o.raw("sections", &array(&sections));
    o
}

fn goal(e: &Engagement) -> String {
    let mut o = Obj::new();
    o.raw("id", &long(e.goal))
        .raw("type", &int(4))
        .raw("indicatorType", &int(3));
    record("Goal", o)
}

fn engagement(e: &Engagement) -> Obj {
    let mut o = Obj::with_capacity(256);
    o.raw("id", &long(e.id));
    o.raw("channel", &string(if e.content { "100" } else { "1" }));
    o.raw("type", &string(&e.format.to_string()));
    o.raw("skillId", &int(e.skill_id))
        .raw("skillName", &string(&e.skill));
    o.raw("isOffsiteEngagement", &of("boolean", "false"));
    o
}

/// `WebSessionEligibilityData`: one campaign with its engagements. Empty without an engagement.
pub fn eligibility(time: i64, engagements: &[&Engagement], control_group: &str) -> Obj {
    let mut campaigns = Vec::new();
    if let Some(first) = engagements.first() {
        let mut campaign = Obj::new();
        campaign.raw("id", &long(first.campaign));
        let list: Vec<String> = engagements.iter().map(|e| engagement(e).end()).collect();
        let mut c = Obj::with_capacity(600);
        c.raw("campaign", &record("Campaign", campaign));
        c.raw("engagements", &array(&list));
        c.raw("goal", &goal(first));
        c.raw(
            "controlGroupType",
            &of(
                "com.liveperson.dataaccess.ControlGroupEnum",
                &quoted(control_group),
            ),
        );
        campaigns.push(c.end());
    }
    let mut o = Obj::with_capacity(800);
    o.raw("timestamp", &long(time))
        .raw("eligibleCampaigns", &array(&campaigns));
    o
}

/// One element of `WebSessionImpressionData`; `kind` is Show, Accept, Close or Timeout.
pub fn impression(time: i64, kind: &str, e: &Engagement, context: u32, state: &str) -> Obj {
    let mut campaign = Obj::new();
    campaign.raw("id", &long(e.campaign));
    let mut o = Obj::with_capacity(600);
    o.raw("timestamp", &long(time));
    o.raw("engagementInstanceId", &string(&context.to_string()));
    o.raw("impressionType", &string(kind))
        .raw("state", &string(state));
    o.raw("engagement", &record("Engagement", engagement(e)));
    o.raw("campaign", &record("Campaign", campaign));
    o.raw("goal", &goal(e));
    o
}

/// What a Data Access conversation says.
#[derive(Debug, Clone)]
pub struct Conversation<'a> {
    /// Account id followed by the chat's number.
    pub chat_key: String,
    pub requested: i64,
    pub connected: Option<i64>,
    pub ended: i64,
    pub interactive: bool,
    pub end_reason: i64,
    /// Visitor and session with suffix; unmonitored chats have none.
    pub visitor: Option<(&'a str, &'a str)>,
    pub engagement: Option<&'a Engagement>,
    pub device: Device,
}

/// `EngagementData`: a whole conversation.
pub fn conversation(c: &Conversation<'_>) -> Obj {
    let (visitor, session) = c.visitor.unwrap_or(("", ""));
    let mut header = Obj::new();
    header
        .raw("visitId", &string(session))
        .raw("visitorId", &string(visitor));
    header.raw("contextId", &string(""));
    let mut o = Obj::with_capacity(900);
    o.raw(
        "type",
        &of(
            "com.liveperson.dataaccess.ConversationType",
            "\"LIVE_CHAT\"",
        ),
    );
    o.raw("conversationId", &string(&c.chat_key));
    o.raw("conversationStartTime", &long(c.requested));
    o.raw("interactionStartTime", &opt_long(c.connected));
    o.raw("conversationEndTime", &long(c.ended))
        .null("consumerId");
    o.raw(
        "isInteractive",
        &of("boolean", if c.interactive { "true" } else { "false" }),
    );
    o.raw("sourceOrigin", &string("Web"));
    o.raw(
        "sourceDevice",
        &of(
            "com.liveperson.dataaccess.DeviceFamilyEnum",
            &quoted(c.device.family),
        ),
    );
    o.raw("endReasonId", &int(c.end_reason));
    match c.engagement {
        Some(e) => {
            let mut data = Obj::new();
            data.raw("campaignId", &long(e.campaign))
                .raw("campaignEngagementId", &long(e.id));
            o.raw("campaignData", &record("CampaignData", data));
            o.raw("skills", &array(&[e.skill_id.to_string()]));
        }
        None => {
            o.null("campaignData")
                .raw("skills", &array(&["57".to_owned()]));
        }
    }
    o.raw("startReasonId", &int(0))
        .null("startPage")
        .null("startUrl");
    o.raw("transcripts", &array(&[]))
        .raw("transfers", &array(&[]));
    o.raw("secureForms", &array(&[])).null("mcs");
    o.raw("queueStartTime", &long(c.requested))
        .raw("queueEndTime", &opt_long(c.connected));
    let mut payload = Obj::with_capacity(1200);
    payload.raw("header", &record("VisitorHeader", header));
    payload.obj("com.liveperson.dataaccess.Conversation", o);
    payload
}

/// One element of `WebSessionEngAttrsData`: where the visitor came from.
pub fn marketing(time: i64, channel: i64, campaign: &str) -> Obj {
    let mut source = Obj::new();
    source.raw("originatingChannel", &int(channel));
    source
        .raw("affiliate", &string("SpringMailer"))
        .raw("campaignId", &string(campaign));
    let mut o = Obj::with_capacity(256);
    o.raw("timestamp", &long(time));
    o.raw("data", &record("MarketingCampaignInfo", source));
    o
}

/// `SurveyData`: one survey with one answer. Type 1 pre-chat, 2 exit, 3 agent, 4 offline.
pub fn survey(id: i64, kind: i64, viewed: i64, answered: i64, chat_key: Option<&str>) -> Obj {
    let mut answer = Obj::new();
    answer.raw("question", &string("How satisfied were you?"));
    answer.raw("answer", &string("Very satisfied"));
    answer.raw("answerSubmitTime", &long(answered));
    answer
        .raw("surveyName", &string("Survey EN"))
        .raw("answerType", &int(2));
    answer.raw("csatThreshold", &of("double", "4"));
    let mut o = Obj::with_capacity(400);
    o.raw("id", &long(id))
        .raw("type", &int(kind))
        .raw("viewTime", &long(viewed));
    o.raw(
        "conversationId",
        &chat_key.map_or_else(|| "null".to_owned(), string),
    );
    o.raw("contents", &array(&[answer.end()]));
    o
}

/// `WebSessionGoalAchievedData`: a page that counts as a goal was reached.
pub fn url_goal(id: &str, time: i64, goal: i64) -> Obj {
    let mut meta = Obj::new();
    meta.raw("url", &string("https://www.examplebank.test/thank-you"));
    let mut o = Obj::with_capacity(300);
    o.raw("id", &string(id)).raw("timestamp", &long(time));
    o.raw("campaignGoalRevision", &long(2))
        .raw("campaignGoalId", &long(goal));
    o.raw("campaignGoalType", &int(6))
        .raw("goalMetaData", &record("UrlGoalMetadata", meta));
    o
}
