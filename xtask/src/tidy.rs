//! `cargo xtask tidy`: the boundaries and habits that a compiler does not check.
//!
//! Owns what a violation looks like and how it is printed. The rules themselves: [`crates`] (who may depend on whom),
//! [`code`] (what may stand in a Rust file), [`docs`] (links and names in prose).
//!
//! - Every rule prints its reason with each violation, and has a test that breaks it.

mod code;
mod crates;
mod docs;

use std::path::Path;

use crate::source::Source;
use crate::{Outcome, limits, tree};

/// A rule, and why it is one.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    name: &'static str,
    reason: &'static str,
}

/// One place where a rule is broken.
#[derive(Debug)]
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    rule: &'static Rule,
    what: String,
}

/// Folders of the crates that may contain unsafe code. A new one needs a decision record, Miri where it runs, and two reviewers.
const UNSAFE_FOLDERS: &[&str] = &["core/rsa-legacy", "shell/client-store/vfs"];

pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.is_empty(), "tidy takes no arguments");
    let rust = tree::read(root, &["rs"])?;
    let prose = tree::read(root, &["md", "toml", "proto", "service", "sh", "yml", ""])?;
    let sources: Vec<Source> = rust.iter().map(Source::parse).collect();
    let graph = crates::Graph::read(root)?;

    let mut violations = crates::check(&graph);
    sources.iter().for_each(|source| code::check(source, &mut violations));
    rust.iter().chain(&prose).for_each(|file| code::check_text(file, &mut violations));
    docs::check(root, &prose, &sources, &mut violations);
    violations.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for violation in &violations {
        let Violation { path, line, rule, what } = violation;
        println!("{path}:{line}: {}: {what}\n    because {}", rule.name, rule.reason);
    }
    let stale = limits::staleness(root, &sources);
    if let Some(stale) = &stale {
        println!("{stale}");
    }
    println!("{} files, {} crates, {} violations", rust.len() + prose.len(), graph.members.len(), violations.len());
    Ok(if violations.is_empty() && stale.is_none() { Outcome::Clean } else { Outcome::Found })
}
