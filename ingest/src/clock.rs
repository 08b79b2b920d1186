//! The clock of receive times: the wall clock, but not where it jumps against the time since boot.
//!
//! ```text
//!  wall clock ──┐             no jump: follow the wall clock
//!               ├─► compare ─► a jump: go on by the time since boot; after an hour believe it
//!  since boot ──┘             back again: as if nothing had been
//! ```
//!
//! A receive time that is wrong moves the watermark for good, and makes the graph blind. So a jump,
//! which a bad time server may cause, must not reach the journal before somebody could react to it.

use std::sync::{Mutex, PoisonError};

use weir_schema::clock::{CLOCK_DOUBT, CLOCK_JUMP_MIN, ClockJump, ClockJumpKind};
use weir_schema::{ReceiveTime, Span};

use crate::journal::{ReceiveClock, SystemClock};

/// Small steps within this time count together as one jump.
const DRIFT_OVER: Span = Span::seconds(60);

/// Jumps that wait to be journaled. A clock that jumps more often loses the older ones.
const JUMPS_WAITING_MAX: usize = 64;

/// Follows pairs of wall clock and time since boot. Pure.
#[derive(Debug)]
pub struct ClockFollower {
    /// Wall clock minus time since boot, as receive times have it.
    offset: i64,
    /// The offset when the present span of [`DRIFT_OVER`] began.
    base: i64,
    /// When it began.
    base_at: Span,
    doubt: Option<Doubt>,
}

/// A jump that is neither taken back nor believed.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Span,
    /// Wall clock minus time since boot after the jump.
    offset: i64,
}

impl ClockFollower {
    /// Begins with a wall clock that is believed.
    #[must_use]
    pub fn new(wall: ReceiveTime, boot: Span) -> Self {
        let offset = wall.0.saturating_sub(boot.0);
        Self {
            offset,
            base: offset,
            base_at: boot,
            doubt: None,
        }
    }

    /// The receive time at this reading of both clocks, and the jump that it shows.
    pub fn read(&mut self, wall: ReceiveTime, boot: Span) -> (ReceiveTime, Option<ClockJump>) {
        let offset = wall.0.saturating_sub(boot.0);
        let before = ReceiveTime(boot.0.saturating_add(self.offset));
        let kind = match self.doubt {
            None => self.follow(offset, boot),
            Some(doubt) => self.doubt_further(doubt, offset, boot),
        };
        let received = ReceiveTime(boot.0.saturating_add(self.offset));
        let jump = kind.map(|kind| ClockJump {
            kind,
            before,
            after: wall,
            received,
        });
        (received, jump)
    }

    /// Whether a jump is neither taken back nor believed.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubt.is_some()
    }

    fn follow(&mut self, offset: i64, boot: Span) -> Option<ClockJumpKind> {
        if is_jump(offset, self.base) {
            self.doubt = Some(Doubt {
                since: boot,
                offset,
            });
            return Some(ClockJumpKind::Doubted);
        }
        self.offset = offset;
        if boot.0.saturating_sub(self.base_at.0) >= DRIFT_OVER.0 {
            (self.base, self.base_at) = (offset, boot);
        }
        None
    }

    fn doubt_further(&mut self, doubt: Doubt, offset: i64, boot: Span) -> Option<ClockJumpKind> {
        if !is_jump(offset, self.base) {
            self.believe(offset, boot);
            return Some(ClockJumpKind::TakenBack);
        }
        if is_jump(offset, doubt.offset) {
            self.doubt = Some(Doubt {
                since: boot,
                offset,
            });
            return Some(ClockJumpKind::Doubted);
        }
        if boot.0.saturating_sub(doubt.since.0) >= CLOCK_DOUBT.0 {
            self.believe(offset, boot);
            return Some(ClockJumpKind::Believed);
        }
        None
    }

    fn believe(&mut self, offset: i64, boot: Span) {
        (self.offset, self.base, self.base_at) = (offset, offset, boot);
        self.doubt = None;
    }
}

fn is_jump(offset: i64, from: i64) -> bool {
    offset.abs_diff(from) > CLOCK_JUMP_MIN.0.unsigned_abs()
}

/// The clock of a running server. Share it: it notices a jump when it is read.
#[derive(Debug)]
pub struct SteadyClock(Mutex<SteadyState>);

#[derive(Debug)]
struct SteadyState {
    follower: ClockFollower,
    jumps: Vec<ClockJump>,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self(Mutex::new(SteadyState {
            follower: ClockFollower::new(SystemClock.now(), since_boot()),
            jumps: Vec::new(),
        }))
    }
}

impl SteadyClock {
    /// Reads both clocks, and takes the jumps that were noticed since the last call.
    #[must_use]
    pub fn take_jumps(&self) -> Vec<ClockJump> {
        let _ = self.now();
        std::mem::take(&mut self.lock().jumps)
    }

