//! Turns "this happened then" into messages: the one place that knows which source reports what,
//! under which envelope, on which topic.

mod chat;
mod unmonitored;

use crate::json::Obj;
use crate::message::{Clock, Envelope, IdStyle, Ids, Message, TimeForm, topics};
use crate::payload::chat::Chat;
use crate::payload::data_access;
use crate::payload::{Device, Engagement, visit, web_tag};

pub(crate) use unmonitored::{Asked, Recheck};

/// Producers write this long after the event.
pub(crate) const PRODUCER_DELAY_MS: i64 = 180;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Seconds.
    Live,
    /// Engagement History: within two hours of the chat's end.
    History,
    /// Data Access: hours.
    Files,
}

/// A message on its way, with what the reader must make of it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) message: Message,
    /// Entries that are events.
    pub(crate) events: u32,
    /// Entries that are refused, by reason.
    pub(crate) rejects: Vec<&'static str>,
    pub(crate) route: Route,
    /// When it happened, by the true clock.
    pub(crate) time: i64,
}

/// Who is visiting.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) account: String,
    pub(crate) visitor: String,
    /// Without suffix.
    pub(crate) session: String,
    /// With suffix, as the Web Tag and Data Access print it; the same where there is none.
    pub(crate) session_raw: String,
    pub(crate) flow: &'static str,
    pub(crate) device: Device,
}

/// What the envelope says beside the visit's ids.
#[derive(Debug, Clone, Copy)]
struct Spec<'a> {
    event_type: &'a str,
    system: &'a str,
    event: &'a str,
    time: i64,
    page: Option<&'a str>,
    context: Option<u32>,
    clock: Clock,
    form: TimeForm,
    seq: Option<i64>,
    /// The chat whose key stands in for the visitor's.
    anonymous: Option<&'a str>,
    /// The visitor as this source spells it, without a session.
    alias: Option<&'a str>,
    without_session: bool,
    events: u32,
    route: Route,
}

impl<'a> Spec<'a> {
    fn new(event_type: &'a str, system: &'a str, event: &'a str, time: i64) -> Self {
        Self {
            event_type,
            system,
            event,
            time,
            page: None,
            context: None,
            clock: Clock::Server,
            form: TimeForm::Millis,
            seq: None,
            anonymous: None,
            alias: None,
            without_session: false,
            events: 1,
            route: Route::Live,
        }
    }

    fn client(self) -> Self {
        Self {
            clock: Clock::Client,
            ..self
        }
    }

    fn page(self, page: &'a str) -> Self {
        Self {
            page: Some(page),
            ..self
        }
    }

    fn context(self, context: u32) -> Self {
        Self {
            context: Some(context),
            ..self
        }
    }

    fn route(self, route: Route) -> Self {
        Self { route, ..self }
    }
}

/// Writes the messages of one visit.
#[derive(Debug)]
pub(crate) struct Scribe<'a> {
    visit: &'a Visit,
    pub(crate) style: IdStyle,
    /// How far the visitor's clock is off; beyond a day readers must take the producer's.
    pub(crate) clock_error: i64,
    /// Chat messages of this visit carry no visitor.
    pub(crate) anonymous_chats: bool,
    /// The interface that the brand reports to, without a tag on the page.
    reporter: &'static str,
    /// Distinguishes the producer's event ids of visits.
    salt: u64,
    count: u64,
    pub(crate) out: Vec<Draft>,
}

impl<'a> Scribe<'a> {
    pub(crate) fn new(visit: &'a Visit, salt: u64) -> Self {
        Self {
            visit,
            style: IdStyle::Natural,
            clock_error: 0,
            anonymous_chats: false,
            reporter: "app_engagement",
            salt,
            count: 0,
            out: Vec::new(),
        }
    }

