//! Planted faults: each is a way to be wrong that the properties must catch. Tests only.

/// A way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The window is open at its start.
    OpenBound,
    /// Facts are forgotten behind the settled line, not a window behind it.
    FactsOnlyToLine,
    /// The settled part of an episode is not kept.
    LostSummary,
    /// What no longer holds is not taken back.
    DroppedRetraction,
    /// Equal frames count once.
    MultiplicityIgnored,
    /// An anchor does not see all events of its own time.
    WrongTie,
    /// A window that is kept misses what comes late.
    StaleWindow,
    /// A value that has left the window still counts.
    ValueStays,
    /// A percentile takes the lower neighbour for what lies between two values.
    NoInterpolation,
    /// One event stands for two members of an order.
    EventTwice,
    /// What comes at the very end of the wait is too late.
    AnswerAtTheBound,
    /// An absence is concluded before the watermark is there.
    EarlyConclusion,
    /// What another plan takes back leaves alerts as they are.
    NeverTakenOut,
    /// A source that is heard again leaves what was blind as it is.
    StaysBlind,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Plants `fault` on this thread until the next call.
#[cfg(test)]
pub fn plant(fault: Option<Fault>) {
    ACTIVE.set(fault);
}

/// Whether `fault` is planted: never, outside of tests.
#[cfg(test)]
pub fn active(fault: Fault) -> bool {
    ACTIVE.get() == Some(fault)
}

/// Whether `fault` is planted: never, outside of tests.
#[cfg(not(test))]
pub const fn active(_fault: Fault) -> bool {
    false
}
