//! What traffic to make.

use chrono::NaiveDate;
use thiserror::Error;

/// A simulation is wanted that cannot be made.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    #[error("cannot simulate {what} = {found}; {hint}")]
    OutOfRange {
        what: &'static str,
        found: String,
        hint: &'static str,
    },
}

/// Traffic, its amount and its mix. Shares lie between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub seed: u64,
    /// Sessions in all, returning visits included.
    pub sessions: u64,
    /// First day of new visits, UTC.
    pub start: NaiveDate,
    /// Days over which new visits are spread. Conversions may follow up to 45 days later.
    pub days: u32,
    pub accounts: u32,
    /// Sessions of the unmonitored flow.
    pub unmonitored: f64,
    /// Visitors who come back.
    pub returning: f64,
    /// Eligible sessions that are held back as a control group.
    pub control_group: f64,
    /// Clicks per shown online offer.
    pub click: f64,
    /// Queued visitors who leave before an agent comes.
    pub abandon: f64,
    /// Interactive chats that are passed on.
    pub transfer: f64,
    /// Unmonitored visitors who are logged in and must authenticate.
    pub authenticated: f64,
    /// Chats in LivePerson's default window, known by its window events.
    pub default_window: f64,
    pub disorder: Disorder,
}

/// What goes wrong between the source and the topic. Shares are per record, unless said.
#[derive(Debug, Clone, PartialEq)]
pub struct Disorder {
    /// Delivered twice, byte by byte.
    pub duplicates: f64,
    /// Delivered out of order, up to half a minute.
    pub shuffled: f64,
    /// Delivered one to five hours late.
    pub late: f64,
    /// Bad records per good one, spread over every reject reason.
    pub malformed: f64,
    pub tombstones: f64,
    /// Poll answers without an entry, per chat record.
    pub empty_polls: f64,
    /// Poll answers with one bad entry among good ones, per poll answer.
    pub bad_entries: f64,
    /// Double clicks and double-fired impressions, per event.
    pub near_duplicates: f64,
    /// Data Access and Engagement History copies of live data, per session or chat.
    pub copies: f64,
    /// Chats whose messages carry no visitor, per chat; they are found through the chat's ids.
    pub anonymous_chats: f64,
    /// Chats that belong to no offer at all, per session.
    pub unattributed: f64,
    /// Visitors whose impression messages never arrive. They come once and buy nothing.
    pub lost_impressions: f64,
    /// Visitors whose clock is days off.
    pub wrong_clocks: f64,
}

impl Default for Options {
    /// The visitors of [`Options::calm`] on a network where everything goes wrong now and then.
    fn default() -> Self {
        let mut options = Self::calm();
        options.disorder = Disorder::default();
        options
    }
}

impl Options {
    /// Realistic visitors on a network where nothing goes wrong.
    pub fn calm() -> Self {
        Self {
            seed: 1,
            sessions: 1_000,
            start: NaiveDate::from_ymd_opt(2024, 3, 4).unwrap_or_default(),
            days: 5,
            accounts: 3,
            unmonitored: 0.35,
            returning: 0.2,
            control_group: 0.08,
            click: 0.3,
            abandon: 0.15,
            transfer: 0.12,
            authenticated: 0.4,
            default_window: 0.15,
            disorder: Disorder::none(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let bad = |what, found: String, hint| Err(OptionsError::OutOfRange { what, found, hint });
        // The chats of all visitors must have numbers between 2^32 and 2^33.
        if self.sessions > 30_000_000 {
            return bad("sessions", self.sessions.to_string(), "at most 30000000");
        }
        if self.days == 0 || self.days > 25 {
            // Beyond that, returning visits could fall outside the attribution window by accident.
            return bad("days", self.days.to_string(), "1 to 25");
        }
        if self.accounts == 0 || self.accounts > 50 {
            return bad("accounts", self.accounts.to_string(), "1 to 50");
        }
        let d = &self.disorder;
        let shares = [
            ("unmonitored", self.unmonitored),
            ("returning", self.returning),
            ("control_group", self.control_group),
            ("click", self.click),
            ("abandon", self.abandon),
            ("transfer", self.transfer),
            ("authenticated", self.authenticated),
            ("default_window", self.default_window),
            ("duplicates", d.duplicates),
            ("shuffled", d.shuffled),
            ("late", d.late),
            ("malformed", d.malformed),
            ("tombstones", d.tombstones),
            ("empty_polls", d.empty_polls),
            ("bad_entries", d.bad_entries),
            ("near_duplicates", d.near_duplicates),
            ("copies", d.copies),
            ("anonymous_chats", d.anonymous_chats),
            ("unattributed", d.unattributed),
            ("lost_impressions", d.lost_impressions),
            ("wrong_clocks", d.wrong_clocks),
        ];
        for (what, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return bad(what, share.to_string(), "a share between 0 and 1");
            }
        }
        Ok(())
    }
}

impl Default for Disorder {
    fn default() -> Self {
        Self {
            duplicates: 0.03,
            shuffled: 0.3,
            late: 0.005,
            malformed: 0.004,
            tombstones: 0.001,
            empty_polls: 0.02,
            bad_entries: 0.03,
            near_duplicates: 0.03,
            copies: 0.25,
            anonymous_chats: 0.15,
            unattributed: 0.01,
            lost_impressions: 0.01,
            wrong_clocks: 0.01,
        }
    }
}

impl Disorder {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            duplicates: 0.0,
            shuffled: 0.0,
            late: 0.0,
            malformed: 0.0,
            tombstones: 0.0,
            empty_polls: 0.0,
            bad_entries: 0.0,
            near_duplicates: 0.0,
            copies: 0.0,
            anonymous_chats: 0.0,
            unattributed: 0.0,
            lost_impressions: 0.0,
            wrong_clocks: 0.0,
        }
    }
}
