//! Seconds since 1970 as the compiler's date and time. Nothing here looks at the machine's clock.

use typst::foundations::Datetime;

const DAY: i64 = 86_400;

/// The date and time in UTC; `None` for years that the compiler does not know.
pub fn utc(epoch: i64) -> Option<Datetime> {
    let (year, month, day) = date(epoch.div_euclid(DAY))?;
    let second = epoch.rem_euclid(DAY);
    let part = |value: i64| u8::try_from(value).ok();
    Datetime::from_ymd_hms(year, month, day, part(second / 3600)?, part(second / 60 % 60)?, part(second % 60)?)
}

/// Year, month and day of a number of days since 1970-01-01, in years that begin in March, so that the leap day is the
/// last one (H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn date(days: i64) -> Option<(i32, u8, u8)> {
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (-1, (1969, 12, 31)), (11_016, (2000, 2, 29)), (20_781, (2026, 11, 24))]
        {
            assert_eq!(date(days), Some(expected));
        }
    }

    #[test]
    fn the_time_of_day_is_kept_before_1970_too() {
        let time = utc(-1).unwrap();
        assert_eq!((time.hour(), time.minute(), time.second()), (Some(23), Some(59), Some(59)));
        assert_eq!(utc(i64::MAX), None);
    }
}
