//! The clock in the journal: what a start can know of jumps, the repairs, and jumps in words.

use weir_schema::clock::CLOCK_JUMP_MIN;
use weir_schema::{
    ClockJump, ClockJumpKind, ClockRepairs, Control, Entry, EventTime, ReceiveTime, Span,
};

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// A start so long after the last receive time is told: the clock may be wrong.
const FAR_AFTER: Span = Span::seconds(30 * 24 * 3_600);

/// The clock as the journal has it: the last receive time, and the repairs.
#[derive(Debug, Default)]
pub struct JournaledClock {
    /// The receive time of the last entry that has one.
    pub last: Option<ReceiveTime>,
    pub repairs: ClockRepairs,
    open: Vec<weir_schema::ClockRepair>,
}

impl JournaledClock {
    /// Follows an entry of the journal.
    pub fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::Batch(batch) => self.last = Some(batch.received),
            Entry::Control(Control::Start { received, .. } | Control::Tick { received }) => {
                self.last = Some(*received);
            }
            Entry::Control(Control::ClockRepair(repair)) => {
                self.last = Some(repair.received);
                self.open.push(*repair);
            }
            Entry::Control(_) => {}
            Entry::Seal { epoch } => {
                for repair in self.open.drain(..) {
                    self.repairs.push(*epoch, repair);
                }
            }
        }
    }

    /// Finds a jump while no server ran: `now` is before the last receive time, or long after it.
    #[must_use]
    pub fn jump_at_start(&self, now: ReceiveTime) -> Option<ClockJump> {
        let before = self.last?;
        let kind = if now.plus(CLOCK_JUMP_MIN) < before {
            ClockJumpKind::StartedBefore
        } else if before.plus(FAR_AFTER) < now {
            ClockJumpKind::StartedFarAfter
        } else {
            return None;
        };
        Some(ClockJump {
            kind,
            before,
            after: now,
            received: now,
        })
    }
}

/// A jump, and what Weir makes of it, in words.
#[must_use]
pub fn describe(jump: &ClockJump) -> String {
    let size = span_text(jump.size());
    let (before, after) = (time_text(jump.before), time_text(jump.after));
    match jump.kind {
        ClockJumpKind::Doubted => format!(
            "the wall clock jumped by {size}, from {before} to {after}; receive times go on by the \
             time since boot for an hour, unless it jumps back"
        ),
        ClockJumpKind::TakenBack => {
            format!("the wall clock jumped back to {after}: no receive time was wrong")
        }
        ClockJumpKind::Believed => format!(
            "the wall clock stays {size} from where it was, so receive times follow it from \
             {after} on; if it is wrong, set it right and see `weir state clock`"
        ),
        ClockJumpKind::StartedBefore => format!(
            "this run begins at {after}, {size} from the last receive time {before} in the \
             journal: the clock was wrong then, or is wrong now; see `weir state clock`"
        ),
        ClockJumpKind::StartedFarAfter => format!(
            "this run begins at {after}, {size} after the last receive time {before} in the \
             journal: Weir was off for so long, or the clock is wrong now"
        ),
    }
}

/// A receive time as people read it, in whole seconds.
#[must_use]
pub fn time_text(time: ReceiveTime) -> String {
    let within = time.0.rem_euclid(SECOND);
    weir_web::rfc3339(EventTime(time.0.saturating_sub(within)))
}

/// A span with its sign, in the two largest units that it has.
#[must_use]
pub fn span_text(span: Span) -> String {
    let sign = if span.0 < 0 { '-' } else { '+' };
    let seconds = (span.0.unsigned_abs() + SECOND.unsigned_abs() / 2) / SECOND.unsigned_abs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{rest}s"),
        (0, 0, minutes) => format!("{sign}{minutes}m{rest}s"),
        (0, hours, minutes) => format!("{sign}{hours}h{minutes}m"),
        (days, hours, _) => format!("{sign}{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_before_the_last_receive_time_is_certain_and_far_after_it_is_told() {
        let mut clock = JournaledClock::default();
        assert_eq!(clock.jump_at_start(ReceiveTime(0)), None);
        let received = ReceiveTime(Span::seconds(1_900_000_000).0);
        clock.follow(&Entry::Control(Control::Tick { received }));
        let kind = |seconds| {
            let jump = clock.jump_at_start(received.plus(Span::seconds(seconds)));
            jump.map(|jump| jump.kind)
        };
        assert_eq!(kind(-172_800), Some(ClockJumpKind::StartedBefore));
        assert_eq!(kind(-1), None);
        assert_eq!(kind(7 * 86_400), None);
        assert_eq!(kind(3_650 * 86_400), Some(ClockJumpKind::StartedFarAfter));
    }

    #[test]
    fn spans_have_a_sign_and_two_units() {
        for (seconds, text) in [
            (2, "+2s"),
            (-95, "-1m35s"),
            (7_260, "+2h1m"),
            (-172_799, "-1d23h"),
        ] {
            assert_eq!(span_text(Span::seconds(seconds)), text);
        }
    }
}
