//! Finds and parses story files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_story::{RuleSearchPath, Story, parse};

use crate::exit::ExitError;
use crate::text::printable;

/// Deepest level of folders in which stories are looked for; a loop of links ends here.
const DEPTH_MAX: usize = 16;

/// A parsed story, with its text and the folder of its rules.
#[derive(Debug)]
pub struct StoryFile {
    pub path: PathBuf,
    pub text: String,
    pub story: Story,
    pub rules: RuleSearchPath,
}

/// Reads stories, and all stories below folders, in order of path.
///
/// `rules` is the folder of rules that are not beside the story.
pub fn read_stories(paths: &[PathBuf], rules: &Path) -> Result<Vec<StoryFile>> {
    let mut files = Vec::new();
    for path in paths {
        find(path, &mut files, 0)?;
    }
    files.sort();
    files.dedup();
    files.into_iter().map(|file| read(file, rules)).collect()
}

fn read(path: PathBuf, rules: &Path) -> Result<StoryFile> {
    let name = printable(&path.display().to_string());
    let size = std::fs::metadata(&path).with_context(|| format!("cannot read {name}"))?;
    if size.len() > weir_story::STORY_BYTES_MAX as u64 {
        let most = weir_story::STORY_BYTES_MAX;
        return Err(ExitError::BadData(format!("{name} is larger than {most} bytes")).into());
    }
    let text = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(text)
        .map_err(|_| ExitError::BadData(format!("{name} is not UTF-8 text")))?;
    let story = parse(&text, &name).map_err(|errors| {
        let lines = errors.iter().map(|error| {
            let message = printable(&error.message);
            format!("{name}:{}: {message}", error.line)
        });
        ExitError::BadData(lines.collect::<Vec<_>>().join("\n"))
    })?;
    let rules = RuleSearchPath::for_story(&path, rules);
    Ok(StoryFile {
        path,
        text,
        story,
        rules,
    })
}

/// Finds a file, or all `*.md` below a folder except `README.md`, which describes the folder.
fn find(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
    let unreadable = || format!("cannot read {}", printable(&path.display().to_string()));
    if !std::fs::metadata(path).with_context(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > DEPTH_MAX {
        let name = printable(&path.display().to_string());
        return Err(ExitError::BadData(format!("{name} lies too deep")).into());
    }
    for entry in std::fs::read_dir(path).with_context(unreadable)? {
        let inner = entry.with_context(unreadable)?.path();
        let story = inner.extension().is_some_and(|extension| extension == "md");
        let readme = inner.file_name().is_some_and(|name| name == "README.md");
        if inner.is_dir() || (story && !readme) {
            find(&inner, files, depth + 1)?;
        }
    }
    Ok(())
}
