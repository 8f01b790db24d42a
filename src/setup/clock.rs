//! The one clock of setup.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// The time as RFC 3339 has it, to the second.
pub(super) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc().truncate_to_second();
    now.format(&Rfc3339).unwrap_or_default()
}

/// The time, as a part of a file's name: `20261127T040000Z`.
pub(super) fn stamp() -> String {
    timestamp().replace(['-', ':'], "")
}
