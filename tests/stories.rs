//! Runs every story of the project against the graph, in many variants, and against the oracle.

mod support;

#[path = "stories/differential.rs"]
mod differential;
#[path = "stories/random.rs"]
mod random;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::TryRngCore;
use support::command::{Finished, finish, weir};
use support::files::{root, write};
use weir::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use weir::verbs::test::graph::{GraphSystem, open_journal};
use weir::verbs::test::{StoryFile, StoryVerdict, read_stories, run_story};
use weir_dataflow::{
    EmitOptions, EpochReport, EpochSource, Host, HostOptions, Observer, PortFault,
};
use weir_schema::{Epoch, SealedEpoch};
use weir_store::ledger::Ledger;
use weir_story::{Batching, RunVariant, System, run, variants_full, variants_quick};

/// Variants of the full product that run besides the quick ones.
const MORE_VARIANTS: usize = 2;

/// Stories that run at once. A run mostly waits for threads to hand over work.
const CONCURRENT_RUNS: usize = 6;

/// All stories of the project.
fn project() -> Vec<StoryFile> {
    let rules = root().join("rules");
    read_stories(&[root().join("stories"), rules.clone()], &rules).expect("all stories can be read")
}

/// The seed from `WEIR_SEED`, or a random one.
fn seed() -> u64 {
    match std::env::var("WEIR_SEED") {
        Ok(seed) => seed.parse().expect("WEIR_SEED is a number"),
        Err(_) => rand::rngs::OsRng
            .try_next_u64()
            .expect("the system gives a seed"),
    }
}

/// Runs `check` over all pages on a few threads, and fails with all of its failures.
fn check_all<T: Sync>(pages: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_RUNS {
            scope.spawn(|| {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = check(page) {
                        wrong.lock().expect("no check panics").push(failure);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no check panics");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_story_is_true() {
    let pages = project();
    assert!(pages.len() >= 29, "{} stories", pages.len());
    let seed = seed();
    let mut variants = variants_quick(seed);
    let full = variants_full(seed);
    for nth in 1..=MORE_VARIANTS {
        let picked = full[(seed as usize).wrapping_mul(nth * 7 + 1) % full.len()];
        if !variants.contains(&picked) {
            variants.push(picked);
        }
    }
    check_all(&pages, |page| {
        match run_story(page, &variants).expect("a folder for the story") {
            StoryVerdict::True => Ok(()),
            StoryVerdict::Untrue(differences) => {
                Err(format!("{differences}\n  again with WEIR_SEED={seed}"))
            }
        }
    });
}

/// An epoch source that ends early, as after a power failure.
struct UpTo(ReadEpochs, Epoch);

impl EpochSource for UpTo {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let next = self.0.next(wait)?;
        Ok(next.filter(|epoch| epoch.epoch <= self.1))
    }
}

/// Ignores results and fails on a failed commit.
struct Unobserved;

impl Observer for Unobserved {
    fn on_epoch(&mut self, _: &EpochReport<'_>) {}

    fn on_commit_failed(&mut self, fault: &PortFault) {
        panic!("{fault}");
    }
}

/// Replays the journal in `folder` into a new ledger, with a restart after each epoch of `stops`.
fn rebuild(folder: &Path, workers: usize, stops: &[Epoch]) -> Vec<u8> {
    let (writer, _) = open_journal(&folder.join("journal")).expect("the journal opens");
    let place = tempfile::tempdir().expect("a folder for the ledger");
    let last = writer.reader().last_sealed();
    let stops = stops.iter().copied().filter(|stop| *stop < last);
    for stop in stops.chain([last]) {
        let ledger = Arc::new(Ledger::open(place.path()).expect("the ledger opens"));
        let reader = writer.reader();
        let host = Host::start(
            HostOptions {
                workers,
                emit: EmitOptions::default(),
            },
            Box::new(UpTo(ReadEpochs(reader.cursor(Epoch(1))), stop)),
            Arc::new(ReadFrames(reader.clone())),
            Box::new(WriteLedger(Arc::clone(&ledger))),
            Box::new(Unobserved),
        )
        .expect("the graph starts");
        let done = host.status().wait_for(stop, Duration::from_secs(60));
        assert!(done, "epoch {} of {}", host.status().epoch().0, stop.0);
        host.stop().expect("the graph stops");
        if stop == last {
            let mut text = Vec::new();
            ledger.export(&mut text).expect("the ledger is whole");
            return text;
        }
    }
    unreachable!("the last stop is the last epoch")
}

#[test]
fn one_journal_gives_one_ledger() {
    let seed = seed();
    check_all(&project(), |page| {
        let variant = RunVariant {
            batching: Batching::Shuffled(seed),
            restart_at_lines: true,
            ..variants_quick(seed)[0]
        };
        let mut system = GraphSystem::new(variant.workers).expect("a folder for the story");
        run(&page.story, &page.rules, &mut system, &variant)
            .map_err(|failure| failure.to_string())?;
        let live = system.export().expect("the ledger is whole");
        let last = system.settle();
        assert!(last.commits.is_empty() && last.fault.is_none(), "{last:?}");
        system.stop().expect("the graph stops");
        for (workers, stops) in [(1, vec![]), (2, vec![3, 4, 9]), (4, vec![1, 6])] {
            let stops: Vec<Epoch> = stops.into_iter().map(Epoch).collect();
            if rebuild(system.folder(), workers, &stops) != live {
                let file = &page.story.file;
                return Err(format!(
                    "{file}: {workers} workers, stopped at {stops:?}, give another ledger; \
                     again with WEIR_SEED={seed}"
                ));
            }
        }
        Ok(())
    });
}

/// Runs `weir test` on a story.
fn test_story(story: &str, update: &str) -> Finished {
    let mut test = weir(["--quiet", "test", "--seed", "1", "--rules"]);
    test.arg(root().join("stories/rules")).arg(story);
    finish(test.env("UPDATE_EXPECT", update))
}

#[test]
fn the_verb_reports_and_rewrites_untrue_stories() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "    rule + usb_storage\n\n\
                \x20   10:00:00  endpoint  usb.attached  host=a  class=storage  as it\n\
                \x20   ---- 10:01:00\n";
    let effect = "+ alert  usb_storage  host=a  low  by it";
    let untrue = write(folder.path(), "untrue.md", text);
    let Finished { code, out, .. } = test_story(&untrue, "");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("untrue.md:4") && out.contains(effect), "{out}");

    for update in ["1", ""] {
        test_story(&untrue, update).assert_success();
    }
    let rewritten = std::fs::read_to_string(&untrue).expect("the story is there");
    assert_eq!(rewritten, format!("{text}    {effect}\n"));

    let malformed = write(folder.path(), "malformed.md", "    10:00:00 nonsense\n");
    let Finished { code, err, .. } = test_story(&malformed, "");
    assert_eq!(code, Some(65), "{err}");
    assert!(err.contains("malformed.md:1"), "{err}");
}
