//! Holds the habits that a machine can judge: imports, circles, names, sizes, documents.
//!
//! It reads files and runs nothing. Each failure names the file, the line and the remedy.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use source::{Source, files, shown};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace, and of the fuzzers beside it.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(root(), &mut found);
    let is_rust = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    found
        .iter()
        .filter(is_rust)
        .map(|path| Source::read(root(), path))
        .collect()
}

/// The root file of each library of the workspace.
fn crate_roots() -> Vec<PathBuf> {
    let manifest: toml::Table = read("Cargo.toml")
        .parse()
        .expect("the root manifest is TOML");
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("members are a list");
    let members = members
        .iter()
        .filter_map(|member| member.as_str())
        .chain(["."]);
    let libraries = members.map(|member| root().join(member).join("src/lib.rs"));
    libraries.filter(|library| library.exists()).collect()
}

/// Path and text of every file with one of these extensions.
fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<PathBuf> = Vec::new();
    files(root(), &mut found);
    let has_extension = |path: &PathBuf| {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy());
        extensions.contains(&extension.as_deref().unwrap_or_default())
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((shown(root(), &path), text))
    };
    found
        .into_iter()
        .filter(has_extension)
        .filter_map(read)
        .collect()
}

fn read(path: &str) -> String {
    let whole = root().join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Fails with every fault at once.
fn fail_with(faults: &[String], rule: &str) {
    assert!(
        faults.is_empty(),
        "{rule} ({}):\n  {}",
        faults.len(),
        faults.join("\n  ")
    );
}
