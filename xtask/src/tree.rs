//! The files of the repository that the checks look at.
//!
//! Owns which folders are ours and which are products of a build. Does not know what a file means.
//! Paths are relative to the root and use `/`, so that tables and messages read the same everywhere.

use std::path::Path;

use anyhow::Context as _;

/// One text file: its path from the root, and its text.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Reads every file whose name ends in one of `extensions` (`"rs"`), sorted by path. `""` takes files without an extension.
pub(crate) fn read(root: &Path, extensions: &[&str]) -> anyhow::Result<Vec<TextFile>> {
    let mut files = Vec::new();
    visit(root, "", extensions, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn visit(root: &Path, below: &str, extensions: &[&str], files: &mut Vec<TextFile>) -> anyhow::Result<()> {
    let folder = root.join(below);
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            if is_ours(&name) {
                visit(root, &path, extensions, files)?;
            }
        } else if extensions.contains(&extension(&name)) {
            let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            files.push(TextFile { path, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
    Ok(())
}

/// Returns whether a folder holds sources: not a build's product, not a tool's hidden folder.
fn is_ours(name: &str) -> bool {
    const HIDDEN_BUT_OURS: &[&str] = &[".ci", ".cargo"];
    HIDDEN_BUT_OURS.contains(&name) || !(name.starts_with('.') || name == "target" || name == "node_modules")
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_a_build_are_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["core/a.rs", "target/b.rs", ".git/c.rs", ".ci/run", "docs/d.md"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        let paths: Vec<String> = read(folder.path(), &["rs", ""]).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [".ci/run", "core/a.rs"]);
    }
}
