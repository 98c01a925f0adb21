//! The calendar, for dates in the record. Durations are never taken from here: they come from monotonic clocks.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, as `2026-11-24T01:02:03Z`.
pub fn now_utc() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    utc(seconds)
}

/// Now to the millisecond, as `2026-11-24T01:02:03.456Z`: what begins within one second has an order.
pub fn now_utc_ms() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    utc_ms(now.as_secs(), now.subsec_millis())
}

fn utc_ms(seconds: u64, ms: u32) -> String {
    format!("{}.{ms:03}Z", utc(seconds).trim_end_matches('Z'))
}

/// Seconds since 1970 as a date and time in UTC (algorithm `civil_from_days` of H. Hinnant, "chrono-compatible
/// low-level date algorithms").
fn utc(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let time = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::{utc, utc_ms};

    #[test]
    fn known_dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_482_123), "2026-11-24T01:02:03Z");
        assert_eq!(utc_ms(1_795_482_123, 7), "2026-11-24T01:02:03.007Z");
    }
}
