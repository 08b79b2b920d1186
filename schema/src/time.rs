//! Instants and spans in nanoseconds, UTC. Event time and time of receipt are different types.

use serde::{Deserialize, Serialize};

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub i64);

        impl $name {
            /// Before every instant that an event can have.
            pub const MIN: Self = Self(i64::MIN);
            /// After every instant that an event can have.
            pub const MAX: Self = Self(i64::MAX);

            /// The instant `span` earlier; saturates.
            #[must_use]
            pub const fn minus(self, span: Span) -> Self {
                Self(self.0.saturating_sub(span.0))
            }

            /// The instant `span` later; saturates.
            #[must_use]
            pub const fn plus(self, span: Span) -> Self {
                Self(self.0.saturating_add(span.0))
            }

            /// The span from `earlier` to this instant; stops at the longest span.
            #[must_use]
            pub const fn since(self, earlier: Self) -> Span {
                Span(self.0.saturating_sub(earlier.0))
            }

            /// The instant one nanosecond later; stops at the end of time.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The instant one nanosecond earlier; stops at the start of time.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }
    };
}

instant! {
    /// When an event happened, according to its source: nanoseconds since 1970-01-01T00:00:00Z.
    EventTime
}
instant! {
    /// When Weir received a frame, by the clock of the receiving machine: nanoseconds since 1970.
    ReceiveTime
}

/// A length of time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span(pub i64);

impl Span {
    pub const ZERO: Self = Self(0);
    pub const SECOND: Self = Self(1_000_000_000);

    /// `n` seconds; saturates.
    #[must_use]
    pub const fn seconds(n: i64) -> Self {
        Self(n.saturating_mul(1_000_000_000))
    }

    /// This span `n` times; stops at the longest span.
    #[must_use]
    pub const fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// Parses `500ms`, `15s`, `10m`, `24h`, `7d`; `None` for other text and on overflow.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(at);
        let unit_ns: i64 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        number.parse::<i64>().ok()?.checked_mul(unit_ns).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn parse_spans() {
        assert_eq!(Span::parse("15s"), Some(Span::seconds(15)));
        assert_eq!(Span::parse("10m"), Some(Span::seconds(600)));
        assert_eq!(Span::parse("500ms"), Some(Span(500_000_000)));
        for bad in ["", "s", "10", "10x", "-1s", "99999999999d", "1 s"] {
            assert_eq!(Span::parse(bad), None, "{bad:?}");
        }
    }
}
