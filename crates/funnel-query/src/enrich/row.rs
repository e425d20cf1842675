//! One event as the rules see it: only what they read or write, in numbers.

use super::intern::{NULL, Sym};

/// Stable numbers of the event types that the rules name.
pub(crate) mod code {
    pub(crate) const SESSION_STARTED: i16 = 1;
    pub(crate) const PAGE_VIEWED: i16 = 2;
    pub(crate) const RETRIEVED: i16 = 4;
    pub(crate) const START: i16 = 5;
    pub(crate) const REMOVED: i16 = 11;
    pub(crate) const CLICK: i16 = 20;
    pub(crate) const AVAILABILITY: i16 = 30;
    pub(crate) const AUTHENTICATED: i16 = 31;
    pub(crate) const WINDOW: i16 = 32;
    pub(crate) const REQUESTED: i16 = 33;
    pub(crate) const CONNECTED: i16 = 34;
    pub(crate) const LINE: i16 = 35;
    pub(crate) const INTERACTIVE: i16 = 36;
    pub(crate) const TRANSFERRED: i16 = 37;
    pub(crate) const ENDED: i16 = 39;
    pub(crate) const SURVEY: i16 = 40;
    pub(crate) const SDE: i16 = 50;
}

/// Where an event was seen, as far as the rules tell sources apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The service or client that took part: APIs and SDK callbacks.
    Live,
    /// The page: Web Tag events.
    Page,
    DataAccess,
    History,
    VisitInfo,
}

impl Source {
    pub(crate) fn of(source_system: &str) -> Self {
        match source_system {
            "web_tag" => Self::Page,
            "data_access" => Self::DataAccess,
            "engagement_history" => Self::History,
            "visit_info" => Self::VisitInfo,
            _ => Self::Live,
        }
    }

    /// Priority among copies of one fact; 0 is what was seen live.
    pub(crate) fn tier(self) -> u8 {
        match self {
            Self::Live | Self::Page => 0,
            Self::DataAccess => 1,
            Self::History => 2,
            Self::VisitInfo => 3,
        }
    }
}

/// Why a row is a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicate {
    EventId,
    Near,
    Source,
    Form,
}

impl Duplicate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::Near => "near",
            Self::Source => "source",
            Self::Form => "form",
        }
    }
}

/// How a row found its offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    Exact,
    Chat,
    Context,
    Click,
    Time,
    None,
}

impl Join {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Chat => "chat",
            Self::Context => "context",
            Self::Click => "click",
            Self::Time => "time",
            Self::None => "none",
        }
    }
}

/// Which flow a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Monitored,
    Unmonitored,
    Unknown,
}

impl Flow {
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "monitored" => Self::Monitored,
            "unmonitored" => Self::Unmonitored,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monitored => "monitored",
            Self::Unmonitored => "unmonitored",
            Self::Unknown => "unknown",
        }
    }
}

/// What a row says about its chat, whatever its event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Nothing,
    /// The call that asks for a chat, on the caller's clock.
    Call,
    Requested,
    Connected,
    VisitorLine,
    OtherLine,
    Interactive,
    /// The chat goes back to a queue: the next leg begins.
    Transferred,
    /// The chat goes to another account: no leg of ours begins.
    Forwarded,
    Ended,
}

/// Answer to an engagement request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Unsaid,
    Available,
    NotAvailable,
    Error,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Where the other columns stand: batch and row in it.
    pub(crate) at: (u32, u32),
    pub(crate) id: u128,
    pub(crate) code: i16,
    pub(crate) source: Source,
    pub(crate) system: Sym,
    pub(crate) flow: Flow,
    pub(crate) account: Sym,
    pub(crate) visitor: Sym,
    pub(crate) session: Sym,
    pub(crate) context: Sym,
    pub(crate) page: Sym,
    pub(crate) campaign: Option<i64>,
    pub(crate) engagement: Option<i64>,
    pub(crate) revision: Option<i32>,
    pub(crate) agent_state: Option<i16>,
    pub(crate) availability: Availability,
    pub(crate) valid_for_seconds: Option<i32>,
    pub(crate) chat_key: Sym,
    pub(crate) chat_session: Sym,
    pub(crate) auth_conversation: Sym,
    pub(crate) participant: Sym,
    pub(crate) sequence: Option<i32>,
    pub(crate) form: Form,
    pub(crate) line_seq: Option<i64>,
    /// Separates what may stand side by side: kind of attribute or survey.
    pub(crate) variety: Sym,
    pub(crate) is_conversion: bool,
    pub(crate) time: i64,
    pub(crate) received: i64,
    /// The earliest time among the copies with the same event id.
    pub(crate) first_time: i64,

    // What the rules find out.
    pub(crate) duplicate: Option<Duplicate>,
    pub(crate) derived: bool,
    pub(crate) join: Option<Join>,
    pub(crate) stale: Option<bool>,
    pub(crate) state: Option<i16>,
    pub(crate) session_start: Option<i64>,
    /// Number of the chat among all chats of the input, from 1; 0 is none.
    pub(crate) chat: u32,
    pub(crate) conversation: Sym,
    pub(crate) leg: Option<i32>,
    pub(crate) was_connected: Option<bool>,
    /// For an answer `NotAvailable`: which one of the session, from 1.
    pub(crate) unavailable: u32,
}

impl Row {
    /// Kept so far: no duplicate of any kind.
    pub(crate) fn is_kept(&self) -> bool {
        self.duplicate.is_none()
    }

    /// Names the chat itself, not only the visitor who authenticated for it.
    pub(crate) fn has_chat_id(&self) -> bool {
        self.chat_key != NULL || self.chat_session != NULL
    }

    /// What is shown or answered to a visitor, before any chat.
    pub(crate) fn is_display(&self) -> bool {
        (code::START..=code::REMOVED).contains(&self.code) || self.code == code::CLICK
    }

    /// Belongs to an offer by its nature.
    pub(crate) fn is_offer_row(&self) -> bool {
        self.code == code::RETRIEVED || self.is_display() || self.is_chat_row()
    }

    pub(crate) fn is_chat_row(&self) -> bool {
        (code::AVAILABILITY..=code::ENDED).contains(&self.code)
    }

    /// Campaign, engagement and revision of `other` do not contradict those of this row.
    pub(crate) fn same_engagement(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            }
        }
        agree(self.campaign, other.campaign)
            && agree(self.engagement, other.engagement)
            && agree(self.revision, other.revision)
    }

    /// The order of rows that nothing else orders; independent of their arrival.
    pub(crate) fn chronology(&self) -> (i64, i16, u128) {
        (self.time, self.code, self.id)
    }
}
