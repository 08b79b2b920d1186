//! Ways in which Weir could once be stopped, each as the smallest reproduction, with its number.

use std::time::Duration;

use crate::case::Case;

mod input;
mod listeners;
mod process;
mod rules;
mod sinks;
mod storage;
mod time;

/// All cases, by number.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        time::cases(),
        sinks::cases(),
        storage::cases(),
        listeners::cases(),
        rules::cases(),
        input::cases(),
        process::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let number = |case: &Case| {
        let digits: String = case
            .name
            .chars()
            .skip(1)
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse::<u32>().unwrap_or(0)
    };
    cases.sort_by_key(number);
    cases
}

/// A duration for a table.
fn seconds(duration: Option<Duration>) -> String {
    duration.map_or("never".to_owned(), |duration| {
        format!("{:.1} s", duration.as_secs_f64())
    })
}
