//! The module graph of each crate, and its circles.
//!
//! An edge runs from a module to the module that defines what it names. Names that a module
//! re-exports are followed to their definition, so a re-export hides no edge. Edges between a module
//! and its ancestors are left out: a parent may use its children, and they may use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A path inside the crate, from its root; empty for the root itself.
pub type ModulePath = Vec<String>;

/// Steps that the resolution of one name takes at most; a longer chain of re-exports is a bug.
const STEPS_MAX: usize = 32;

/// One module of a crate, as its source declares it.
#[derive(Default)]
pub struct Module {
    /// Names that `use` brings in, with the paths they stand for.
    imports: BTreeMap<String, Vec<String>>,
    /// Every path that the module names.
    paths: Vec<Vec<String>>,
    /// Names of the types that other modules see.
    pub types: Vec<String>,
    pub file: PathBuf,
}

/// The modules of one crate, by path.
#[derive(Default)]
pub struct Modules(pub BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads a crate from its root file, following `mod` declarations. Leaves out test modules.
    pub fn read(root_file: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root_file.parent().expect("a root file is in a folder");
        modules.add_file(Vec::new(), root_file, folder);
        modules
    }

    fn add_file(&mut self, path: ModulePath, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let parsed = syn::parse_file(&text)
            .unwrap_or_else(|error| panic!("cannot parse {}: {error}", file.display()));
        self.add_items(path, &parsed.items, file, folder);
    }

    fn add_items(&mut self, path: ModulePath, items: &[syn::Item], file: &Path, folder: &Path) {
        let mut module = Module {
            file: file.to_path_buf(),
            ..Module::default()
        };
        let items: Vec<&syn::Item> = items
            .iter()
            .filter(|item| !is_test(attributes(item)))
            .collect();
        items.iter().for_each(|item| module.visit_item(item));
        self.0.insert(path.clone(), module);
        for item in items {
            let syn::Item::Mod(child) = item else {
                continue; // Only modules have modules below them.
            };
            let name = child.ident.to_string();
            let below = [path.clone(), vec![name.clone()]].concat();
            let inner = folder.join(&name);
            if let Some((_, items)) = &child.content {
                self.add_items(below, items, file, &inner);
            } else if let Some(given) = path_attribute(&child.attrs) {
                let beside = file.parent().expect("a file is in a folder");
                self.add_file(below, &beside.join(given), &inner);
            } else {
                let flat = folder.join(format!("{name}.rs"));
                let nested = inner.join("mod.rs");
                let found = if flat.exists() { flat } else { nested };
                self.add_file(below, &found, &inner);
            }
        }
    }

    /// The modules that each module depends on, its ancestors and descendants left out.
    fn edges(&self) -> BTreeMap<&ModulePath, BTreeSet<&ModulePath>> {
        let edges = self.0.iter().map(|(from, module)| {
            let targets = module
                .paths
                .iter()
                .filter_map(|path| self.resolve(from, path));
            let unrelated = |to: &&ModulePath| !from.starts_with(to) && !to.starts_with(from);
            (from, targets.filter(unrelated).collect())
        });
        edges.collect()
    }

    /// The module that defines what `path` names inside `from`; `None` if it is another crate's.
    fn resolve(&self, from: &ModulePath, path: &[String]) -> Option<&ModulePath> {
        let mut here = from.clone();
        let mut rest: Vec<String> = path.to_vec();
        let mut is_first = true;
        for _ in 0..STEPS_MAX {
            let Some(segment) = rest.first().cloned() else {
                break;
            };
            match segment.as_str() {
                "crate" => here.clear(),
                "self" => {}
                "super" => {
                    here.pop();
                }
                name => {
                    let child = [here.clone(), vec![name.to_owned()]].concat();
                    let import = self
                        .0
                        .get(&here)
                        .and_then(|module| module.imports.get(name));
                    if self.0.contains_key(&child) {
                        here = child;
                    } else if let Some(import) = import {
                        rest = [import.clone(), rest[1..].to_vec()].concat();
                        is_first = false;
                        continue;
                    } else if is_first {
                        return None;
                    } else {
                        break;
                    }
                }
            }
            is_first = false;
            rest.remove(0);
        }
        self.0.get_key_value(&here).map(|(key, _)| key)
    }

    /// For each circle one path through it, as text.
    pub fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let mut found: Vec<String> = Vec::new();
        let mut reported: BTreeSet<&ModulePath> = BTreeSet::new();
        for start in self.0.keys() {
            if reported.contains(start) {
                continue;
            }
            if let Some(circle) = path_back(start, &edges) {
                let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
                reported.extend(circle);
                found.push(names.join(" -> "));
            }
        }
        found
    }
}

