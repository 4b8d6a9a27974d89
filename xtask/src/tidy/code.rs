//! What may stand in a Rust file, and in any file.
//!
//! Owns the table of banned words. Judges words, not meanings: `core/clippy.toml` sees through a `use`, and this sees what
//! clippy has no lint for.

use super::{Rule, Violation};
use crate::source::{Source, has_word};
use crate::tree::TextFile;

const HEADER: Rule = Rule {
    name: "module header",
    reason: "a reader learns first what a file owns and what it does not know; absence is the one thing code cannot show",
};
const LENGTH: Rule = Rule {
    name: "length",
    reason: "a file that long tells more than one story: split it along the state it owns (tables are listed in xtask/src/tidy/code.rs)",
};
const UNFINISHED: Rule =
    Rule { name: "unfinished", reason: "what is left open belongs to an issue, where it can be weighed and closed" };
const MACHINE_PATH: Rule = Rule { name: "machine path", reason: "a path of one machine is wrong on every other" };
const PRINTING: Rule =
    Rule { name: "printing", reason: "a library does not know whose terminal it is on: return a value or use tracing" };
const AMBIENT: Rule = Rule {
    name: "ambient",
    reason: "core takes time and randomness as arguments and touches nothing else, so that a seed decides everything in a simulation",
};
const PORTED: Rule = Rule {
    name: "ported",
    reason: "client and server take clock and randomness through their ports; adapters and apps fill them in",
};
const SAFETY: Rule =
    Rule { name: "safety", reason: "each unsafe needs its argument right above it: // SAFETY: why it holds" };
const UNSAFE: Rule = Rule {
    name: "unsafe",
    reason: "unsafe code lives in the crates that tidy lists (UNSAFE_FOLDERS), each with its decision record",
};

/// Lines that ship, tests not counted.
const LINES_MAX: usize = 600;

/// Long regular tables, which are fine.
const TABLES: &[&str] = &[];

/// Words that are spelled in two halves here, because this file is looked at as well.
const UNFINISHED_WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[", "ignore"),
];
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const PRINTING_WORDS: &[&str] = &["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("];
const AMBIENT_WORDS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "thread_rng",
    "OsRng",
    "getrandom::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio::",
];
/// Addresses are values and fine; what opens a socket or a file is not.
const PORTED_WORDS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "thread_rng",
    "OsRng",
    "getrandom::",
    "std::fs",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
];

const FOLDERS: &[&str] = &["core/", "shell/", "apps/", "testing/", "xtask/", "bench/"];

pub(super) fn check(source: &Source, violations: &mut Vec<Violation>) {
    let path = source.path.as_str();
    if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return;
    }
    let mut violate = |line, rule, what: String| violations.push(Violation { path: path.into(), line, rule, what });

    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    if !is_test && !source.lines.first().is_some_and(|line| line.raw.starts_with("//!")) {
        violate(1, &HEADER, "does not begin with //!".into());
    }
    let shipped = source.shipped().count();
    if shipped > LINES_MAX && !is_test && !TABLES.contains(&path) {
        violate(LINES_MAX + 1, &LENGTH, format!("{shipped} lines besides tests, more than {LINES_MAX}"));
    }
    for (number, line) in source.shipped() {
        for (rule, words) in word_rules(path) {
            for word in *words {
                if has_word(&line.code, word) && !is_tokio_instant(source, word) {
                    violate(number, rule, format!("`{}`", word.trim_end_matches('(')));
                }
            }
        }
    }
    let is_unsafe_folder = super::UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(&format!("{folder}/")));
    let places =
        source.lines.iter().enumerate().filter(|(_, line)| has_word(&line.code, "unsafe")).map(|(index, _)| index);
    let unargued: Vec<usize> = places
        .filter(|index| !is_unsafe_folder || has_obligation(&source.lines[*index].code) && !is_argued(source, *index))
        .collect();
    match unargued.as_slice() {
        [] => {}
        // One crate in the wrong place is one thing to decide, not sixty.
        [first, rest @ ..] if !is_unsafe_folder => {
            violate(first + 1, &UNSAFE, format!("`unsafe`, and {} more in this file", rest.len()))
        }
        all => all.iter().for_each(|index| violate(index + 1, &SAFETY, "no // SAFETY: above".into())),
    }
}