    /// Whether receive times differ from the wall clock, because it jumped.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.lock().follower.is_doubtful()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SteadyState> {
        // Its parts are replaced whole, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReceiveClock for SteadyClock {
    fn now(&self) -> ReceiveTime {
        let mut state = self.lock();
        let (received, jump) = state.follower.read(SystemClock.now(), since_boot());
        if let Some(jump) = jump {
            if state.jumps.len() >= JUMPS_WAITING_MAX {
                state.jumps.remove(0);
            }
            state.jumps.push(jump);
        }
        received
    }
}

/// The time since boot, which no setting of the wall clock changes and which runs while suspended.
fn since_boot() -> Span {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Span(
        time.tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400;

    /// Reads the clock every quarter second for `seconds`, with the wall clock `ahead` of where it
    /// would be. Returns the kinds of the jumps, and checks that receive times are `told` ahead.
    fn run(
        follower: &mut ClockFollower,
        from: &mut i64,
        seconds: i64,
        ahead: i64,
        told: i64,
    ) -> Vec<ClockJumpKind> {
        let mut kinds = Vec::new();
        for _ in 0..seconds * 4 {
            *from += SECOND / 4;
            let wall = ReceiveTime(WALL + *from + ahead * SECOND);
            let (received, jump) = follower.read(wall, Span(*from));
            assert_eq!(received.0, WALL + *from + told * SECOND);
            kinds.extend(jump.map(|jump| jump.kind));
        }
        kinds
    }

    const WALL: i64 = 1_900_000_000 * SECOND;

    fn follower() -> (ClockFollower, i64) {
        (ClockFollower::new(ReceiveTime(WALL), Span(0)), 0)
    }

    /// W2: a clock that is wrong once, by days or years either way, never reaches a receive time.
    #[test]
    fn a_jump_that_is_taken_back_changes_no_receive_time() {
        use ClockJumpKind::{Doubted, TakenBack};
        for ahead in [2 * DAY, -2 * DAY, 3_650 * DAY, 3, -3] {
            let (mut clock, mut at) = follower();
            assert_eq!(run(&mut clock, &mut at, 10, 0, 0), []);
            assert_eq!(run(&mut clock, &mut at, 3, ahead, 0), [Doubted], "{ahead}");
            assert!(clock.is_doubtful());
            assert_eq!(run(&mut clock, &mut at, 10, 0, 0), [TakenBack]);
            assert!(!clock.is_doubtful());
        }
    }

    #[test]
    fn a_jump_is_believed_after_an_hour_and_not_before() {
        use ClockJumpKind::{Believed, Doubted};
        let (mut clock, mut at) = follower();
        assert_eq!(run(&mut clock, &mut at, 3_600, 90, 0), [Doubted]);
        let wall = ReceiveTime(WALL + at + (90 * SECOND) + SECOND / 4);
        let (received, jump) = clock.read(wall, Span(at + SECOND / 4));
        let jump = jump.expect("it is believed");
        assert_eq!((received, jump.kind), (wall, Believed));
        assert_eq!(jump.size(), Span::seconds(90));
        at += SECOND / 4;
        assert_eq!(run(&mut clock, &mut at, 10, 90, 90), []);
    }

    #[test]
    fn another_jump_begins_the_hour_anew() {
        use ClockJumpKind::{Believed, Doubted};
        let (mut clock, mut at) = follower();
        assert_eq!(run(&mut clock, &mut at, 3_000, 90, 0), [Doubted]);
        assert_eq!(run(&mut clock, &mut at, 3_000, 180, 0), [Doubted]);
        assert!(clock.is_doubtful());
        assert_eq!(run(&mut clock, &mut at, 600, 180, 0), []);
        at += SECOND / 4;
        let (_, jump) = clock.read(ReceiveTime(WALL + at + 180 * SECOND), Span(at));
        assert_eq!(jump.map(|jump| jump.kind), Some(Believed));
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_one_that_creeps_is_not() {
        let (mut clock, mut at) = follower();
        // Time servers correct by at most 500 ppm.
        for second in 0..100_000 {
            at += SECOND;
            let wall = ReceiveTime(WALL + at + second * SECOND / 2_000);
            assert_eq!(clock.read(wall, Span(at)), (wall, None));
        }
        // A second more every second is a jump in small steps.
        let (mut clock, mut at) = follower();
        let kinds: Vec<_> = (0..5)
            .flat_map(|ahead| run(&mut clock, &mut at, 1, ahead, ahead.min(2)))
            .collect();
        assert!(kinds.contains(&ClockJumpKind::Doubted), "{kinds:?}");
    }
}
