//! `Zone`: conversion between local time and UTC.

use chrono::{DateTime, Days, LocalResult, NaiveDateTime, Offset, TimeZone};
use weir_schema::ReceiveTime;

use super::NS;

/// The time zone for times that are written without an offset.
///
/// A local time that occurs twice (clocks went back) is the one nearer to receipt, the first without
/// a receipt. A local time that does not exist (clocks went forward) is read with the offset from
/// before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    tz: chrono_tz::Tz,
    /// Receipt in seconds since 1970.
    received_s: Option<i64>,
}

impl Zone {
    pub const UTC: Self = Self {
        tz: chrono_tz::Tz::UTC,
        received_s: None,
    };

    /// Reads an IANA name, such as `Europe/Berlin`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let tz = name.parse().ok()?;
        Some(Self {
            tz,
            received_s: None,
        })
    }

    /// Returns the zone for a frame received at this time.
    pub(crate) fn received_at(self, received: ReceiveTime) -> Self {
        Self {
            received_s: Some(received.0.div_euclid(NS)),
            ..self
        }
    }

    fn is_utc(self) -> bool {
        self.tz == chrono_tz::Tz::UTC
    }

    pub(super) fn to_utc(self, local_s: i64) -> Option<i64> {
        if self.is_utc() {
            return Some(local_s);
        }
        let local = naive(local_s)?;
        let utc = |offset: <chrono_tz::Tz as TimeZone>::Offset| {
            local_s - i64::from(offset.fix().local_minus_utc())
        };
        match self.tz.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) => Some(utc(offset)),
            LocalResult::Ambiguous(first, second) => {
                let received = self.received_s.unwrap_or(i64::MIN);
                let distance = |utc: &i64| utc.abs_diff(received);
                [utc(first), utc(second)].into_iter().min_by_key(distance)
            }
            LocalResult::None => {
                let before = local.checked_sub_days(Days::new(1))?;
                Some(utc(self.tz.offset_from_utc_datetime(&before)))
            }
        }
    }

    pub(super) fn to_local(self, utc_s: i64) -> Option<i64> {
        if self.is_utc() {
            return Some(utc_s);
        }
        let offset = self.tz.offset_from_utc_datetime(&naive(utc_s)?);
        Some(utc_s + i64::from(offset.fix().local_minus_utc()))
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}
