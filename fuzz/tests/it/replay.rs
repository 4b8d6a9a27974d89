//! What fuzzing found once is tried again each time: corpora, regressions and seeds.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use halcyon_fuzz::{TARGETS, Target};

/// A target's corpus is small, so that all of them run in seconds and a clone stays small.
const FILES_MAX: usize = 150;
const CORPORA_BYTES_MAX: u64 = 1_500_000;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &Target, what: &str, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(outcome.is_ok(), "{}: {what} breaks a promise; the panic above says which", target.name);
}

/// Every input of every corpus keeps every promise.
#[test]
fn corpora_keep_their_promises() {
    for target in TARGETS {
        let files = files(&folder("corpus", target.name));
        assert!(!files.is_empty(), "{} has no corpus: cargo xtask fuzz --seeds makes one", target.name);
        files.iter().for_each(|file| replay(target, &file.display().to_string(), &fs::read(file).unwrap()));
    }
}

/// What was found once stays mended.
#[test]
fn regressions_stay_mended() {
    for target in TARGETS {
        let files = files(&folder("regressions", target.name));
        files.iter().for_each(|file| replay(target, &file.display().to_string(), &fs::read(file).unwrap()));
    }
}

/// What our own encoders make today keeps every promise, too, and so does each beginning of it.
#[test]
fn seeds_and_their_beginnings_keep_their_promises() {
    for target in TARGETS {
        for (index, seed) in (target.seeds)().iter().enumerate() {
            replay(target, &format!("seed {index}"), seed);
            for cut in [seed.len() / 3, seed.len() * 2 / 3, seed.len().saturating_sub(1)] {
                replay(target, &format!("seed {index} up to {cut}"), &seed[..cut]);
            }
        }
        replay(target, "nothing", &[]);
    }
}

/// Folders and binaries are those of the table, and the corpora small.
#[test]
fn folders_and_binaries_are_those_of_the_table() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stems = |kind: &str| -> BTreeSet<String> {
        files(&root.join(kind)).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(stems("fuzz_targets"), names, "one binary a target");
    assert_eq!(stems("corpus"), names, "one corpus a target");
    assert!(stems("regressions").is_subset(&names), "regressions belong to a target");
    let mut bytes = 0;
    for target in TARGETS {
        let files = files(&folder("corpus", target.name));
        assert!(files.len() <= FILES_MAX, "{} has {} files: cargo xtask fuzz --minimize", target.name, files.len());
        bytes += files.iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    }
    assert!(bytes <= CORPORA_BYTES_MAX, "the corpora have {bytes} bytes: cargo xtask fuzz --minimize");
}
