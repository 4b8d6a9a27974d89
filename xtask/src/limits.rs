//! `cargo xtask limits`: the table of limits in `docs/limits-and-errors.md`, made from the constants.
//!
//! Owns the part of that document between its two markers. A limit is a documented constant whose name ends as limits do
//! (`_MAX`, `_MS`, …) in the code that ships of `core/` and `shell/`. Does not evaluate anything: the value is shown as the code
//! has it, so that `16 * 1024` stays readable.
//!
//! - `tidy` fails while the document differs from the code; `--write` mends it.

use std::path::Path;

use anyhow::Context as _;

use crate::source::{Line, Source};
use crate::{Outcome, tree};

const DOCUMENT: &str = "docs/limits-and-errors.md";
const START: &str = "<!-- limits: made by `cargo xtask limits --write` -->";
const END: &str = "<!-- limits end -->";

/// How the name of a limit ends.
const ENDINGS: &[&str] = &[
    "_MAX",
    "_MIN",
    "_MS",
    "_S",
    "_PER_HOUR",
    "_PER_DAY",
    "_BURST",
    "_COUNT",
    "_DAYS",
    "_TRIES",
    "_TIMEOUT",
    "_LIFETIME",
    "_LIVES",
    "_RETENTION",
    "_REFRESH",
    "_ROLL",
    "_KEEP",
    "_GRACE",
    "_FLOOR",
    "_COUNTERS",
    "_MEMORY",
    "_AGE",
];

/// One constant.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    value: String,
    reason: String,
    path: String,
}

pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let sources: Vec<Source> = tree::read(root, &["rs"])?.iter().map(Source::parse).collect();
    match args {
        [] => print!("{}", table(&sources)),
        [flag] if flag == "--write" => {
            let path = root.join(DOCUMENT);
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
            let (before, _, after) = parts(&text).with_context(|| format!("{DOCUMENT} has lost its markers"))?;
            std::fs::write(&path, format!("{before}{START}\n\n{}\n{END}{after}", table(&sources)))?;
        }
        _ => anyhow::bail!("the only argument is --write"),
    }
    Ok(Outcome::Clean)
}

/// Returns what is wrong with the table in the document, if anything.
pub(crate) fn staleness(root: &Path, sources: &[Source]) -> Option<String> {
    let text = std::fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default();
    let Some((_, shown, _)) = parts(&text) else {
        return Some(format!("{DOCUMENT}: there is no table of limits between its markers"));
    };
    (shown.trim() != table(sources).trim())
        .then(|| format!("{DOCUMENT}: the table of limits differs from the code: cargo xtask limits --write"))
}

fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(START)?;
    let (shown, after) = rest.split_once(END)?;
    Some((before, shown, after))
}

fn table(sources: &[Source]) -> String {
    let mut limits: Vec<Limit> = sources.iter().filter(|source| is_looked_at(&source.path)).flat_map(limits).collect();
    limits.sort_by(|a, b| (&a.path, &a.name).cmp(&(&b.path, &b.name)));
    let mut text = String::from("| limit | value | what and why | where |\n|---|---|---|---|\n");
    for Limit { name, value, reason, path } in limits {
        text.push_str(&format!("| `{name}` | `{value}` | {} | `{path}` |\n", reason.replace('|', "\\|")));
    }
    text
}

fn is_looked_at(path: &str) -> bool {
    path.starts_with("core/") || path.starts_with("shell/")
}

fn limits(source: &Source) -> Vec<Limit> {
    let mut found = Vec::new();
    for (index, _) in source.lines.iter().enumerate().filter(|(_, line)| !line.is_test) {
        let Some((name, value)) = constant(&source.lines, index) else { continue };
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(Limit { name, value, reason: doc_above(&source.lines, index), path: source.path.clone() });
        }
    }
    found
}

/// Returns name and value of the constant that begins on a line.
fn constant(lines: &[Line], index: usize) -> Option<(String, String)> {
    let code = lines[index].code.trim();
    let declaration = code
        .strip_prefix("pub(crate) ")
        .or_else(|| code.strip_prefix("pub(super) "))
        .or_else(|| code.strip_prefix("pub "))
        .unwrap_or(code);
    let (name, _) = declaration.strip_prefix("const ")?.split_once(':')?;
    // The value may go on below.
    let rest: String = lines[index..]
        .iter()
        .scan(false, |ended, line| {
            let part = (!*ended).then(|| line.raw.trim().to_owned() + " ");
            *ended |= line.code.contains(';');
            part
        })
        .collect();
    let (_, value) = rest.split_once(" = ")?;
    let value = value.split_once(';').map_or(value, |(value, _)| value);
    Some((name.trim().into(), value.trim().into()))
}

/// Returns the doc comment above a line as one line.
fn doc_above(lines: &[Line], index: usize) -> String {
    let above = lines[..index]
        .iter()
        .rev()
        .map(|line| line.raw.trim())
        .take_while(|raw| raw.starts_with("///") || raw.starts_with("#["));
    let mut doc: Vec<&str> = above.filter_map(|raw| raw.strip_prefix("///")).map(str::trim).collect();
    doc.reverse();
    doc.join(" ").trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    fn parse(text: &str) -> Source {
        Source::parse(&TextFile { path: "core/a/src/lib.rs".into(), text: text.into() })
    }

    #[test]
    fn a_limit_is_shown_with_its_value_and_reason() {
        let source = parse(
            "//! Doc.\n\n/// Bytes of a frame.\n/// Room for 512 envelopes (COU-3).\npub const FRAME_BYTES_MAX: usize =\n    256 * 1024;\nconst NAME: &str = \"x\";\n",
        );
        let table = table(&[source]);
        assert!(table.ends_with("|\n| `FRAME_BYTES_MAX` | `256 * 1024` | Bytes of a frame. Room for 512 envelopes (COU-3). | `core/a/src/lib.rs` |\n"), "{table}");
    }

    #[test]
    fn a_document_that_differs_from_the_code_is_stale() {
        let root = tempfile::tempdir().unwrap();
        let source = [parse("/// Why.\nconst WAIT_MS: u64 = 5;\n")];
        assert!(staleness(root.path(), &source).unwrap().contains("no table"));
        std::fs::create_dir(root.path().join("docs")).unwrap();
        let write = |table: &str| {
            std::fs::write(root.path().join(DOCUMENT), format!("# Limits\n{START}\n\n{table}\n{END}\nmore")).unwrap()
        };
        write(&table(&source));
        assert_eq!(staleness(root.path(), &source), None);
        write(&table(&source).replace('5', "6"));
        assert!(staleness(root.path(), &source).unwrap().contains("--write"));
    }
}
