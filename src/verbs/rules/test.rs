//! `weir rules test`: runs the stories beside rules, and reports which rules they do not prove.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use weir_detect::{RuleKind, RuleSummary};
use weir_story::{StepKind, Story, SubjectKind, variants_quick};

use crate::config::DetectionConfig;
use crate::console::{self, outln};
use crate::exit::BAD_DATA;
use crate::text::printable;
use crate::verbs::rules::recorder::{Proofs, StoryRecorder};
use crate::verbs::rules::{LoadedRules, OutputFormat};
use crate::verbs::test::graph::GraphSystem;
use crate::verbs::test::{StoryFile, StoryVerdict, read_stories, run_on};

/// Run the stories beside rules, and list untrue stories and unproven rules.
///
/// A rule is proven by a story in which it fires, and by a near miss: a story in which it only just
/// stays silent.
#[derive(Debug, clap::Args)]
pub struct RuleTestArgs {
    /// Rule files, or folders of rules and stories.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A story, or a folder of stories, elsewhere; may be repeated.
    #[arg(long, value_name = "PATH")]
    stories: Vec<PathBuf>,
    /// Folder of rules that are not beside the story.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// Tests rules; exits with 65 if rules or stories cannot be read, with 1 if a story is untrue or a
/// rule is unproven.
pub fn test(args: &RuleTestArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = LoadedRules::read(&args.paths, detection)?;
    let problems = rules.print_problems();
    let mut proofs = Proofs::default();
    let mut untrue = Vec::new();
    let stories = stories(args)?;
    for story in &stories {
        if let StoryVerdict::Untrue(differences) = run_story(story, &mut proofs)? {
            untrue.push((story.story.file.clone(), differences));
        }
    }
    let verdicts: Vec<RuleVerdict> = rules
        .book
        .rules()
        .into_iter()
        .map(|rule| RuleVerdict::of(rule, &proofs))
        .collect();
    let unproven = verdicts.iter().filter(|one| !one.is_proven()).count();
    match args.format {
        OutputFormat::Text => {
            let lines = untrue.iter().flat_map(|(_, failure)| failure.lines());
            let mut lines: Vec<String> = lines.map(printable).collect();
            lines.extend(verdicts.iter().map(RuleVerdict::line));
            lines.push(format!(
                "{} rules, {unproven} of them unproven; {} stories, {} of them untrue",
                verdicts.len(),
                stories.len(),
                untrue.len(),
            ));
            outln!("{}", lines.join("\n"));
        }
        OutputFormat::Json => {
            let untrue = untrue.iter();
            let untrue: Vec<_> = untrue
                .map(|(file, failure)| json!({ "story": file, "failure": failure }))
                .collect();
            let rules: Vec<_> = verdicts.iter().map(RuleVerdict::json).collect();
            let report = json!({ "stories": stories.len(), "untrue": untrue, "rules": rules });
            console::out_json(&report);
        }
    }
    Ok(ExitCode::from(match (problems, unproven + untrue.len()) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => BAD_DATA,
    }))
}

/// The stories that prove one rule.
struct RuleVerdict {
    rule: RuleSummary,
    fires: BTreeSet<String>,
    near_misses: BTreeSet<String>,
}

impl RuleVerdict {
    fn of(rule: RuleSummary, proofs: &Proofs) -> Self {
        let files = |of: &BTreeMap<_, BTreeSet<String>>| of.get(&rule.id).cloned();
        // A rule that raises alerts only through a correlation is proven once it matches. Its near
        // misses are those of the correlation.
        let raises_alerts = rule.alerts || rule.kind != RuleKind::Event;
        let fires = files(if raises_alerts {
            &proofs.raised
        } else {
            &proofs.matched
        });
        let mut near_misses = files(&proofs.near_misses).unwrap_or_default();
        for reader in rule.referenced_by.iter().filter(|_| !raises_alerts) {
            near_misses.extend(
                proofs
                    .near_misses
                    .get(reader)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
        Self {
            fires: fires.unwrap_or_default(),
            near_misses,
            rule,
        }
    }

    fn is_proven(&self) -> bool {
        !self.fires.is_empty() && !self.near_misses.is_empty()
    }

    fn line(&self) -> String {
        let name = self.rule.name.as_deref().unwrap_or(&self.rule.id);
        let proof = match (self.fires.first(), self.near_misses.first()) {
            (Some(fires), Some(near)) if fires == near => format!("proven by {fires}"),
            (Some(fires), Some(near)) => format!("proven by {fires} and {near}"),
            (Some(fires), None) => format!("no near miss; it fires in {fires}"),
            (None, Some(near)) => format!("no story in which it fires; a near miss in {near}"),
            (None, None) => "no story in which it fires, and no near miss".to_owned(),
        };
        let word = if self.is_proven() { "ok" } else { "LACKS" };
        format!("{word:5}  {}  {}", printable(name), printable(&proof))
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "id": &*self.rule.id,
            "name": self.rule.name,
            "title": self.rule.title,
            "proven": self.is_proven(),
            "fires": self.fires,
            "near_misses": self.near_misses,
        })
    }
}

/// Runs a story once through the graph; `weir test` runs it in all ways.
fn run_story(file: &StoryFile, proofs: &mut Proofs) -> Result<StoryVerdict> {
    let Some(way) = variants_quick(0).into_iter().next() else {
        return Ok(StoryVerdict::True);
    };
    let recorder = StoryRecorder::new(GraphSystem::new(way.workers)?);
    let record = recorder.record();
    let verdict = run_on(file, Box::new(recorder), &way);
    // A story that is untrue proves nothing.
    if verdict == StoryVerdict::True {
        proofs.add(&file.story.file, &record);
    }
    Ok(verdict)
}

/// The stories below the folders, those beside single files that add these, and those named.
fn stories(args: &RuleTestArgs) -> Result<Vec<StoryFile>> {
    let (folders, files): (Vec<_>, Vec<_>) =
        args.paths.iter().cloned().partition(|path| path.is_dir());
    let mut found = read_stories(&[folders, args.stories.clone()].concat(), &args.rules)?;
    for file in files {
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        let Some(stem) = file.file_stem() else {
            continue;
        };
        let beside = std::fs::read_dir(folder)?;
        let mut beside: Vec<PathBuf> = beside.flatten().map(|entry| entry.path()).collect();
        beside.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        beside.retain(|path| path.file_name().is_some_and(|name| name != "README.md"));
        beside.sort();
        for story in read_stories(&beside, &args.rules)? {
            let known = found.iter().any(|other| other.path == story.path);
            if !known && adds_rule(&story.story, &stem.to_string_lossy()) {
                found.push(story);
            }
        }
    }
    Ok(found)
}

/// Whether the story adds the rule file of that name.
fn adds_rule(story: &Story, stem: &str) -> bool {
    let mut steps = story.chapters.iter().flat_map(|chapter| &chapter.steps);
    steps.any(|step| match &step.value {
        StepKind::Change(change) => {
            let name = change.subject.rsplit('/').next();
            change.kind == SubjectKind::Rule && change.add && name == Some(stem)
        }
        _ => false, // Other steps add no rule.
    })
}
