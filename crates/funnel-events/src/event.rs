//! One normalised event: a field per column of the `events` table that the record itself
//! determines.

use crate::column::{Named, table};
use crate::event_type::{EventType, Flow, TimeSource};

impl Named for EventType {
    fn name(&self) -> &str {
        self.as_str()
    }
}

impl Named for Flow {
    fn name(&self) -> &str {
        self.as_str()
    }
}

impl Named for TimeSource {
    fn name(&self) -> &str {
        self.as_str()
    }
}

table! {
    /// One fact, normalised. Nothing in it depends on another record, on a clock or on the place in
    /// Kafka.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub struct Event, EventColumns;
    /// Identity of the fact, computed from what it says: the same fact read twice has the same id.
    event_id: [u8; 16] => "event_id" Hex,
    /// What happened.
    event_type: EventType => "event_type" Text,
    /// Stable number of the event type.
    event_type_code: i16 => "event_type_code" Int16,
    /// The system that reported it, as sent.
    source_system: String => "source_system" Text,
    /// The reporting system's own name of the event: `OFFER_IMPRESSION`, `impDisplay`, `line`.
    source_event: String => "source_event" Text,
    /// Whether the page carries the Web Tag.
    flow: Flow => "flow" Text,
    /// The brand's account.
    account_id: String => "account_id" Text,
    /// The monitoring visitor.
    visitor_id: Option<String> => "visitor_id" Text,
    /// The monitoring session, without the dotted suffix that some sources add.
    session_id: Option<String> => "session_id" Text,
    /// The session id as sent.
    session_id_raw: Option<String> => "session_id_raw" Text,
    /// Account, visitor and session, joined by a vertical bar.
    session_key: Option<String> => "session_key" Text,
    /// Session key and engagement context: one offer made to one session.
    offer_key: Option<String> => "offer_key" Text,
    /// The page view.
    page_id: Option<String> => "page_id" Text,
    /// The engagement context; unique inside its session only.
    context_id: Option<String> => "context_id" Text,
    /// The campaign.
    campaign_id: Option<i64> => "campaign_id" Int64,
    /// The campaign's engagement; never the chat.
    engagement_id: Option<i64> => "engagement_id" Int64,
    /// Revision of the engagement's configuration.
    engagement_revision: Option<i32> => "engagement_revision" Int32,
    /// Name of the engagement in the campaign.
    engagement_name: Option<String> => "engagement_name" Text,
    /// Format: 0 peeling corner, 1 overlay, 2 toaster, 3 slide-out, 5 embedded, 6 sticky.
    engagement_type: Option<i16> => "engagement_type" Int16,
    /// A content engagement, which opens no chat.
    is_content: Option<bool> => "is_content" Bool,
    /// 0 chat, 1 messaging.
    conversation_type: Option<i16> => "conversation_type" Int16,
    /// Availability of agents with the offer: 0 unknown, 1 online, 2 offline, 4 busy.
    agent_state: Option<i16> => "agent_state" Int16,
    /// Answer to an engagement request: Available, NotAvailable or Error.
    availability: Option<String> => "availability" Text,
    /// How long a retrieved engagement may be used.
    valid_for_seconds: Option<i32> => "valid_for_seconds" Int32,
    /// The configured window.
    window_id: Option<String> => "window_id" Text,
    /// The page zone of the offer.
    zone_id: Option<i64> => "zone_id" Int64,
    /// The authentication connector; present on engagements for authenticated visitors only.
    connector_id: Option<i64> => "connector_id" Int64,
    /// Routing target.
    skill_id: Option<i64> => "skill_id" Int64,
    /// Name of the routing target.
    skill_name: Option<String> => "skill_name" Text,
    /// Language of the window, as sent.
    language: Option<String> => "language" Text,
    /// NA, TEST or CONTROL.
    control_group: Option<String> => "control_group" Text,
    /// The campaign's goal.
    goal_id: Option<i64> => "goal_id" Int64,
    /// Kind of goal; codes are the source's own.
    goal_type: Option<i32> => "goal_type" Int32,
    /// Indicator of the goal; codes are the source's own.
    goal_indicator_type: Option<i32> => "goal_indicator_type" Int32,
    /// Id of one reached goal.
    goal_event_id: Option<String> => "goal_event_id" Text,
    /// First visitor profile of the campaign.
    visitor_profile_id: Option<i64> => "visitor_profile_id" Int64,
    /// First visitor behaviour of the engagement.
    visitor_behavior_id: Option<i64> => "visitor_behavior_id" Int64,
    /// Line of business.
    lob_id: Option<String> => "lob_id" Text,
    /// The chat's number in the account.
    rt_session_id: Option<i64> => "rt_session_id" Int64,
    /// The chat: account id followed by the chat's number.
    chat_key: Option<String> => "chat_key" Text,
    /// The chat's key in the Chat API.
    chat_session_key: Option<String> => "chat_session_key" Text,
    /// The leg of the chat, where one record determines it; else the view computes it.
    chat_leg_key: Option<String> => "chat_leg_key" Text,
    /// The Chat API's own visitor number; never the monitoring visitor.
    chat_visitor_id: Option<i64> => "chat_visitor_id" Int64,
    /// Counter of split chats in a visit.
    engagement_set: Option<i32> => "engagement_set" Int32,
    /// Counter of transferred legs of a chat.
    engagement_sequence: Option<i32> => "engagement_sequence" Int32,
    /// Conversation id given by authentication.
    auth_conversation_id: Option<String> => "auth_conversation_id" Text,
    /// The authenticated visitor's id in the conversation.
    participant_id: Option<String> => "participant_id" Text,
    /// Keyed hash of the consumer's id; null without a key.
    consumer_key: Option<String> => "consumer_key" Text,
    /// Which key made `consumer_key`.
    consumer_key_id: Option<String> => "consumer_key_id" Text,
    /// The visitor has proved who he is.
    is_authenticated: Option<bool> => "is_authenticated" Bool,
    /// State of chat or window, in lower case.
    chat_state: Option<String> => "chat_state" Text,
    /// Number of a system line.
    system_message_id: Option<i16> => "system_message_id" Int16,
    /// visitor, agent or system.
    line_source: Option<String> => "line_source" Text,
    /// Subtype of a line.
    line_subtype: Option<String> => "line_subtype" Text,
    /// Format of a line's text.
    text_type: Option<String> => "text_type" Text,
    /// Order inside the chat.
    line_seq: Option<i64> => "line_seq" Int64,
    /// The agent.
    agent_id: Option<String> => "agent_id" Text,
    /// The source says that the visitor wrote.
    is_interactive: Option<bool> => "is_interactive" Bool,
    /// The source says that an agent was connected.
    was_connected: Option<bool> => "was_connected" Bool,
    /// Why the chat began; codes differ by `reason_source`.
    start_reason: Option<i16> => "start_reason" Int16,
    /// Why the chat ended.
    end_reason: Option<i16> => "end_reason" Int16,
    /// The system whose codes the reasons are.
    reason_source: Option<String> => "reason_source" Text,
    /// visitor, agent, system, transfer or unknown.
    ended_by: Option<String> => "ended_by" Text,
    /// Our own client ended the chat.
    ended_locally: Option<bool> => "ended_locally" Bool,
    /// Seconds; -1 nobody online, -2 not enough data.
    estimated_wait_time: Option<i32> => "estimated_wait_time" Int32,
    /// Answer of an availability check.
    available: Option<bool> => "available" Bool,
    /// Time in the queue.
    wait_ms: Option<i64> => "wait_ms" Int64,
    /// Time from connection to end.
    chat_duration_ms: Option<i64> => "chat_duration_ms" Int64,
    /// Meaningful connection score of the chat.
    mcs: Option<i16> => "mcs" Int16,
    /// The survey.
    survey_id: Option<String> => "survey_id" Text,
    /// 1 pre-chat, 2 exit, 3 agent, 4 offline.
    survey_type: Option<i16> => "survey_type" Int16,
    /// viewed or submitted.
    survey_action: Option<String> => "survey_action" Text,
    /// Kind of engagement attribute, in the Web Tag's words.
    sde_type: Option<String> => "sde_type" Text,
    /// The engagement attribute without what is personal.
    sde_json: Option<String> => "sde_json" Text,
    /// purchase, lead or service.
    conversion_type: Option<String> => "conversion_type" Text,
    /// Order, lead or service id.
    order_ref: Option<String> => "order_ref" Text,
    /// Total or value.
    amount: Option<i128> => "amount" Money,
    /// Currency as sent.
    currency: Option<String> => "currency" Text,
    /// Number of items.
    num_items: Option<i32> => "num_items" Int32,
    /// Customer type given by the brand.
    customer_type: Option<String> => "customer_type" Text,
    /// 0 direct, 1 search, 2 social, 3 e-mail, 4 referral.
    marketing_channel: Option<String> => "marketing_channel" Text,
    /// Marketing affiliate.
    marketing_affiliate: Option<String> => "marketing_affiliate" Text,
    /// Marketing campaign; never the engagement's campaign.
    marketing_campaign: Option<String> => "marketing_campaign" Text,
    /// Authentication level that the page claims: 0 or loa1.
    acr: Option<String> => "acr" Text,
    /// Page address without query and fragment.
    url: Option<String> => "url" Text,
    /// Referring page without query and fragment.
    referrer_url: Option<String> => "referrer_url" Text,
    /// Title of the page; off by default.
    page_title: Option<String> => "page_title" Text,
    /// Sections of the page.
    sections: Option<Vec<String>> => "sections" Texts,
    /// Places in an external application.
    consumer_sections: Option<Vec<String>> => "consumer_sections" Texts,
    /// Entry points of a messaging visitor.
    entry_points: Option<Vec<String>> => "entry_points" Texts,
    /// DESKTOP, TABLET or MOBILE.
    device_family: Option<String> => "device_family" Text,
    /// Operating system.
    os: Option<String> => "os" Text,
    /// Browser.
    browser: Option<String> => "browser" Text,
    /// Country.
    country_code: Option<String> => "country_code" Text,
    /// When it happened, in microseconds since 1970.
    event_time_us: i64 => "event_time" Time,
    /// Whose clock that is.
    event_time_source: TimeSource => "event_time_source" Text,
    /// The sent text, where reading it meant replacing it.
    event_time_raw: Option<String> => "event_time_raw" Text,
    /// When the producer wrote the record.
    produced_time_us: Option<i64> => "produced_time" Time,
    /// Version of the envelope.
    schema_version: String => "schema_version" Text,
    /// The producer's own id of the record.
    producer_event_id: Option<String> => "producer_event_id" Text,
    /// Hash of what the fact says, without ids and times of sending.
    content_hash: i64 => "content_hash" Int64,
    /// Position in the record's array; null when the record is one fact.
    entry_index: Option<i32> => "entry_index" Int32,
    /// Fields without a column, and values that no column could take.
    extra_json: Option<String> => "extra_json" Text,
}

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

impl Event {
    /// Days since 1970 of the event's UTC day: the partition of the table.
    #[must_use]
    pub fn event_date(&self) -> i32 {
        i32::try_from(self.event_time_us.div_euclid(DAY_US)).unwrap_or(i32::MAX)
    }

    /// The id as it stands in the table.
    #[must_use]
    pub fn event_id_hex(&self) -> String {
        crate::column::hex(&self.event_id)
    }
}
