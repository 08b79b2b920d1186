//! `Zone`: conversion between local time and UTC.

use chrono::{DateTime, Days, LocalResult, NaiveDateTime, Offset, TimeZone};

/// The time zone for times that are written without an offset.
///
/// A local time that occurs twice (clocks went back) is read as its first occurrence. A local time
/// that does not exist (clocks went forward) is read with the offset from before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(chrono_tz::Tz);

impl Zone {
    pub const UTC: Self = Self(chrono_tz::Tz::UTC);

    /// Reads an IANA name, such as `Europe/Berlin`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    pub(super) fn to_utc(self, local_s: i64) -> Option<i64> {
        if self == Self::UTC {
            return Some(local_s);
        }
        let local = naive(local_s)?;
        let offset = match self.0.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
            LocalResult::None => {
                let before = local.checked_sub_days(Days::new(1))?;
                self.0.offset_from_utc_datetime(&before)
            }
        };
        Some(local_s - i64::from(offset.fix().local_minus_utc()))
    }

    pub(super) fn to_local(self, utc_s: i64) -> Option<i64> {
        if self == Self::UTC {
            return Some(utc_s);
        }
        let offset = self.0.offset_from_utc_datetime(&naive(utc_s)?);
        Some(utc_s + i64::from(offset.fix().local_minus_utc()))
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}
