//! `cargo xtask spec`: every numbered requirement of `spec/` is met by a line of code and shown by a test.
//!
//! Owns what an id, a definition and a citation look like. Does not judge whether the code is right: that is what the cited
//! test is for.
//!
//! - A definition is `**COU-12**` at the start of a line of a chapter.
//! - A citation is an id in a comment of a Rust file: `// COU-12`, `/// COU-10 to COU-13`, `COU-10..13`. A range counts for all
//!   ids in it.
//! - Comments in `proto/` and `docs/` explain; they must name ids that exist, and count for nothing.

mod ids;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::ids::{Citation, Id};
use crate::Outcome;
use crate::source::{Source, is_test_path};
use crate::tree::{self, TextFile};

/// Where something stands: file and line from 1.
type Place = (String, usize);

/// What the repository says about its requirements.
#[derive(Default)]
struct Report {
    requirements: BTreeMap<Id, Requirement>,
    problems: Vec<String>,
}

#[derive(Default)]
struct Requirement {
    defined: Place,
    code: Vec<Place>,
    tests: Vec<Place>,
}

pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let only_missing = match args {
        [] => false,
        [flag] if flag == "--missing" => true,
        _ => anyhow::bail!("the only argument is --missing"),
    };
    let report = examine(&tree::read(root, &["md", "rs", "proto"])?);
    print!("{}", if only_missing { report.missing() } else { report.table() });
    for problem in &report.problems {
        println!("{problem}");
    }
    let incomplete = report.requirements.values().filter(|requirement| !requirement.is_complete()).count();
    println!(
        "{} requirements, {incomplete} without code or test, {} problems",
        report.requirements.len(),
        report.problems.len()
    );
    Ok(if incomplete == 0 && report.problems.is_empty() { Outcome::Clean } else { Outcome::Found })
}

fn examine(files: &[TextFile]) -> Report {
    let mut report = Report::default();
    for file in files.iter().filter(|file| is_chapter(&file.path)) {
        report.define(file);
    }
    if report.requirements.is_empty() {
        // Otherwise a moved folder would make this check pass for ever.
        report.problems.push("spec/: no requirement found at all".into());
    }
    for file in files {
        if file.path.ends_with(".rs") {
            report.cite_source(&Source::parse(file));
        } else {
            report.cite_prose(file);
        }
    }
    report
}

fn is_chapter(path: &str) -> bool {
    path.starts_with("spec/") && path.ends_with(".md")
}

impl Report {
    fn define(&mut self, file: &TextFile) {
        for (index, line) in file.text.lines().enumerate() {
            let Some(id) = ids::definition(line) else { continue };
            let place = (file.path.clone(), index + 1);
            if let Some(first) = self.requirements.get(&id) {
                let (path, number) = &first.defined;
                self.problems.push(format!("{}:{}: {id} is defined already at {path}:{number}", file.path, index + 1));
                continue;
            }
            self.requirements.insert(id, Requirement { defined: place, ..Requirement::default() });
        }
    }

    fn cite_source(&mut self, source: &Source) {
        // The checks and the benches talk about ids without meeting any of them.
        let counts = !source.path.starts_with("xtask/") && !source.path.starts_with("bench/");
        if !counts {
            return;
        }
        for (number, line) in source.numbered() {
            for citation in ids::citations(&line.comment) {
                let place = (source.path.clone(), number);
                for id in self.resolve(&citation, &place) {
                    let Some(requirement) = self.requirements.get_mut(&id) else { continue };
                    let places = if line.is_test || is_test_path(&source.path) {
                        &mut requirement.tests
                    } else {
                        &mut requirement.code
                    };
                    places.push(place.clone());
                }
            }
        }
    }

    fn cite_prose(&mut self, file: &TextFile) {
        for (index, line) in file.text.lines().enumerate() {
            for citation in ids::citations(line) {
                self.resolve(&citation, &(file.path.clone(), index + 1));
            }
        }
    }

    /// Returns the requirements that a citation means, and notes what it gets wrong.
    fn resolve(&mut self, citation: &Citation, (path, number): &Place) -> Vec<Id> {
        let is_chapter_prefix = |prefix: &str| self.requirements.keys().any(|id| id.prefix == prefix);
        if !is_chapter_prefix(&citation.first.prefix) {
            if !ids::is_foreign(&citation.first.prefix) {
                self.problems.push(format!("{path}:{number}: {}: no chapter has such ids", citation.first));
            }
            return Vec::new();
        }
        for end in BTreeSet::from([&citation.first, &citation.last]) {
            if !self.requirements.contains_key(end) {
                self.problems.push(format!("{path}:{number}: {end} is not in spec/"));
            }
        }
        if citation.last.number < citation.first.number {
            self.problems.push(format!("{path}:{number}: {} to {} runs backwards", citation.first, citation.last));
        }
        self.requirements
            .range(citation.first.clone()..)
            .map(|(id, _)| id)
            .take_while(|id| **id <= citation.last)
            .cloned()
            .collect()
    }

