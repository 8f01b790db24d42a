//! Times as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970 as RFC 3339, in UTC.
#[must_use]
pub(crate) fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// Seconds since 1970 as kubeadm shows an end of validity: `Nov 24, 2026 10:00 UTC`.
#[must_use]
pub(crate) fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| seconds.to_string(),
        |time| {
            let month: String = time.month().to_string().chars().take(3).collect();
            format!(
                "{month} {:02}, {} {:02}:{:02} UTC",
                time.day(),
                time.year(),
                time.hour(),
                time.minute()
            )
        },
    )
}

/// A period in its largest unit, as kubeadm shows residual time: `9y`, `23d`, `15h`, `59m`, `5s`.
#[must_use]
pub(crate) fn residual(seconds: i64) -> String {
    const UNITS: [(i64, char); 4] = [(31_536_000, 'y'), (86_400, 'd'), (3600, 'h'), (60, 'm')];
    if seconds < 0 {
        return "<invalid>".to_owned();
    }
    UNITS.iter().find(|(unit, _)| seconds >= *unit).map_or_else(
        || format!("{seconds}s"),
        |(unit, letter)| format!("{}{letter}", seconds.checked_div(*unit).unwrap_or(0)),
    )
}

#[cfg(test)]
mod tests {
    use super::{date, residual, rfc3339};

    // GNU date is where these come from: date -u -d @1795514400.
    #[test]
    fn times_are_those_of_gnu_date() {
        assert_eq!(rfc3339(1_795_514_400), "2026-11-24T10:00:00Z");
        assert_eq!(date(1_795_514_400), "Nov 24, 2026 10:00 UTC");
        assert_eq!(date(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn periods_are_in_their_largest_unit() {
        for (seconds, shown) in [
            (-1, "<invalid>"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (86_399, "23h"),
            (86_400, "1d"),
            (365 * 86_400, "1y"),
        ] {
            assert_eq!(residual(seconds), shown);
        }
    }
}