    fn put(&mut self, spec: Spec<'_>, payload: Obj) -> &mut Draft {
        self.count += 1;
        let event_id = format!(
            "{:08x}-{:04x}-4000-8000-{:012x}",
            self.salt >> 32,
            (self.salt >> 16) & 0xffff,
            ((self.salt & 0xffff) << 32) | self.count
        );
        let suffixed = matches!(spec.system, "web_tag" | "data_access" | "visit_info");
        let session = if suffixed {
            &self.visit.session_raw
        } else {
            &self.visit.session
        };
        let hidden = spec.anonymous.is_some() || spec.alias.is_some();
        let client = spec.clock == Clock::Client;
        let envelope = Envelope {
            event_type: spec.event_type,
            source_system: spec.system,
            source_event: spec.event,
            flow: self.visit.flow,
            ids: Ids {
                account: &self.visit.account,
                visitor: spec
                    .alias
                    .or((!hidden).then_some(self.visit.visitor.as_str())),
                session: (!hidden && !spec.without_session).then_some(session.as_str()),
                page: spec.page,
                context: if hidden { None } else { spec.context },
            },
            time: if client {
                spec.time + self.clock_error
            } else {
                spec.time
            },
            time_form: spec.form,
            clock: spec.clock,
            produced_at: spec.time + PRODUCER_DELAY_MS,
            seq: spec.seq,
            producer_event_id: Some(&event_id),
            id_style: self.style,
        };
        let message = Message {
            topic: topics::of(spec.event_type),
            key: envelope.key(spec.anonymous),
            value: Some(envelope.json(payload)),
            headers: Vec::new(),
            timestamp_ms: envelope.produced_at,
        };
        let draft = Draft {
            message,
            events: spec.events,
            rejects: Vec::new(),
            route: spec.route,
            time: spec.time,
        };
        let at = self.out.len();
        self.out.push(draft);
        &mut self.out[at]
    }

    // ---- monitored: the page ----

    pub(crate) fn monitoring_started(&mut self, time: i64, page: &str) {
        let spec = Spec::new("session_started", "web_tag", "MONITORING_STATE", time);
        self.put(spec.client().page(page), web_tag::monitoring_state());
    }

    pub(crate) fn new_page(&mut self, time: i64, page: &str, url: &str) {
        let spec = Spec::new("page_viewed", "web_tag", "newPage", time)
            .client()
            .page(page);
        self.put(spec, web_tag::new_page(url, &["loans", "lang-english"]));
    }

    pub(crate) fn sde(&mut self, time: i64, page: &str, sde: Obj) {
        let monitored = self.visit.flow == "monitored";
        let (system, event) = if monitored {
            ("web_tag", "VAR_ADDED")
        } else {
            (self.reporter, "engagementAttributes")
        };
        let spec = Spec::new("sde_reported", system, event, time)
            .client()
            .page(page);
        self.put(spec, sde);
    }

    /// One of the `LP_OFFERS` events.
    pub(crate) fn offer(&mut self, time: i64, event: &str, e: &Engagement, at: Shown<'_>) {
        let event_type = match event {
            "START" => "engagement_start",
            "OFFER_DISPLAY" => "engagement_rendered",
            "OFFER_IMPRESSION" => "engagement_impression",
            "OFFER_CLICK" => "engagement_click",
            "OFFER_TIMEOUT" => "engagement_timeout",
            "OFFER_DECLINED" => "engagement_declined",
            _ => "engagement_removed",
        };
        let payload = web_tag::offer(e, at.context, at.page, at.state, self.style);
        let spec = Spec::new(event_type, "web_tag", event, time);
        self.put(spec.client().page(at.page).context(at.context), payload);
    }

    /// `lpUnifiedWindow / state`.
    pub(crate) fn window(&mut self, time: i64, state: &str) {
        let spec = Spec::new("chat_window_state", "web_tag", "state", time).client();
        self.put(spec, web_tag::window_state(state));
    }

    pub(crate) fn window_closed(&mut self, time: i64) {
        let spec = Spec::new("chat_window_state", "web_tag", "windowClosed", time).client();
        self.put(spec, Obj::new());
    }

    /// `lpUnifiedWindow / conversationInfo`.
    pub(crate) fn conversation_info(&mut self, time: i64, chat: &Chat, state: &str) {
        let Some(e) = &chat.engagement else { return };
        let info = web_tag::ConversationInfo {
            rt_session_id: chat.rt_session_id,
            state,
            session: &self.visit.session_raw,
            visitor: &self.visit.visitor,
            agent: (state != "waiting").then_some(("Mira", 88_214)),
        };
        let payload = web_tag::conversation_info(info, e, self.style);
        let spec = Spec::new("chat_window_state", "web_tag", "conversationInfo", time).client();
        self.put(spec, payload);
    }

    // ---- monitored: Data Access ----

