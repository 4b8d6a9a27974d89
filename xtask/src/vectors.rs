//! `cargo xtask vectors FILE...`: runs files of test vectors. Formats: spec/vectors/README.md.
//!
//! Owns reading the files and printing. What a test asks is `halcyon_testkit::vectors`.

use std::path::Path;

use halcyon_testkit::vectors;

use crate::Outcome;

/// Runs each file. A file that cannot be read or is not of its format is reported by name; the others still run.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    anyhow::ensure!(!args.is_empty(), "name at least one file");
    let (mut passed, mut failed, mut unusable) = (0, 0, Vec::new());
    for file in args {
        match run_file(root, file) {
            Ok(report) => {
                passed += report.passed;
                failed += report.failures.len();
                for failure in report.failures {
                    println!("{file}: test {}: {}: {}", failure.test, failure.comment, failure.what);
                }
            }
            Err(error) => unusable.push(format!("{file}: {error:#}")),
        }
    }
    println!("{passed} passed, {failed} failed");
    match (failed, unusable.is_empty()) {
        (0, true) => Ok(Outcome::Clean),
        (0, false) => anyhow::bail!("{}", unusable.join("\n")),
        (_, _) => {
            unusable.iter().for_each(|line| eprintln!("{line}"));
            Ok(Outcome::Found)
        }
    }
}

/// Compares the transcript of `pq3` with what our code makes today; `--write` replaces it. It is deterministic, so a
/// difference is a change of the protocol.
pub(crate) fn transcript(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let made = vectors::pq3_transcript::generate();
    let path = root.join(TRANSCRIPT);
    match args {
        [] if std::fs::read_to_string(&path)? == made => Ok(Outcome::Clean),
        [] => {
            println!("{TRANSCRIPT} is not what our code makes; if the protocol was meant to change, use --write");
            Ok(Outcome::Found)
        }
        [flag] if flag == "--write" => {
            std::fs::write(&path, made)?;
            Ok(Outcome::Clean)
        }
        _ => anyhow::bail!("transcript takes --write or nothing"),
    }
}

const TRANSCRIPT: &str = "spec/vectors/pq3-transcript.json";

/// Reads a file named relative to where the command was started, or else to the root of the repository.
fn run_file(root: &Path, file: &str) -> anyhow::Result<vectors::Report> {
    let here = Path::new(file);
    let path = if here.exists() { here.to_path_buf() } else { root.join(file) };
    Ok(vectors::run(&std::fs::read_to_string(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    fn args(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    /// The vectors of spec/vectors pass, every one of them.
    #[test]
    fn our_vectors_pass() {
        for (file, tests) in [("pair", 41), ("pair-ec", 31), ("pq3-kdf", 148), ("pq3-transcript", 162)] {
            let report = run_file(root(), &format!("spec/vectors/{file}.json")).unwrap();
            assert_eq!(report.failures, [], "{file}");
            assert_eq!(report.passed, tests, "{file}");
        }
    }

    /// The transcript is the conversation that our code has.
    #[test]
    fn the_transcript_is_ours() {
        assert_eq!(transcript(root(), &[]).unwrap(), Outcome::Clean);
    }

    /// A bent byte anywhere that matters is a failing test, and exit status 1.
    #[test]
    fn a_wrong_vector_fails() {
        let folder = tempfile::tempdir().unwrap();
        for (file, field) in
            [("pair", "plaintext"), ("pair-ec", "payload"), ("pq3-kdf", "rk"), ("pq3-transcript", "rk")]
        {
            let text = std::fs::read_to_string(root().join(format!("spec/vectors/{file}.json"))).unwrap();
            let bent = bend_last(&text, field);
            let path = folder.path().join(format!("{file}.json"));
            std::fs::write(&path, bent).unwrap();
            let outcome = run(root(), &[path.to_str().unwrap().to_owned()]).unwrap();
            assert_eq!(outcome, Outcome::Found, "{file}");
        }
    }

    /// Changes the last hex digit of the first non-empty `field` of a test that is valid.
    fn bend_last(text: &str, field: &str) -> String {
        let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
        let lists = ["tests", "root", "events"];
        let list = lists.into_iter().find(|list| file.get(list).is_some()).unwrap();
        let test = file[list]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|test| test[field].as_str().is_some_and(|hex| !hex.is_empty()))
            .unwrap();
        let mut hex = test[field].as_str().unwrap().to_owned();
        let last = if hex.pop() == Some('0') { '1' } else { '0' };
        hex.push(last);
        test[field] = hex.into();
        file.to_string()
    }

    /// A file that is missing, or of another kind, is an error that names it, even among good ones.
    #[test]
    fn an_unusable_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("odd.json");
        std::fs::write(&odd, r#"{"suite":"rot13","schema":1}"#).unwrap();
        let odd = odd.to_str().unwrap().to_owned();
        for bad in ["no/such/file.json", odd.as_str()] {
            let error = run(root(), &args(&["spec/vectors/pq3-kdf.json", bad])).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{bad}: ")), "{error}");
        }
        assert!(run(root(), &[]).is_err());
    }
}
