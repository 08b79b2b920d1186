//! `weir rules test`: tells the stories beside rules, and says which rules are not proven by them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use weir_detect::{RuleKind, RuleSummary};
use weir_story::{Noun, Story, System, Way, What, ways_quick};

use crate::config::DetectionConfig;
use crate::observe::shown;
use crate::rules::record::{Proofs, Recorder};
use crate::rules::{Format, Rules, answer};
use crate::tell::graph::GraphSystem;
use crate::tell::{Page, pages};

/// Tells the stories beside rules: are they true, which rules does none of them let fire, and which
/// have none in which they stay silent by a hair?
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Files of rules, or folders of rules and stories.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A story, or a folder of stories, that lies elsewhere; may be given again.
    #[arg(long, value_name = "PATH")]
    stories: Vec<PathBuf>,
    /// Folder in which stories look for rules that are not beside them.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Tests; 65 where rules or stories cannot be read, 1 where a story is untrue or a rule unproven.
pub fn test(args: &TestArgs, detection: &DetectionConfig) -> Result<ExitCode> {
    let rules = Rules::read(&args.paths, detection)?;
    let problems = rules.complain();
    let mut proofs = Proofs::default();
    let mut untrue = Vec::new();
    let stories = stories(args)?;
    for page in &stories {
        if let Err(failure) = tell(page, &mut proofs)? {
            untrue.push((page.story.file.clone(), failure));
        }
    }
    let verdicts: Vec<Verdict> = rules
        .book
        .rules()
        .into_iter()
        .map(|rule| Verdict::of(rule, &proofs))
        .collect();
    let lacking = verdicts.iter().filter(|verdict| verdict.lacks()).count();
    match args.format {
        Format::Text => {
            let lines = untrue.iter().flat_map(|(_, failure)| failure.lines());
            let mut lines: Vec<String> = lines.map(shown).collect();
            lines.extend(verdicts.iter().map(Verdict::line));
            lines.push(format!(
                "{} rules, {lacking} of them unproven; {} stories, {} of them untrue",
                verdicts.len(),
                stories.len(),
                untrue.len(),
            ));
            answer(&lines.join("\n"))?;
        }
        Format::Json => {
            let untrue = untrue.iter();
            let untrue: Vec<_> = untrue
                .map(|(file, failure)| json!({ "story": file, "failure": failure }))
                .collect();
            let rules: Vec<_> = verdicts.iter().map(Verdict::value).collect();
            let told = json!({ "stories": stories.len(), "untrue": untrue, "rules": rules });
            answer(&told.to_string())?;
        }
    }
    Ok(ExitCode::from(match (problems, lacking + untrue.len()) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 65,
    }))
}

/// What the stories show of one rule.
struct Verdict {
    rule: RuleSummary,
    fires: BTreeSet<String>,
    near_misses: BTreeSet<String>,
}

impl Verdict {
    fn of(rule: RuleSummary, proofs: &Proofs) -> Self {
        let files = |of: &BTreeMap<_, BTreeSet<String>>| of.get(&rule.id).cloned();
        // A rule that speaks through a correlation alone has done its part once it matches, and
        // is silent by a hair where the correlation is.
        let speaks = rule.alerts || rule.kind != RuleKind::Event;
        let fires = files(if speaks {
            &proofs.raised
        } else {
            &proofs.matched
        });
        let mut near_misses = files(&proofs.near_misses).unwrap_or_default();
        for reader in rule.referenced_by.iter().filter(|_| !speaks) {
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

    fn lacks(&self) -> bool {
        self.fires.is_empty() || self.near_misses.is_empty()
    }

    fn line(&self) -> String {
        let name = self.rule.name.as_deref().unwrap_or(&self.rule.id);
        let what = match (self.fires.first(), self.near_misses.first()) {
            (Some(fires), Some(near)) if fires == near => format!("proven by {fires}"),
            (Some(fires), Some(near)) => format!("proven by {fires} and {near}"),
            (Some(fires), None) => format!("no near miss; it fires in {fires}"),
            (None, Some(near)) => format!("no story in which it fires; a near miss in {near}"),
            (None, None) => "no story in which it fires, and no near miss".to_owned(),
        };
        let word = if self.lacks() { "LACKS" } else { "ok" };
        format!("{word:5}  {}  {}", shown(name), shown(&what))
    }

    fn value(&self) -> serde_json::Value {
        json!({
            "id": &*self.rule.id,
            "name": self.rule.name,
            "title": self.rule.title,
            "proven": !self.lacks(),
            "fires": self.fires,
            "near_misses": self.near_misses,
        })
    }
}

/// Tells a story once, to the graph; the inner error says what is untrue in it. `weir tell` tells it
/// in all ways.
fn tell(page: &Page, proofs: &mut Proofs) -> Result<Result<(), String>> {
    let Some(way) = ways_quick(0).into_iter().next() else {
        return Ok(Ok(()));
    };
    let recorder = Recorder::new(GraphSystem::new(way.workers)?);
    let seen = recorder.seen();
    let mut system: Option<Box<dyn System>> = Some(Box::new(recorder));
    // The teller asks for one system.
    let factory = |_: &Way| {
        system
            .take()
            .unwrap_or_else(|| Box::<crate::tell::oracle::ReferenceSystem>::default())
    };
    let told = weir_story::tell(&page.story, &page.shelf, factory, &way);
    let told = told.map(drop).map_err(|failure| failure.to_string());
    // A story that is untrue proves nothing.
    if told.is_ok() {
        proofs.add(&page.story.file, &seen);
    }
    Ok(told)
}

/// Stories below the folders, those beside single files that put them, and those named.
fn stories(args: &TestArgs) -> Result<Vec<Page>> {
    let (folders, files): (Vec<_>, Vec<_>) =
        args.paths.iter().cloned().partition(|path| path.is_dir());
    let mut found = pages(&[folders, args.stories.clone()].concat(), &args.rules)?;
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
        for page in pages(&beside, &args.rules)? {
            let known = found.iter().any(|other| other.path == page.path);
            if !known && puts(&page.story, &stem.to_string_lossy()) {
                found.push(page);
            }
        }
    }
    Ok(found)
}

/// Whether the story puts the rule file of that name.
fn puts(story: &Story, stem: &str) -> bool {
    let mut steps = story.chapters.iter().flat_map(|chapter| &chapter.steps);
    steps.any(|step| match &step.it {
        What::Change(change) => {
            let name = change.subject.rsplit('/').next();
            change.noun == Noun::Rule && change.put && name == Some(stem)
        }
        _ => false,
    })
}