/// Checks what holds for every text file, Rust or not.
pub(super) fn check_text(file: &TextFile, violations: &mut Vec<Violation>) {
    for (index, line) in file.text.lines().enumerate() {
        let mut look = |rule, words: &[&str]| {
            for word in words.iter().filter(|word| has_word(line, word)) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: index + 1,
                    rule,
                    what: format!("`{}`", word.trim_end_matches('(')),
                });
            }
        };
        look(&MACHINE_PATH, MACHINE_PATHS);
        if file.path.ends_with(".rs") || file.path.ends_with(".proto") {
            look(&UNFINISHED, UNFINISHED_WORDS);
        }
    }
}

/// Returns the words that a file may not use, by the folder it sits in.
fn word_rules(path: &str) -> &'static [(&'static Rule, &'static [&'static str])] {
    let is_build_script = path.ends_with("/build.rs");
    // A bench reads the clock and prints: that is all it is for.
    let is_bench = path.contains("/benches/");
    match path.split('/').collect::<Vec<_>>().as_slice() {
        _ if is_build_script || is_bench => &[],
        ["core", ..] => &[(&AMBIENT, AMBIENT_WORDS), (&PRINTING, PRINTING_WORDS)],
        ["shell", "client" | "server", ..] => &[(&PORTED, PORTED_WORDS), (&PRINTING, PRINTING_WORDS)],
        ["shell" | "testing", ..] => &[(&PRINTING, PRINTING_WORDS)],
        _ => &[],
    }
}

/// Timers are tokio's, which a simulation pauses, and so is their clock.
fn is_tokio_instant(source: &Source, word: &str) -> bool {
    let imports = |line: &str| line.contains("tokio::time::") && has_word(line, "Instant");
    word == "Instant::now"
        && source.lines.iter().any(|line| imports(&line.code))
        && !source.lines.iter().any(|line| line.code.contains("std::time::") && has_word(&line.code, "Instant"))
}

/// Returns whether an `unsafe` on this line promises something, as blocks and impls do. A function only asks its callers to
/// promise, in its doc, and so does the type of a pointer to one.
fn has_obligation(code: &str) -> bool {
    code.split("unsafe").skip(1).any(|after| {
        let after = after.trim_start();
        let declares =
            after.strip_prefix("extern").map_or(after, |abi| abi.trim_start().trim_start_matches(['"', ' ']));
        !declares.starts_with("fn")
    })
}

