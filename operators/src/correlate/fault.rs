//! Planted faults: deliberate errors that the property tests must catch. Active in tests only.

/// A deliberate error in the correlator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedFault {
    /// A window excludes an event exactly one timespan before its anchor.
    OpenBound,
    /// Facts are forgotten up to the settled line, and not up to one timespan before it.
    FactsOnlyToLine,
    /// The settled part of an episode is not summarized.
    LostSummary,
    /// The row of an episode that no longer fires is not retracted.
    DroppedRetraction,
    /// Equal frames at different positions count once.
    MultiplicityIgnored,
    /// An anchor does not see all events of its own time.
    WrongTie,
    /// A cached window misses late events.
    StaleWindow,
    /// A value that has left the window still counts.
    ValueStays,
    /// A percentile between two values is the lower one.
    NoInterpolation,
    /// One event stands for two members of an ordered plan.
    EventTwice,
    /// An answer exactly at the end of the wait is refused as too late.
    AnswerAtTheBound,
    /// An absence is concluded before the watermark passes its window.
    EarlyConclusion,
    /// A fact that another plan retracts stays in the group.
    NeverTakenOut,
    /// A fact of several members counts for the first of them alone.
    FirstMemberOnly,
    /// A line that stands for several events counts once.
    WeightIgnored,
    /// The value of such a line counts once in sums, averages and percentiles.
    ValueOnce,
    /// A blind alert stays blind after its source is observed again.
    StaysBlind,
    /// An alert loses the mark of an event that is forgotten.
    MarkForgotten,
    /// A rule that is no correlation does not see an event before the settled line.
    LateIsLost,
    /// An event before the settled line joins the episodes of its group.
    LateJoins,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<PlantedFault>> = const { std::cell::Cell::new(None) };
}

/// Plants `fault` on this thread until the next call.
#[cfg(test)]
pub fn plant(fault: Option<PlantedFault>) {
    ACTIVE.set(fault);
}

/// Whether `fault` is planted. Always false outside tests.
#[cfg(test)]
pub fn active(fault: PlantedFault) -> bool {
    ACTIVE.get() == Some(fault)
}

/// Whether `fault` is planted. Always false outside tests.
#[cfg(not(test))]
pub const fn active(_fault: PlantedFault) -> bool {
    false
}