    fn table(&self) -> String {
        let mut lines = format!("{:<8} {:<52} {}\n", "id", "code", "test");
        for (id, requirement) in &self.requirements {
            let line = format!("{:<8} {:<52} {}", id.to_string(), show(&requirement.code), show(&requirement.tests));
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        lines
    }

    fn missing(&self) -> String {
        let mut lines = String::new();
        for (id, requirement) in self.requirements.iter().filter(|(_, requirement)| !requirement.is_complete()) {
            let what = match (requirement.code.is_empty(), requirement.tests.is_empty()) {
                (true, true) => "code and test",
                (true, false) => "code",
                _ => "test",
            };
            let (path, number) = &requirement.defined;
            lines.push_str(&format!("{id}: no {what} ({path}:{number})\n"));
        }
        lines
    }
}

impl Requirement {
    fn is_complete(&self) -> bool {
        !self.code.is_empty() && !self.tests.is_empty()
    }
}

fn show(places: &[Place]) -> String {
    match places {
        [] => "MISSING".into(),
        [(path, number)] => format!("{path}:{number}"),
        [(path, number), rest @ ..] => format!("{path}:{number} +{}", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAPTER: &str = "# Courier\n\n**COU-1** Frames. See COU-2.\n\n**COU-2** More.\n\n**COU-3** Last.\n";

    fn report(files: &[(&str, &str)]) -> Report {
        let file = |(path, text): &(&str, &str)| TextFile { path: (*path).into(), text: (*text).into() };
        examine(&files.iter().map(file).collect::<Vec<_>>())
    }

    fn missing(files: &[(&str, &str)]) -> Vec<String> {
        report(files).missing().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_requirement_needs_code_and_test() {
        let code =
            "// COU-1\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    /// COU-1, COU-3\n    #[test]\n    fn b() {}\n}\n";
        let lines = missing(&[("spec/30.md", CHAPTER), ("core/a/src/lib.rs", code)]);
        assert_eq!(lines, ["COU-2: no code and test (spec/30.md:5)", "COU-3: no code (spec/30.md:7)"]);
        let lines = missing(&[("spec/30.md", CHAPTER), ("core/a/src/lib.rs", "//! COU-1 to COU-3\n")]);
        assert_eq!(lines.len(), 3, "a citation outside tests is no test: {lines:?}");
    }

    #[test]
    fn a_range_counts_for_all_in_it() {
        for range in ["COU-1 to COU-3", "COU-1..3", "COU-1..=3", "COU-1..COU-3", "COU-1 to 3"] {
            let (code, test) = (format!("// {range}\n"), format!("/// {range}\n"));
            let files = [
                ("spec/30.md", CHAPTER),
                ("core/a/src/lib.rs", code.as_str()),
                ("core/a/tests/it/b.rs", test.as_str()),
            ];
            assert_eq!(missing(&files), Vec::<String>::new(), "{range}");
        }
    }

    #[test]
    fn a_word_in_a_string_or_in_proto_meets_nothing() {
        let files = [
            ("spec/30.md", CHAPTER),
            ("core/a/src/lib.rs", "const A: &str = \"COU-1\";\n"),
            ("proto/a.proto", "// COU-2\n"),
            ("xtask/src/spec.rs", "// COU-3\n"),
        ];
        assert_eq!(missing(&files).len(), 3);
    }

    #[test]
    fn unknown_ids_duplicates_and_backward_ranges_are_problems() {
        let problems = |files: &[(&str, &str)]| report(files).problems;
        let one = |text: &str| problems(&[("spec/30.md", CHAPTER), ("core/a/src/lib.rs", text)]);
        assert_eq!(one("// COU-9\n"), ["core/a/src/lib.rs:1: COU-9 is not in spec/"]);
        assert_eq!(one("// SES-1\n"), ["core/a/src/lib.rs:1: SES-1: no chapter has such ids"]);
        assert_eq!(one("// COU-3 to COU-1\n"), ["core/a/src/lib.rs:1: COU-3 to COU-1 runs backwards"]);
        assert_eq!(one("// UTF-8, SHA-256, ML-KEM-768\n"), Vec::<String>::new());
        let twice = format!("{CHAPTER}\n**COU-2** Again.\n");
        assert_eq!(problems(&[("spec/30.md", &twice)]), ["spec/30.md:9: COU-2 is defined already at spec/30.md:5"]);
        assert_eq!(problems(&[("docs/a.md", "as COU-7 says")]).len(), 2, "no chapter at all is a problem too");
    }
}
