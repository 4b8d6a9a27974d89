//! Links and names in prose: what a document points at is there.
//!
//! Owns what counts as a link (`[text](path#heading)`) and as a name of ours in backticks (`shell/client/src/send.rs`).
//! Does not fetch anything: addresses outside the repository are left alone.
//!
//! - In `docs/limits-and-errors.md` names of constants, statuses and error codes must exist in the code too.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Rule, Violation};
use crate::source::Source;
use crate::tree::TextFile;

const DEAD_LINK: Rule = Rule { name: "dead link", reason: "readers stop trusting documents whose links lead nowhere" };
const DEAD_NAME: Rule = Rule {
    name: "dead name",
    reason: "a map with streets that do not exist is worse than none; name the file that does it now",
};
const DEAD_LIMIT: Rule = Rule {
    name: "dead limit",
    reason: "operators look up limits and errors by these names, so they are spelled as in the code",
};

/// First folders of a path that is ours.
const FOLDERS: &[&str] = &[
    "core",
    "shell",
    "apps",
    "testing",
    "xtask",
    "bench",
    "spec",
    "proto",
    "docs",
    "packaging",
    "fuzz",
    ".ci",
    ".cargo",
];

const LIMITS_AND_ERRORS: &str = "docs/limits-and-errors.md";

pub(super) fn check(root: &Path, prose: &[TextFile], sources: &[Source], violations: &mut Vec<Violation>) {
    for file in prose.iter().filter(|file| file.path.ends_with(".md")) {
        check_document(root, file, violations);
    }
    if let Some(file) = prose.iter().find(|file| file.path == LIMITS_AND_ERRORS) {
        let protos = prose.iter().filter(|file| file.path.ends_with(".proto")).map(|file| file.text.as_str());
        let raw = sources.iter().flat_map(|source| &source.lines).map(|line| line.raw.as_str());
        check_limits(file, &words(protos.chain(raw)), violations);
    }
}

fn check_document(root: &Path, file: &TextFile, violations: &mut Vec<Violation>) {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (number, line) in prose_lines(&file.text) {
        let mut violate = |rule, what| violations.push(Violation { path: file.path.clone(), line: number, rule, what });
        for target in link_targets(&without_code(line)) {
            if let Err(what) = follow(root, &file.path, folder, &target) {
                violate(&DEAD_LINK, what);
            }
        }
        for name in code_spans(line) {
            // `path:12` and `path#heading` name the path.
            let path = name.split([':', '#']).next().unwrap_or(name).trim_end_matches('/');
            let first = path.split('/').next().unwrap_or("");
            let is_ours = path.contains('/')
                && FOLDERS.contains(&first)
                && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if is_ours && !root.join(path).exists() {
                violate(&DEAD_NAME, format!("`{path}` does not exist"));
            }
        }
    }
}

fn follow(root: &Path, own_path: &str, folder: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { root.join(own_path) } else { root.join(folder).join(path) };
    if !file.exists() {
        return Err(format!("`{target}` does not exist"));
    }
    if heading.is_empty() || file.extension().is_none_or(|extension| extension != "md") {
        return Ok(());
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let mut headings = prose_lines(&text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line));
    if headings.any(|slug| slug == heading) { Ok(()) } else { Err(format!("no heading gives `{target}`")) }
}

/// Returns the anchor that a heading gets on the common forges.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn check_limits(file: &TextFile, known: &BTreeSet<&str>, violations: &mut Vec<Violation>) {
    for (number, line) in prose_lines(&file.text) {
        for name in code_spans(line)
            .filter(|name| name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        {
            if !known.contains(name) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: number,
                    rule: &DEAD_LIMIT,
                    what: format!("`{name}` is nowhere in the code"),
                });
            }
        }
    }
}

fn words<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    texts.flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).collect()
}

/// Returns the lines outside fenced blocks with their numbers from 1.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn link_targets(line: &str) -> Vec<String> {
    let after = line.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split_whitespace().next().unwrap_or("").to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is wrong with `docs/a.md` in a repository that has `docs/b.md` with a heading and `core/types`.
    fn broken(text: &str) -> Vec<(usize, &'static str)> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("docs")).unwrap();
        std::fs::create_dir_all(root.path().join("core/types")).unwrap();
        std::fs::write(root.path().join("docs/b.md"), "# The *first* heading, really\n").unwrap();
        let mut violations = Vec::new();
        check(root.path(), &[TextFile { path: "docs/a.md".into(), text: text.into() }], &[], &mut violations);
        violations.iter().map(|violation| (violation.line, violation.rule.name)).collect()
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(
            broken("[b](b.md) [h](b.md#the-first-heading-really) [t](../core/types) [w](https://example.org/x)\n"),
            []
        );
        assert_eq!(broken("\n[c](c.md)\n"), [(2, "dead link")]);
        assert_eq!(broken("[b](b.md#another)\n"), [(1, "dead link")]);
        assert_eq!(broken("`[c](c.md)`\n```\n[c](c.md)\n```\n"), []);
    }

    #[test]
    fn names_are_of_files_that_exist() {
        assert_eq!(broken("`core/types` `docs/b.md:1` `other/thing.rs` `core/{a,b}`\n"), []);
        assert_eq!(broken("walks through `core/types/src/gone.rs`\n"), [(1, "dead name")]);
    }

    #[test]
    fn limits_are_spelled_as_in_the_code() {
        let file = |text: &str| TextFile { path: LIMITS_AND_ERRORS.into(), text: text.into() };
        let source = Source::parse(&TextFile {
            path: "core/a/src/lib.rs".into(),
            text: "const FRAME_BYTES_MAX: usize = 1;\n".into(),
        });
        let mut violations = Vec::new();
        check(Path::new("."), &[file("`FRAME_BYTES_MAX` `plain` `FRAME_BYTES_MIN`\n")], &[source], &mut violations);
        assert_eq!(violations.iter().map(|violation| violation.rule.name).collect::<Vec<_>>(), ["dead limit"]);
    }
}
