//! `weir tell`: tells stories to the graph in many ways, and once to the oracle.

pub mod graph;
pub mod oracle;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use rand::TryRngCore;
use rand::rngs::OsRng;
use weir_schema::AlertRecord;
use weir_story::{
    Shelf, Story, System, TENANT, Way, What, parse, rewrite, run, ways_full, ways_quick,
};
use weir_web::rfc3339;

use crate::cli::Failure;
use crate::observe::shown;
use graph::GraphSystem;
use oracle::ReferenceSystem;

/// Largest story that is told to the oracle: it looks at everything again after each delivery.
const ORACLE_EVENTS_MAX: u64 = 2_000;

/// Folders below folders in which stories are looked for; a loop of links ends here.
const DEPTH_MAX: usize = 16;

/// What to tell, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct TellArgs {
    /// Stories, or folders of stories.
    #[arg(required = true, value_name = "STORY")]
    pub stories: Vec<PathBuf>,
    /// Tell each story in all 36 ways, not in a few that have every choice once.
    #[arg(long)]
    pub full: bool,
    /// Folder in which rules are looked for that are not beside the story.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Shuffles, and picks one of the ways; by default another one each time.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// A story that can be told, with its text and its rules.
#[derive(Debug)]
pub struct Page {
    pub path: PathBuf,
    pub text: String,
    pub story: Story,
    pub shelf: Shelf,
}

