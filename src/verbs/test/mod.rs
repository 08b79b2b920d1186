//! `weir test`: runs stories through the graph in many ways, and once through the oracle.

pub mod graph;
pub mod oracle;
mod rows;
mod story_files;
mod watermark;

pub use story_files::{StoryFile, read_stories};

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_story::{
    RunVariant, StepKind, Story, System, rewrite, run, variants_full, variants_quick,
};

use crate::console::{errln, outln};
use crate::exit::ExitError;
use crate::text::printable;
use graph::GraphSystem;
use oracle::ReferenceSystem;

/// Most events of a story for the oracle, which computes everything again after each delivery.
const ORACLE_EVENTS_MAX: u64 = 2_000;

/// Run stories: pages that state events, and the alerts that must follow from them.
#[derive(Clone, Debug, clap::Args)]
pub struct StoryTestArgs {
    /// Stories, or folders of stories.
    #[arg(required = true, value_name = "STORY")]
    pub stories: Vec<PathBuf>,
    /// Run each story in all 36 ways, instead of in a few that have every choice once.
    #[arg(long)]
    pub full: bool,
    /// Folder of rules that are not beside the story.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Seed of shuffles and of the choice of ways [default: a random one].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Whether the results of a story are as it states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoryVerdict {
    True,
    /// Holds the story's lines with the differences.
    Untrue(String),
}

/// Runs all stories; exits with 1 if one is untrue, with 65 if one cannot be read.
///
/// With `UPDATE_EXPECT=1` it rewrites the stories by the results instead.
pub fn test(args: &StoryTestArgs) -> Result<ExitCode> {
    let stories = read_stories(&args.stories, &args.rules)?;
    let seed = args.seed.map_or_else(|| OsRng.try_next_u64(), Ok);
    let seed = seed.context("no seed from the system")?;
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        for story in &stories {
            update(story)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ways = if args.full {
        variants_full(seed)
    } else {
        variants_quick(seed)
    };
    let mut untrue = 0_usize;
    for story in &stories {
        let name = printable(&story.path.display().to_string());
        match run_story(story, &ways)? {
            StoryVerdict::True => outln!("ok  {name}"),
            StoryVerdict::Untrue(differences) => {
                untrue += 1;
                let lines = differences.lines();
                lines.for_each(|line| outln!("{}", printable(line)));
            }
        }
    }
    errln!(
        "{} stories, {untrue} of them untrue; --seed {seed}",
        stories.len()
    );
    Ok(ExitCode::from(u8::from(untrue > 0)))
}

/// Runs one story through the graph in all `ways`, and through the oracle.
pub fn run_story(file: &StoryFile, ways: &[RunVariant]) -> Result<StoryVerdict> {
    for way in ways {
        let system = GraphSystem::new(way.workers)?;
        let verdict = run_on(file, Box::new(system), way);
        if verdict != StoryVerdict::True {
            return Ok(verdict);
        }
    }
    if events(&file.story) > ORACLE_EVENTS_MAX {
        tracing::warn!(
            file = file.story.file,
            "the story is too long for the oracle"
        );
        return Ok(StoryVerdict::True);
    }
    let Some(way) = variants_quick(0).into_iter().next() else {
        return Ok(StoryVerdict::True);
    };
    let oracle = Box::<ReferenceSystem>::default();
    Ok(match run_on(file, oracle, &way) {
        StoryVerdict::True => StoryVerdict::True,
        StoryVerdict::Untrue(differences) => {
            StoryVerdict::Untrue(format!("{differences}\n  as the oracle has it"))
        }
    })
}

/// Runs a story on one system.
pub fn run_on(file: &StoryFile, system: Box<dyn System>, way: &RunVariant) -> StoryVerdict {
    let mut system = Some(system);
    // `run_and_check` calls the factory once.
    let factory = |_: &RunVariant| {
        system
            .take()
            .unwrap_or_else(|| Box::<ReferenceSystem>::default())
    };
    match weir_story::run_and_check(&file.story, &file.rules, factory, way) {
        Ok(_) => StoryVerdict::True,
        Err(failure) => StoryVerdict::Untrue(failure.to_string()),
    }
}

/// Number of events in a story.
fn events(story: &Story) -> u64 {
    let steps = story.chapters.iter().flat_map(|chapter| &chapter.steps);
    let times = steps.map(|step| match &step.value {
        StepKind::Event(event) => u64::from(event.times),
        _ => 0, // Other steps have no events.
    });
    times.sum()
}

/// Replaces the expected results in a story by those of the graph.
fn update(file: &StoryFile) -> Result<()> {
    let name = printable(&file.path.display().to_string());
    let Some(way) = variants_quick(0).into_iter().next() else {
        return Ok(());
    };
    let mut system = GraphSystem::new(way.workers)?;
    let results = run(&file.story, &file.rules, &mut system, &way);
    let results = results.map_err(|failure| ExitError::BadData(failure.to_string()))?;
    let text = rewrite(&file.text, &file.story, &results);
    if text == file.text {
        outln!("unchanged  {name}");
        return Ok(());
    }
    std::fs::write(&file.path, text).with_context(|| format!("cannot write {name}"))?;
    outln!("rewritten  {name}");
    Ok(())
}
