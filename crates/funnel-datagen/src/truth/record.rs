//! What the simulator writes down while a visitor acts.

use std::collections::BTreeSet;

/// A stage of any funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Session,
    Prospect,
    OfferStarted,
    Rendered,
    EngagementRequested,
    Available,
    Exposed,
    Clicked,
    WindowReady,
    Rechecked,
    Authenticated,
    Requested,
    Connected,
    Interactive,
    Completed,
    Converted,
}

/// How an offer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Interactive,
    ConnectedNonInteractive,
    AbandonedInQueue,
    AuthFailed,
    UnavailableAtRecheck,
    ContentClicked,
    BlockedOffline,
    BlockedBusy,
    ClickNoRequest,
    Declined,
    TimedOut,
    Ignored,
    NotDisplayed,
    NotAvailable,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::ConnectedNonInteractive => "connected_non_interactive",
            Self::AbandonedInQueue => "abandoned_in_queue",
            Self::AuthFailed => "auth_failed",
            Self::UnavailableAtRecheck => "unavailable_at_recheck",
            Self::ContentClicked => "content_clicked",
            Self::BlockedOffline => "blocked_offline",
            Self::BlockedBusy => "blocked_busy",
            Self::ClickNoRequest => "click_no_request",
            Self::Declined => "declined",
            Self::TimedOut => "timed_out",
            Self::Ignored => "ignored",
            Self::NotDisplayed => "not_displayed",
            Self::NotAvailable => "not_available",
        }
    }
}

/// Something that happened, at the level where it happened: session, offer or conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) time: i64,
    pub(crate) step: Step,
    /// Index of the offer in its session.
    pub(crate) offer: Option<usize>,
    /// Index of the conversation in its session.
    pub(crate) conversation: Option<usize>,
}

/// One offer of a session: a context, or a refusal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferRecord {
    pub(crate) outcome: Outcome,
    pub(crate) connector: bool,
}

/// One stretch from a queue to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegRecord {
    pub(crate) connected: bool,
    pub(crate) interactive: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct ConversationRecord {
    pub(crate) offer: usize,
    pub(crate) legs: Vec<LegRecord>,
}

/// A purchase, lead or completed service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversion {
    pub(crate) time: i64,
    pub(crate) cents: i64,
}

/// One showing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) time: i64,
    pub(crate) engagement: i64,
    pub(crate) state: i64,
    pub(crate) content: bool,
}

/// All of one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionRecord {
    pub(crate) start: i64,
    pub(crate) prospect: bool,
    pub(crate) offers: Vec<OfferRecord>,
    pub(crate) conversations: Vec<ConversationRecord>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) views: Vec<View>,
    /// State of the agents and whether content was clicked.
    pub(crate) clicks: Vec<(i64, bool)>,
    pub(crate) conversions: Vec<Conversion>,
    pub(crate) stale_offers: u64,
}

impl SessionRecord {
    pub(crate) fn new(start: i64) -> Self {
        let mut record = Self {
            start,
            prospect: false,
            offers: Vec::new(),
            conversations: Vec::new(),
            facts: Vec::new(),
            views: Vec::new(),
            clicks: Vec::new(),
            conversions: Vec::new(),
            stale_offers: 0,
        };
        record.session_fact(start, Step::Session);
        record
    }

    fn session_fact(&mut self, time: i64, step: Step) {
        self.facts.push(Fact {
            time,
            step,
            offer: None,
            conversation: None,
        });
    }

    pub(crate) fn eligible(&mut self, time: i64) {
        self.prospect = true;
        self.session_fact(time, Step::Prospect);
    }

    /// A new offer; its outcome is what it is if nothing more happens.
    pub(crate) fn offer(&mut self, outcome: Outcome, connector: bool) -> usize {
        self.offers.push(OfferRecord { outcome, connector });
        self.offers.len() - 1
    }

    pub(crate) fn fact(&mut self, time: i64, step: Step, offer: usize) {
        self.facts.push(Fact {
            time,
            step,
            offer: Some(offer),
            conversation: None,
        });
    }

    pub(crate) fn shown(&mut self, view: View, offer: usize) {
        self.views.push(view);
        self.fact(view.time, Step::Exposed, offer);
        if self.offers[offer].outcome == Outcome::NotDisplayed {
            self.offers[offer].outcome = Outcome::Ignored;
        }
    }

    pub(crate) fn clicked(&mut self, time: i64, offer: usize, state: i64, content: bool) {
        self.clicks.push((state, content));
        self.fact(time, Step::Clicked, offer);
        self.offers[offer].outcome = match (content, state) {
            (true, _) => Outcome::ContentClicked,
            (_, 2) => Outcome::BlockedOffline,
            (_, 4) => Outcome::BlockedBusy,
            _ => Outcome::ClickNoRequest,
        };
    }

    pub(crate) fn conversation(&mut self, offer: usize) -> usize {
        self.conversations.push(ConversationRecord {
            offer,
            legs: Vec::new(),
        });
        self.conversations.len() - 1
    }

    pub(crate) fn chat_fact(&mut self, time: i64, step: Step, conversation: usize) {
        let offer = Some(self.conversations[conversation].offer);
        self.facts.push(Fact {
            time,
            step,
            offer,
            conversation: Some(conversation),
        });
    }

    /// Distinct engagements shown, by a choice of views.
    pub(crate) fn exposures(&self, choose: impl Fn(&View) -> bool) -> u64 {
        let distinct: BTreeSet<i64> = self
            .views
            .iter()
            .filter(|v| choose(v))
            .map(|v| v.engagement)
            .collect();
        distinct.len() as u64
    }

    pub(crate) fn engaged(&self) -> bool {
        self.clicks.iter().any(|(_, content)| *content)
            || self
                .conversations
                .iter()
                .any(|c| c.legs.iter().any(|l| l.interactive))
    }
}