/// Tells all stories; 1 where one is not true, 65 where one cannot be read.
pub fn tell(args: &TellArgs) -> Result<ExitCode> {
    let pages = pages(&args.stories, &args.rules)?;
    let seed = args.seed.map_or_else(|| OsRng.try_next_u64(), Ok);
    let seed = seed.context("no seed from the system")?;
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        for page in &pages {
            update(page)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ways = if args.full {
        ways_full(seed)
    } else {
        ways_quick(seed)
    };
    let mut untrue = 0_usize;
    for page in &pages {
        let name = shown(&page.path.display().to_string());
        match told(page, &ways)? {
            Ok(()) => println!("ok  {name}"),
            Err(failure) => {
                untrue += 1;
                failure.lines().for_each(|line| println!("{}", shown(line)));
            }
        }
    }
    eprintln!(
        "{} stories, {untrue} of them untrue; --seed {seed}",
        pages.len()
    );
    Ok(ExitCode::from(u8::from(untrue > 0)))
}

/// Tells one story in all `ways` and to the oracle; the inner error is the page in place.
pub fn told(page: &Page, ways: &[Way]) -> Result<Result<(), String>> {
    for way in ways {
        let system = GraphSystem::new(way.workers)?;
        if let Err(failure) = tell_to(page, Box::new(system), way) {
            return Ok(Err(failure));
        }
    }
    if events(&page.story) > ORACLE_EVENTS_MAX {
        tracing::warn!(
            file = page.story.file,
            "too long a story to be told to the oracle"
        );
        return Ok(Ok(()));
    }
    let oracle = Box::<ReferenceSystem>::default();
    let way = weir_story::ways_quick(0).into_iter().next();
    let told = way.map_or(Ok(()), |way| tell_to(page, oracle, &way));
    Ok(told.map_err(|failure| format!("{failure}\n  as the oracle has it")))
}

fn tell_to(page: &Page, system: Box<dyn System>, way: &Way) -> Result<(), String> {
    let mut system = Some(system);
    // The teller asks for one system.
    let factory = |_: &Way| {
        system
            .take()
            .unwrap_or_else(|| Box::<ReferenceSystem>::default())
    };
    let told = weir_story::tell(&page.story, &page.shelf, factory, way);
    told.map(drop).map_err(|failure| failure.to_string())
}

fn events(story: &Story) -> u64 {
    let steps = story.chapters.iter().flat_map(|chapter| &chapter.steps);
    let times = steps.map(|step| match &step.it {
        What::Event(event) => u64::from(event.times),
        _ => 0,
    });
    times.sum()
}

/// Writes what the graph says into the story, in place of what was expected.
fn update(page: &Page) -> Result<()> {
    let name = shown(&page.path.display().to_string());
    let Some(way) = ways_quick(0).into_iter().next() else {
        return Ok(());
    };
    let mut system = GraphSystem::new(way.workers)?;
    let told = run(&page.story, &page.shelf, &mut system, &way);
    let told = told.map_err(|failure| Failure::BadData(failure.to_string()))?;
    let text = rewrite(&page.text, &page.story, &told);
    if text == page.text {
        println!("as it was  {name}");
        return Ok(());
    }
    std::fs::write(&page.path, text).with_context(|| format!("cannot write {name}"))?;
    println!("rewritten  {name}");
    Ok(())
}

/// Reads stories, and those in folders, in order of path.
pub fn pages(paths: &[PathBuf], rules: &Path) -> Result<Vec<Page>> {
    let mut files = Vec::new();
    for path in paths {
        find(path, &mut files, 0)?;
    }
    files.sort();
    files.dedup();
    files.into_iter().map(|file| page(file, rules)).collect()
}

fn page(path: PathBuf, rules: &Path) -> Result<Page> {
    let name = shown(&path.display().to_string());
    let size = std::fs::metadata(&path).with_context(|| format!("cannot read {name}"))?;
    if size.len() > weir_story::STORY_BYTES_MAX as u64 {
        let most = weir_story::STORY_BYTES_MAX;
        return Err(Failure::BadData(format!("{name} is larger than {most} bytes")).into());
    }
    let text = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(text)
        .map_err(|_| Failure::BadData(format!("{name} is not UTF-8 text")))?;
    let story = parse(&text, &name).map_err(|errors| {
        let lines = errors.iter().map(|error| {
            let message = shown(&error.message);
            format!("{name}:{}: {message}", error.line)
        });
        Failure::BadData(lines.collect::<Vec<_>>().join("\n"))
    })?;
    let shelf = Shelf::beside(&path, rules);
    Ok(Page {
        path,
        text,
        story,
        shelf,
    })
}

/// A file as it is; of a folder, all `*.md` below it that are stories and no notes on the folder.
fn find(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
    let cannot = || format!("cannot read {}", shown(&path.display().to_string()));
    if !std::fs::metadata(path).with_context(cannot)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > DEPTH_MAX {
        let name = shown(&path.display().to_string());
        return Err(Failure::BadData(format!("{name} lies too deep")).into());
    }
    for entry in std::fs::read_dir(path).with_context(cannot)? {
        let inner = entry.with_context(cannot)?.path();
        let story = inner.extension().is_some_and(|extension| extension == "md");
        let notes = inner.file_name().is_some_and(|name| name == "README.md");
        if inner.is_dir() || (story && !notes) {
            find(&inner, files, depth + 1)?;
        }
    }
    Ok(())
}

/// Answers a question of a story: `alerts` are those that stand, in order of rule, group and start;
/// `rows` are the same in the columns that every way of telling must agree on, to the last event.
fn rows(query: &str, mut standing: Vec<AlertRecord>) -> Vec<String> {
    match query.trim() {
        "alerts" => {}
        "rows" => return exact_rows(&standing),
        _ => return vec!["no such question; ask for `alerts` or `rows`".to_owned()],
    }
    standing.sort_by(|a, b| {
        let key = |record: &AlertRecord| {
            let group = (record.group.clone(), record.tenant.clone());
            (record.title.clone(), group, record.first)
        };
        key(a).cmp(&key(b))
    });
    let row = |record: &AlertRecord| {
        let fields = record.group.iter();
        let fields = fields.map(|field| format!("{}={}", field.name, field.value));
        let mut fields: Vec<String> = fields.collect();
        if record.tenant != TENANT {
            fields.push(format!("of {}", record.tenant));
        }
        format!(
            "{}: {} {} {}, {} from {} to {}",
            record.title,
            fields.join(" "),
            record.level.name(),
            record.state.name(),
            record.count,
            rfc3339(record.first),
            rfc3339(record.last),
        )
    };
    standing.iter().map(row).collect()
}

fn exact_rows(standing: &[AlertRecord]) -> Vec<String> {
    let row = |record: &AlertRecord| {
        let evidence = record.evidence.head.iter().chain(&record.evidence.tail);
        let events: Vec<String> = evidence.map(|item| item.event.to_string()).collect();
        format!(
            "{} {} {} {} {} {} {} {} {}",
            record.key,
            record.rule,
            record.version,
            record.state.name(),
            record.level.name(),
            rfc3339(record.first),
            rfc3339(record.last),
            record.count,
            events.join(","),
        )
    };
    let mut rows: Vec<String> = standing.iter().map(row).collect();
    rows.sort();
    rows
}