/// The shortest way from `start` to itself.
fn path_back<'m>(
    start: &'m ModulePath,
    edges: &BTreeMap<&'m ModulePath, BTreeSet<&'m ModulePath>>,
) -> Option<Vec<&'m ModulePath>> {
    let mut came_from: BTreeMap<&ModulePath, &'m ModulePath> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for &next in edges.get(module).into_iter().flatten() {
            if next == start {
                let mut circle = vec![start, module];
                let mut at = module;
                while at != start {
                    at = came_from[at];
                    circle.push(at);
                }
                circle.reverse();
                return Some(circle);
            }
            if next != start && !came_from.contains_key(next) {
                came_from.insert(next, module);
                queue.push_back(next);
            }
        }
    }
    None
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(attributes(item)) {
            return;
        }
        if let Some(name) = public_type(item) {
            self.types.push(name);
        }
        visit::visit_item(self, item);
    }

    /// Inline modules are modules of their own.
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.paths.push(segments);
        }
        visit::visit_path(self, path);
    }
}

impl Module {
    fn add_use(&mut self, before: Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let here = [before, vec![path.ident.to_string()]].concat();
                self.add_use(here, &path.tree);
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.add_import(None, before),
            syn::UseTree::Name(name) => {
                self.add_import(None, [before, vec![name.ident.to_string()]].concat());
            }
            syn::UseTree::Rename(renamed) => {
                let path = [before, vec![renamed.ident.to_string()]].concat();
                self.add_import(Some(renamed.rename.to_string()), path);
            }
            syn::UseTree::Glob(_) => self.paths.push(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(before.clone(), tree);
                }
            }
        }
    }

    fn add_import(&mut self, name: Option<String>, path: Vec<String>) {
        let name = name.or_else(|| path.last().cloned());
        if let Some(name) = name.filter(|_| path.len() > 1) {
            self.imports.insert(name, path.clone());
        }
        self.paths.push(path);
    }
}

/// The name of a type that other modules see.
fn public_type(item: &syn::Item) -> Option<String> {
    let (visibility, name) = match item {
        syn::Item::Struct(item) => (&item.vis, &item.ident),
        syn::Item::Enum(item) => (&item.vis, &item.ident),
        syn::Item::Trait(item) => (&item.vis, &item.ident),
        syn::Item::Type(item) => (&item.vis, &item.ident),
        syn::Item::Union(item) => (&item.vis, &item.ident),
        _ => return None, // No other item is a type.
    };
    (!matches!(visibility, syn::Visibility::Inherited)).then(|| name.to_string())
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[], // No other item is compiled for tests alone here.
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let only_tests = |list: &syn::MetaList| list.tokens.to_string() == "test";
        attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(only_tests)
    })
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    let path = attributes
        .iter()
        .find(|found| found.path().is_ident("path"))?;
    let syn::Expr::Lit(literal) = &path.meta.require_name_value().ok()?.value else {
        return None;
    };
    match &literal.lit {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None, // A path is text.
    }
}

#[cfg(test)]
mod self_test {
    use super::*;

    /// Builds modules from pairs of path and source.
    fn modules(sources: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (path, source) in sources {
            let path: ModulePath = path
                .split("::")
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect();
            let parsed = syn::parse_file(source).expect("the test's source parses");
            let mut module = Module::default();
            parsed.items.iter().for_each(|item| module.visit_item(item));
            modules.0.insert(path, module);
        }
        modules
    }

    #[test]
    fn circles_are_found_through_reexports_and_qualified_paths() {
        let found = modules(&[
            ("", "pub use a::One;"),
            ("a", "use crate::b; pub struct One; fn f() { b::two(); }"),
            ("b", "pub fn two() { let _ = crate::One; }"),
            ("c", "use super::a::One;"),
        ]);
        assert_eq!(found.circles(), ["a -> b -> a"]);
    }

    #[test]
    fn parents_and_children_are_no_circle() {
        let found = modules(&[
            ("", ""),
            ("a", "use crate::a::inner::One; pub struct Two;"),
            ("a::inner", "use super::Two; pub struct One;"),
        ]);
        assert_eq!(found.circles(), Vec::<String>::new());
    }
}
