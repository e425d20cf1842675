//! Where the days of a time zone begin.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The first instant of `day` in `zone`.
pub fn begins_at(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.and_time(NaiveTime::MIN);
    let local = match zone.from_local_datetime(&midnight) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time,
        // Where clocks jump over midnight, the day begins when they land.
        LocalResult::None => zone
            .from_local_datetime(&(midnight + TimeDelta::hours(1)))
            .earliest()?,
    };
    Some(local.to_utc())
}

/// The first instant after `day` in `zone`.
pub fn ends_at(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    begins_at(day.succ_opt()?, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_across_clock_changes() {
        let day = |text: &str| text.parse().unwrap();
        let hours = |text: &str, zone: Tz| {
            let (from, to) = (begins_at(day(text), zone), ends_at(day(text), zone));
            (to.unwrap() - from.unwrap()).num_hours()
        };
        assert_eq!(hours("2024-03-30", Tz::Europe__Berlin), 24);
        assert_eq!(hours("2024-03-31", Tz::Europe__Berlin), 23);
        assert_eq!(hours("2024-10-27", Tz::Europe__Berlin), 25);
        // Midnight does not exist in Cairo on this day; in Havana it comes twice on that one.
        assert_eq!(hours("2024-04-26", Tz::Africa__Cairo), 23);
        assert_eq!(hours("2024-11-03", Tz::America__Havana), 25);
    }
}
