//! The local day of an instant in the time zone of its account.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Offset};
use chrono_tz::Tz;

use super::intern::{Interner, Sym};

const DAY_US: i64 = 86_400_000_000;
/// Offsets from UTC change at multiples of a quarter of an hour only.
const QUARTER_US: i64 = 900_000_000;

/// The time zones of the accounts.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    zones: HashMap<Sym, Tz>,
    /// Account and quarter of an hour that were asked last, with their offset in microseconds.
    last: Option<((Sym, i64), i64)>,
}

impl Calendar {
    pub(crate) fn new(zones: &BTreeMap<String, Tz>, texts: &mut Interner) -> Self {
        let zones = zones
            .iter()
            .map(|(account, zone)| (texts.intern(account), *zone))
            .collect();
        Self { zones, last: None }
    }

    pub(crate) fn zone(&self, account: Sym) -> Tz {
        self.zones.get(&account).copied().unwrap_or(Tz::UTC)
    }

    /// Days since 1970 of the local day at `time` (microseconds since 1970 in UTC).
    pub(crate) fn local_day(&mut self, account: Sym, time: i64) -> i32 {
        let local = time.saturating_add(self.offset(account, time));
        i32::try_from(local.div_euclid(DAY_US)).unwrap_or(i32::MAX)
    }

    fn offset(&mut self, account: Sym, time: i64) -> i64 {
        let key = (account, time.div_euclid(QUARTER_US));
        if let Some((last, offset)) = self.last
            && last == key
        {
            return offset;
        }
        let zone = self.zone(account);
        let offset = DateTime::from_timestamp_micros(time).map_or(0, |instant| {
            let local = instant.with_timezone(&zone);
            i64::from(local.offset().fix().local_minus_utc()) * 1_000_000
        });
        self.last = Some((key, offset));
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_changes_at_local_midnight_on_both_sides_of_a_clock_change() {
        let mut texts = Interner::new();
        let zones = BTreeMap::from([("a".to_owned(), Tz::Europe__Berlin)]);
        let mut calendar = Calendar::new(&zones, &mut texts);
        let account = texts.intern("a");
        let mut day = |text: &str| {
            let time = DateTime::parse_from_rfc3339(text)
                .expect("time")
                .timestamp_micros();
            let day = calendar.local_day(account, time);
            chrono::NaiveDate::from_epoch_days(day)
                .expect("date")
                .to_string()
        };
        assert_eq!(day("2024-03-30T22:59:59Z"), "2024-03-30");
        assert_eq!(day("2024-03-30T23:00:00Z"), "2024-03-31");
        // Summer time began on the 31st.
        assert_eq!(day("2024-03-31T21:59:59Z"), "2024-03-31");
        assert_eq!(day("2024-03-31T22:00:00Z"), "2024-04-01");
    }
}
