//! The closed lists of the model: event types, flows, sources of time.

/// What happened. The codes are stable; a record with another name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum EventType {
    #[default]
    SessionStarted,
    PageViewed,
    EngagementEligible,
    EngagementRetrieved,
    EngagementStart,
    EngagementRendered,
    EngagementImpression,
    EngagementExpanded,
    EngagementTimeout,
    EngagementDeclined,
    EngagementRemoved,
    EngagementClick,
    AvailabilityChecked,
    ChatAuthenticated,
    ChatWindowState,
    ChatRequested,
    ChatConnected,
    ChatLine,
    ChatInteractive,
    ChatTransferred,
    ChatResumeFailed,
    ChatEnded,
    SurveyEvent,
    SdeReported,
    GoalReached,
}

/// Every event type with its name and code, in code order.
const EVENT_TYPES: [(EventType, &str, i16); 25] = [
    (EventType::SessionStarted, "session_started", 1),
    (EventType::PageViewed, "page_viewed", 2),
    (EventType::EngagementEligible, "engagement_eligible", 3),
    (EventType::EngagementRetrieved, "engagement_retrieved", 4),
    (EventType::EngagementStart, "engagement_start", 5),
    (EventType::EngagementRendered, "engagement_rendered", 6),
    (EventType::EngagementImpression, "engagement_impression", 7),
    (EventType::EngagementExpanded, "engagement_expanded", 8),
    (EventType::EngagementTimeout, "engagement_timeout", 9),
    (EventType::EngagementDeclined, "engagement_declined", 10),
    (EventType::EngagementRemoved, "engagement_removed", 11),
    (EventType::EngagementClick, "engagement_click", 20),
    (EventType::AvailabilityChecked, "availability_checked", 30),
    (EventType::ChatAuthenticated, "chat_authenticated", 31),
    (EventType::ChatWindowState, "chat_window_state", 32),
    (EventType::ChatRequested, "chat_requested", 33),
    (EventType::ChatConnected, "chat_connected", 34),
    (EventType::ChatLine, "chat_line", 35),
    (EventType::ChatInteractive, "chat_interactive", 36),
    (EventType::ChatTransferred, "chat_transferred", 37),
    (EventType::ChatResumeFailed, "chat_resume_failed", 38),
    (EventType::ChatEnded, "chat_ended", 39),
    (EventType::SurveyEvent, "survey_event", 40),
    (EventType::SdeReported, "sde_reported", 50),
    (EventType::GoalReached, "goal_reached", 51),
];

impl EventType {
    /// All event types, in code order.
    pub fn all() -> impl Iterator<Item = Self> {
        EVENT_TYPES.iter().map(|(event_type, _, _)| *event_type)
    }

    /// The name used on the wire and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        EVENT_TYPES[self as usize].1
    }

    /// The stable code.
    #[must_use]
    pub fn code(self) -> i16 {
        EVENT_TYPES[self as usize].2
    }

    /// The event type of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        EVENT_TYPES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(event_type, _, _)| *event_type)
    }

    /// Facts about one offer: from eligibility to click.
    #[must_use]
    pub fn is_offer(self) -> bool {
        (3..=20).contains(&self.code())
    }

    /// Facts about one chat.
    #[must_use]
    pub fn is_chat(self) -> bool {
        (30..=39).contains(&self.code())
    }
}

/// Whether the page of the event carries the Web Tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flow {
    Monitored,
    Unmonitored,
    #[default]
    Unknown,
}

impl Flow {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monitored => "monitored",
            Self::Unmonitored => "unmonitored",
            Self::Unknown => "unknown",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Monitored, Self::Unmonitored, Self::Unknown]
            .into_iter()
            .find(|flow| flow.as_str() == name)
    }
}

/// Whose clock the event time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimeSource {
    Server,
    #[default]
    Client,
    /// Neither: the event time was replaced or computed.
    Derived,
}

impl TimeSource {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Derived => "derived",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Server, Self::Client, Self::Derived]
            .into_iter()
            .find(|source| source.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_type_stands_at_its_own_place_of_the_list() {
        for (position, (event_type, name, _)) in EVENT_TYPES.iter().enumerate() {
            assert_eq!(*event_type as usize, position, "{name}");
            assert_eq!(EventType::from_name(name), Some(*event_type));
        }
    }
}
