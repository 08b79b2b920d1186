//! Random stories, run against the graph and the oracle, which must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use weir::verbs::test::graph::GraphSystem;
use weir::verbs::test::oracle::ReferenceSystem;
use weir_story::{
    Effect, EffectKind, EffectSign, EffectState, RuleSearchPath, RunVariant, StoryOutput, parse,
    run, variants_full,
};

use super::support::files::root;
use super::{check_all, random, seed};

/// Number of random stories.
const RANDOM_STORIES: u64 = 120;

/// Number of occurrences of each kind of effect.
type EffectCounts = BTreeMap<(EffectSign, EffectState), u64>;

/// The alerts that effects are about, without the kind of change.
fn touched(effects: &[Effect]) -> BTreeSet<(EffectKind, &str, &[(String, String)])> {
    effects
        .iter()
        .map(|effect| (effect.kind, effect.name.as_str(), effect.fields.as_slice()))
        .collect()
}

fn shown(effects: &[Effect]) -> String {
    let lines = effects.iter().map(|effect| format!("    {effect}\n"));
    lines.collect()
}

/// The outputs of graph and oracle for one story, in one variant.
struct Outputs {
    variant: RunVariant,
    graph: StoryOutput,
    oracle: StoryOutput,
}

impl Outputs {
    fn run(seed: u64, text: &str, file: &str) -> Result<Self, String> {
        let story = parse(text, file).map_err(|errors| format!("{errors:?}"))?;
        let rules = root().join("stories/rules");
        let search_path = RuleSearchPath::for_story(&rules.join("x.md"), &rules);
        let variants = variants_full(seed);
        let variant = variants[(seed % variants.len() as u64) as usize];
        let mut graph = GraphSystem::new(variant.workers).expect("a folder for the story");
        let graph = run(&story, &search_path, &mut graph, &variant);
        let mut oracle = ReferenceSystem::default();
        let oracle = run(&story, &search_path, &mut oracle, &variant);
        Ok(Self {
            variant,
            graph: graph.map_err(|failure| failure.to_string())?,
            oracle: oracle.map_err(|failure| format!("oracle: {failure}"))?,
        })
    }

    /// Returns the number of chapters in which effects on the same alerts differ, or an error if
    /// rows differ or effects are about different alerts.
    fn compare(&self, file: &str) -> Result<u64, String> {
        let variant = self.variant;
        for (line, graph) in &self.graph.rows {
            let oracle = &self.oracle.rows[line];
            if graph != oracle {
                let (graph, oracle) = (graph.join("\n"), oracle.join("\n"));
                return Err(format!(
                    "{file}:{line} run on {variant}\ngraph\n{graph}\noracle\n{oracle}"
                ));
            }
        }
        let mut differing = 0;
        for (line, graph) in &self.graph.effects {
            let oracle = &self.oracle.effects[line];
            differing += u64::from(graph != oracle);
            if touched(graph) != touched(oracle) {
                let (graph, oracle) = (shown(graph), shown(oracle));
                return Err(format!(
                    "{file}:{line} run on {variant}\n  graph\n{graph}  oracle\n{oracle}"
                ));
            }
        }
        Ok(differing)
    }
}

#[test]
fn graph_and_oracle_agree_on_random_stories() {
    let first = seed();
    let stories = std::env::var("WEIR_STORIES").map_or(RANDOM_STORIES, |n| {
        n.parse().expect("WEIR_STORIES is a number")
    });
    let counts = Mutex::new(EffectCounts::new());
    let differing = AtomicU64::new(0);
    let check = |seed: u64| {
        let text = random::story(seed);
        let file = format!("seed-{seed}.md");
        let wrong = |what: String| format!("{what}\n{text}\nagain with WEIR_SEED={seed}");
        let outputs = Outputs::run(seed, &text, &file).map_err(wrong)?;
        let mut counts = counts.lock().expect("no check panics");
        for effect in outputs.graph.effects.values().flatten() {
            *counts.entry((effect.sign, effect.state)).or_insert(0) += 1;
        }
        drop(counts);
        differing.fetch_add(outputs.compare(&file).map_err(wrong)?, Ordering::Relaxed);
        Ok(())
    };
    let seeds: Vec<u64> = (0..stories).map(|n| first.wrapping_add(n)).collect();
    check_all(&seeds, |seed| check(*seed));
    // Where one episode ends and another begins within its timespan in one epoch, both readings are
    // correct: one revised alert, or a retracted and a raised one. It is rare.
    let differing = differing.into_inner();
    assert!(
        differing <= 2 + stories / 100,
        "{differing} of {stories}; WEIR_SEED={first}"
    );
    assert_all_kinds_occurred(&counts.into_inner().expect("no check panics"), stories);
}

/// Fails if a kind of effect never occurred, because then the stories did not test it.
fn assert_all_kinds_occurred(counts: &EffectCounts, stories: u64) {
    for (sign, state, stories_min) in [
        (EffectSign::Raised, EffectState::Plain, RANDOM_STORIES),
        (EffectSign::Raised, EffectState::Provisional, RANDOM_STORIES),
        (EffectSign::Revised, EffectState::Plain, RANDOM_STORIES),
        // Two alerts seldom merge by chance. `two_episodes_merge.md` tests it.
        (EffectSign::Revised, EffectState::Superseded, 1_500),
        (EffectSign::Retracted, EffectState::Plain, RANDOM_STORIES),
    ] {
        let times = counts.get(&(sign, state)).copied().unwrap_or(0);
        assert!(
            stories < stories_min || times > 0,
            "{sign:?} {state:?} never occurred: {counts:?}"
        );
    }
}