/// Returns whether the comment above a line, or on it, argues for its `unsafe`.
fn is_argued(source: &Source, index: usize) -> bool {
    let argues = |line: &crate::source::Line| line.comment.trim_start_matches('/').trim_start().starts_with("SAFETY:");
    let above =
        source.lines[..index].iter().rev().take_while(|line| line.code.trim().is_empty() && !line.comment.is_empty());
    argues(&source.lines[index]) || above.into_iter().any(argues)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let file = TextFile { path: path.into(), text: text.into() };
        let mut violations = Vec::new();
        check(&Source::parse(&file), &mut violations);
        check_text(&file, &mut violations);
        violations.iter().map(|violation| (violation.line, violation.rule.name)).collect()
    }

    #[test]
    fn a_file_says_first_what_it_owns() {
        assert_eq!(broken("core/a/src/lib.rs", "use std::fmt;\n"), [(1, "module header")]);
        assert_eq!(broken("core/a/build.rs", "fn main() {}\n"), [(1, "module header")]);
        assert_eq!(broken("core/a/tests/it/main.rs", "mod a;\n"), []);
    }

    #[test]
    fn long_stories_are_split_and_tests_do_not_count() {
        let long = format!("//! Doc.\n{}", "fn a() {}\n".repeat(600));
        assert_eq!(broken("shell/a/src/lib.rs", &long), [(601, "length")]);
        let tested = format!("//! Doc.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(600));
        assert_eq!(broken("shell/a/src/lib.rs", &tested), []);
    }

    #[test]
    fn nothing_is_left_open() {
        for word in UNFINISHED_WORDS {
            assert_eq!(broken("apps/a/src/main.rs", &format!("//! Doc.\n// {word}\n")), [(2, "unfinished")], "{word}");
        }
        assert_eq!(broken("proto/a.proto", &format!("// {}: x\n", UNFINISHED_WORDS[0])), [(1, "unfinished")]);
        assert_eq!(broken("apps/a/src/main.rs", &format!("//! {}X\n", UNFINISHED_WORDS[2])), []);
    }

    #[test]
    fn no_path_of_one_machine() {
        for path in MACHINE_PATHS {
            assert_eq!(broken("docs/a.md", &format!("see {path}x")), [(1, "machine path")]);
        }
    }

    #[test]
    fn libraries_do_not_print() {
        for word in PRINTING_WORDS {
            assert_eq!(
                broken("shell/a/src/lib.rs", &format!("//! Doc.\nfn a() {{ {word}1) }}\n")),
                [(2, "printing")],
                "{word}"
            );
        }
        assert_eq!(broken("apps/a/src/main.rs", "//! Doc.\nfn a() { println!(\"x\") }\n"), []);
        assert_eq!(broken("core/a/src/lib.rs", "//! Doc.\n#[test]\nfn a() { println!(\"x\") }\n"), []);
    }

    #[test]
    fn core_takes_nothing_from_its_surroundings() {
        for word in AMBIENT_WORDS {
            assert_eq!(
                broken("core/a/src/lib.rs", &format!("//! Doc.\nfn a() {{ {word}() }}\n")),
                [(2, "ambient")],
                "{word}"
            );
        }
        assert_eq!(broken("core/a/src/lib.rs", "//! Doc: no `std::fs`.\n// OsRng\n"), []);
        assert_eq!(broken("core/a/benches/seal.rs", "//! Doc.\nfn a() { Instant::now() }\n"), []);
    }

    #[test]
    fn client_and_server_ask_their_ports() {
        for word in PORTED_WORDS {
            assert_eq!(
                broken("shell/server/src/a.rs", &format!("//! Doc.\nfn a() {{ {word}() }}\n")),
                [(2, "ported")],
                "{word}"
            );
        }
        assert_eq!(broken("shell/server-net/src/a.rs", "//! Doc.\nfn a() { SystemTime::now() }\n"), []);
        assert_eq!(broken("shell/server/src/a.rs", "//! Doc.\nuse std::net::IpAddr;\n"), []);
        assert_eq!(
            broken(
                "shell/client/src/a.rs",
                "//! Doc.\nuse tokio::time::{Duration, Instant};\nfn a() { Instant::now() }\n"
            ),
            []
        );
        assert_eq!(
            broken("shell/client/src/a.rs", "//! Doc.\nuse std::time::Instant;\nfn a() { Instant::now() }\n"),
            [(3, "ported")]
        );
    }

    #[test]
    fn a_function_asks_and_a_block_promises() {
        let asks = "//! Doc.\nunsafe extern \"C\" fn a(b: unsafe fn()) {}\n";
        assert_eq!(broken("core/rsa-legacy/src/a.rs", asks), []);
        let promises =
            "//! Doc.\nunsafe fn a() { unsafe { b() } }\nunsafe impl Send for C {}\nunsafe extern \"C\" {}\n";
        assert_eq!(broken("core/rsa-legacy/src/a.rs", promises), [(2, "safety"), (3, "safety"), (4, "safety")]);
    }

    #[test]
    fn unsafe_is_argued_and_in_one_place() {
        assert_eq!(broken("core/crypto/src/a.rs", "//! Doc.\nfn a() { unsafe { b() } }\n"), [(2, "unsafe")]);
        assert_eq!(broken("core/rsa-legacy/src/a.rs", "//! Doc.\nfn a() { unsafe { b() } }\n"), [(2, "safety")]);
        assert_eq!(
            broken(
                "core/rsa-legacy/src/a.rs",
                "//! Doc.\n// SAFETY: b takes nothing\n// and returns nothing.\nlet a = unsafe { b() };\n"
            ),
            []
        );
    }
}
