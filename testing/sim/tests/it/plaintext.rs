//! I5: what a peer wrote is parsed in one place, seen in the sources.

use std::path::{Path, PathBuf};

/// The one place.
const DECODER: &str = "core/content/src/decode.rs";
/// What a second decoder of contents would have to name.
const WORDS: &[&str] = &["Content::decode(", "Content::merge(", "content::wire", "wire::content::"];
/// The wire types themselves, and those who write them.
const WRITERS: &[&str] = &["core/content/src/wire.rs", "core/content/src/encode.rs"];

/// Returns the line by which a source takes part in parsing contents, if it does.
fn parses(path: &str, source: &str) -> Option<String> {
    if path == DECODER || WRITERS.contains(&path) || path.contains("/tests") {
        return None;
    }
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let names = |line: &&str| !line.trim_start().starts_with("//") && WORDS.iter().any(|word| line.contains(word));
    code.lines().find(names).map(str::to_owned)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// I5
#[test]
fn contents_are_parsed_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut found = Vec::new();
    for folder in ["core", "shell", "apps"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 100, "the sources are not where this looks");
    for path in found {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let line = parses(&name, &std::fs::read_to_string(&path).unwrap());
        assert_eq!(line, None, "{name} parses contents by itself");
    }
}

/// I5
#[test]
fn i5_a_second_decoder_is_caught() {
    let sneaky = "fn peek(plaintext: &[u8]) { let _ = wire::Content::decode(plaintext); }";
    assert!(parses("shell/client/src/receive.rs", sneaky).is_some());
    assert!(parses("apps/halcyon/src/main.rs", "use halcyon_content::wire::Message;").is_some());
    assert!(parses(DECODER, sneaky).is_none());
}
