//! `TimeCursor`: reads the parts of a written time.

use super::CivilTime;

/// A cursor over the digits and separators of a written time.
pub(crate) struct TimeCursor<'a>(pub &'a [u8]);

impl TimeCursor<'_> {
    pub fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(count)?;
        let mut number = 0u32;
        for byte in head {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number
                .checked_mul(10)?
                .checked_add(u32::from(byte - b'0'))?;
        }
        self.0 = tail;
        Some(number)
    }

    pub fn one_of(&mut self, separators: &[u8]) -> Option<u8> {
        let (first, tail) = self.0.split_first()?;
        separators.contains(first).then(|| {
            self.0 = tail;
            *first
        })
    }

    /// Reads the digits of a fraction as nanoseconds; digits beyond the ninth are ignored.
    pub fn nanos(&mut self) -> u32 {
        let (mut nano, mut unit) = (0, 100_000_000);
        while let Some((digit, tail)) = self.0.split_first().filter(|(b, _)| b.is_ascii_digit()) {
            nano += u32::from(digit - b'0') * unit;
            unit /= 10;
            self.0 = tail;
        }
        nano
    }

    /// Reads `YYYY-MM-DD HH:MM:SS[.f]`.
    pub(super) fn date_and_time(&mut self) -> Option<CivilTime> {
        let year = i64::from(self.digits(4)?);
        self.one_of(b"-/")?;
        let month = self.digits(2)?;
        self.one_of(b"-/")?;
        let day = self.digits(2)?;
        self.one_of(b"Tt ")?;
        self.time_of_day(year, month, day)
    }

    /// Reads `10/Oct/2000:13:55:36[.f]` or `10-Oct-2000 13:55:36[.f]`; the day may have one digit.
    pub fn day_month_year(&mut self) -> Option<CivilTime> {
        let day = self.digits(2).or_else(|| self.digits(1))?;
        self.one_of(b"/-")?;
        let month = month(self.0.get(..3)?)?;
        self.0 = self.0.get(3..)?;
        self.one_of(b"/-")?;
        let year = i64::from(self.digits(4)?);
        self.one_of(b": ")?;
        self.time_of_day(year, month, day)
    }

    /// Reads `HH:MM:SS[.f]` of the given day.
    pub fn time_of_day(&mut self, year: i64, month: u32, day: u32) -> Option<CivilTime> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        let nano = match self.one_of(b".,") {
            Some(_) => self.nanos(),
            None => 0,
        };
        Some(CivilTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            nano,
        })
    }

    /// Reads `Z`, `UTC`, `+hh:mm`, `+hhmm` or `+hh`, as seconds east of UTC.
    pub fn offset(&mut self) -> Option<i64> {
        if let Some(tail) = self.0.strip_prefix(b"UTC") {
            self.0 = tail;
            return Some(0);
        }
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2)?;
        let _ = self.one_of(b":");
        let minutes = if !self.0.first().is_some_and(u8::is_ascii_digit) {
            0
        } else {
            self.digits(2)?
        };
        (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }
}

/// Returns the number, 1 to 12, of an English month by its first three letters, in any case.
pub(crate) fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let at = NAMES
        .iter()
        .position(|month| name.eq_ignore_ascii_case(*month))?;
    u32::try_from(at + 1).ok()
}