    pub(crate) fn da_session(&mut self, time: i64) {
        let spec = Spec::new("session_started", "data_access", "WebSessionData", time);
        let payload = data_access::session_info(time, self.visit.device);
        self.put(spec.route(Route::Files), payload);
    }

    pub(crate) fn da_page(&mut self, time: i64, url: &str) {
        let spec = Spec::new(
            "page_viewed",
            "data_access",
            "WebSessionNavigationData",
            time,
        );
        let payload = data_access::navigation(time, url, &["loans", "lang-english"]);
        self.put(spec.route(Route::Files), payload);
    }

    /// An attribute as the files of the session repeat it.
    pub(crate) fn da_marketing(&mut self, time: i64, channel: i64, campaign: &str) {
        let spec = Spec::new(
            "sde_reported",
            "data_access",
            "WebSessionEngAttrsData",
            time,
        );
        let payload = data_access::marketing(time, channel, campaign);
        self.put(spec.route(Route::Files), payload);
    }

    // ---- monitored: Visit Information ----

    /// The visit as the monitoring system still holds it, asked for at `time`: its session, its
    /// pages, the offers that were shown and which of them were accepted.
    pub(crate) fn snapshot(
        &mut self,
        time: i64,
        start: i64,
        page: &str,
        offers: &[visit::Offer<'_>],
    ) {
        let clicks = offers.iter().filter(|o| o.accepted.is_some()).count();
        let events = 2 + offers.len() + clicks;
        let spec = Spec {
            events: u32::try_from(events).unwrap_or(u32::MAX),
            ..Spec::new("session_started", "visit_info", "state", time)
        };
        let told = visit::Snapshot {
            session: &self.visit.session_raw,
            start,
            page,
            offers,
            device: self.visit.device,
        };
        self.put(spec, visit::snapshot(&told));
    }

    /// All engagements belong to one campaign.
    pub(crate) fn eligible(&mut self, time: i64, engagements: &[&Engagement], group: &str) {
        let spec = Spec {
            events: u32::try_from(engagements.len()).unwrap_or(u32::MAX),
            route: Route::Files,
            ..Spec::new(
                "engagement_eligible",
                "data_access",
                "WebSessionEligibilityData",
                time,
            )
        };
        self.put(spec, data_access::eligibility(time, engagements, group));
    }

    /// `kind` is Show, Accept, Close or Timeout.
    pub(crate) fn da_impression(&mut self, time: i64, kind: &str, e: &Engagement, at: Shown<'_>) {
        let event_type = match kind {
            "Show" => "engagement_impression",
            "Accept" => "engagement_click",
            "Close" => "engagement_declined",
            _ => "engagement_timeout",
        };
        let state = match (e.content, at.state) {
            (true, _) => "content",
            (_, 1) => "chatonline",
            (_, 2) => "chatoffline",
            _ => "4",
        };
        let spec = Spec::new(event_type, "data_access", kind, time).context(at.context);
        let payload = data_access::impression(time, kind, e, at.context, state);
        self.put(spec.route(Route::Files), payload);
    }

    /// Type 1 pre-chat, 2 exit, 3 agent, 4 offline.
    pub(crate) fn survey(&mut self, time: i64, id: i64, kind: i64, chat_key: Option<&str>) {
        let spec = Spec::new("survey_event", "data_access", "SurveyData", time);
        let payload = data_access::survey(id, kind, time - 9_000, time, chat_key);
        self.put(spec.route(Route::Files), payload);
    }

    pub(crate) fn url_goal(&mut self, time: i64, id: &str, goal: i64) {
        let spec = Spec::new(
            "goal_reached",
            "data_access",
            "WebSessionGoalAchievedData",
            time,
        );
        self.put(
            spec.route(Route::Files),
            data_access::url_goal(id, time, goal),
        );
    }
}

/// Where an offer stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) context: u32,
    pub(crate) page: &'a str,
    /// Agents: 1 online, 2 offline, 4 busy.
    pub(crate) state: i64,
}

/// How several chat events arrive together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Polled<'a> {
    pub(crate) system: &'a str,
    pub(crate) event: &'a str,
    pub(crate) state: &'a str,
    /// Index, text and reject reason of an unreadable entry.
    pub(crate) bad: Option<(usize, &'a str, &'static str)>,
}
