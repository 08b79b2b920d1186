//! `weir state`: shows and repairs what a data folder holds besides events.

mod clock;
mod stretches;

use std::process::ExitCode;

use anyhow::Result;

use crate::verbs::overrides::ServerDefaults;

/// Show or repair the state of a folder on which no server runs.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    #[command(subcommand)]
    part: StatePart,
}

#[derive(Debug, clap::Subcommand)]
enum StatePart {
    Clock(clock::ClockArgs),
}

/// Shows or repairs a part of the state.
pub fn state(args: &StateArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    match &args.part {
        StatePart::Clock(args) => clock::clock(args, defaults),
    }
}
