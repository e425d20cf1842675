//! The brand's own window before the chat: asking for an engagement, showing it, asking again.

use super::{Scribe, Shown, Spec};
use crate::payload::Engagement;
use crate::payload::app::{self, Answer, AuthIds};
use crate::scribe::Visit;

/// Who asked for the engagement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Server,
    Sdk,
    /// The Monitoring API, the messaging side's own.
    Monitoring,
}

impl Asked {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => ("app_engagement", "createSession"),
            Self::Sdk => ("chat_sdk", "onEngagement"),
            Self::Monitoring => ("monitoring_api", "engagement"),
        }
    }
}

/// Both ways to ask again whether an agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recheck {
    Availability(bool),
    Wait(i64),
}

impl Scribe<'_> {
    pub(crate) fn session_created(&mut self, time: i64, page: &str, source: Asked) {
        let device = self.visit.device;
        let payload = if source == Asked::Monitoring {
            self.reporter = "monitoring_api";
            app::monitoring_request(device, "trading")
        } else {
            app::create_session(device, "trading")
        };
        let (system, event) = source.names();
        self.put(
            Spec::new("session_started", system, event, time).page(page),
            payload,
        );
    }

    /// The answer to a request for an engagement: an offer, or none.
    pub(crate) fn retrieved(
        &mut self,
        time: i64,
        page: &str,
        source: Asked,
        offer: Option<(&Engagement, u32)>,
    ) {
        let (system, event) = source.names();
        let mut spec = Spec::new("engagement_retrieved", system, event, time).page(page);
        let answer = answer(self.visit, page);
        spec.context = offer.map(|(_, context)| context);
        let payload = match offer {
            _ if source == Asked::Monitoring => app::monitoring_answer(answer, offer, self.style),
            Some((e, context)) => app::available(answer, e, context, self.style),
            None => app::not_available(answer, self.style),
        };
        self.put(spec, payload);
    }

    pub(crate) fn account_loading(&mut self, time: i64) {
        let spec = Spec {
            without_session: true,
            ..Spec::new(
                "engagement_retrieved",
                "app_engagement",
                "createSession",
                time,
            )
        };
        let payload = app::loading(&self.visit.account, &self.visit.visitor, time);
        self.put(spec, payload);
    }

    /// `impDisplay`, `impAccept`, …; close and timeout carry no context.
    pub(crate) fn imp(&mut self, time: i64, kind: &str, e: &Engagement, at: Shown<'_>) {
        let (event_type, known) = match kind {
            "impDisplay" => ("engagement_impression", true),
            "impAccept" => ("engagement_click", true),
            "impExpanded" => ("engagement_expanded", false),
            "impTimeout" => ("engagement_timeout", false),
            _ => ("engagement_declined", false),
        };
        let mut spec = Spec::new(event_type, self.reporter, kind, time)
            .client()
            .page(at.page);
        spec.context = known.then_some(at.context);
        let payload = app::impression(kind, e, spec.context, self.style);
        self.put(spec, payload);
    }

    /// Accept and display in one body, in the order of LivePerson's sample.
    pub(crate) fn imp_accept_and_display(&mut self, time: i64, e: &Engagement, at: Shown<'_>) {
        let spec = Spec {
            events: 2,
            ..Spec::new(
                "engagement_impression",
                self.reporter,
                "updateSession",
                time,
            )
        };
        let entries = ["impAccept", "impDisplay"]
            .map(|kind| app::impression(kind, e, Some(at.context), self.style).end());
        let payload = app::update_session(at.page, &entries, self.style);
        self.put(spec.client().page(at.page).context(at.context), payload);
    }

    pub(crate) fn recheck(&mut self, time: i64, context: u32, skill: &str, free: Recheck) {
        let spec = match free {
            Recheck::Availability(_) => {
                Spec::new("availability_checked", "server_chat", "availability", time)
            }
            Recheck::Wait(_) => Spec::new(
                "availability_checked",
                "chat_sdk",
                "getEstimatedWaitTime",
                time,
            ),
        };
        let payload = match free {
            Recheck::Availability(yes) => app::availability(skill, yes),
            Recheck::Wait(seconds) => app::estimated_wait(skill, seconds),
        };
        self.put(spec.context(context), payload);
    }

    /// The page finds no chat to go on with.
    pub(crate) fn resume_failed(&mut self, time: i64, context: u32) {
        let spec = Spec::new("chat_resume_failed", "chat_sdk", "onState", time).context(context);
        self.put(spec, app::not_found(time));
    }

    pub(crate) fn authentication(
        &mut self,
        time: i64,
        context: u32,
        e: &Engagement,
        ids: Option<&AuthIds>,
    ) {
        let event = if ids.is_some() {
            "onAuthentication"
        } else {
            "onAuthenticationFail"
        };
        let spec = Spec::new("chat_authenticated", "chat_sdk", event, time).context(context);
        self.put(spec, app::authentication(e, context, ids, self.style));
    }
}

fn answer<'v>(visit: &'v Visit, page: &'v str) -> Answer<'v> {
    Answer {
        visitor: &visit.visitor,
        session: &visit.session,
        page,
    }
}
