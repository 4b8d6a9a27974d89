//! Rust text, split line by line into code, comment and test.
//!
//! Owns just enough of Rust's lexical rules that a word in a string or a comment is never taken for code. Does not parse:
//! a test is a file of tests, or the item below `#[cfg(test)]`, `#[test]` and their like, found by its braces.
//!
//! - `code` keeps the columns of the line; what is inside strings and comments is blank in it.

use crate::tree::TextFile;

/// A Rust file, split.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

/// One line of a Rust file.
#[derive(Default)]
pub(crate) struct Line {
    /// As written.
    pub(crate) raw: String,
    /// Without what is inside comments and strings.
    pub(crate) code: String,
    /// What is inside comments.
    pub(crate) comment: String,
    /// Whether only tests see it.
    pub(crate) is_test: bool,
}

impl Source {
    /// Splits a file.
    pub(crate) fn parse(file: &TextFile) -> Self {
        let mut lines = split(&file.text);
        let whole =
            is_test_path(&file.path) || lines.iter().any(|line| line.code.trim_start().starts_with("#![cfg(test)]"));
        if whole {
            lines.iter_mut().for_each(|line| line.is_test = true);
        } else {
            mark_tests(&mut lines);
        }
        Self { path: file.path.clone(), lines }
    }

    /// Returns the code outside tests with its line numbers from 1.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.numbered().filter(|(_, line)| !line.is_test)
    }

    /// Returns all lines with their numbers from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Returns whether a file holds tests and nothing else.
pub(crate) fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing" | "testing.rs"))
}

/// Returns whether `text` has `word` with no letter, digit or `_` next to it.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !(before.is_some_and(joins) && word.starts_with(joins) || after.is_some_and(joins) && word.ends_with(joins))
    })
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// Nesting depth.
    BlockComment(usize),
    Text,
    /// Number of `#`.
    RawText(usize),
}

fn split(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut state = State::Code;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(std::mem::take(&mut line));
            at += 1;
            continue;
        }
        let next = chars.get(at + 1).copied();
        let (length, shown, follows) = match state {
            State::Code => step_in_code(&chars, at, next),
            State::LineComment => (1, Shown::Comment, state),
            State::BlockComment(depth) => match (c, next) {
                ('*', Some('/')) if depth == 1 => (2, Shown::Neither, State::Code),
                ('*', Some('/')) => (2, Shown::Comment, State::BlockComment(depth - 1)),
                ('/', Some('*')) => (2, Shown::Comment, State::BlockComment(depth + 1)),
                _ => (1, Shown::Comment, state),
            },
            State::Text => match c {
                // An escaped newline must still end the line.
                '\\' if next != Some('\n') => (2, Shown::Neither, state),
                '"' => (1, Shown::Code, State::Code),
                _ => (1, Shown::Neither, state),
            },
            State::RawText(hashes) => {
                let closes =
                    c == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').take(hashes).count() == hashes;
                if closes { (1 + hashes, Shown::Code, State::Code) } else { (1, Shown::Neither, state) }
            }
        };
        for c in &chars[at..(at + length).min(chars.len())] {
            line.raw.push(*c);
            line.code.push(if matches!(shown, Shown::Code) { *c } else { ' ' });
            if matches!(shown, Shown::Comment) {
                line.comment.push(*c);
            }
        }
        state = follows;
        at += length;
    }
    if !line.raw.is_empty() {
        lines.push(line);
    }
    lines
}

enum Shown {
    Code,
    Comment,
    Neither,
}

fn step_in_code(chars: &[char], at: usize, next: Option<char>) -> (usize, Shown, State) {
    match (chars[at], next) {
        ('/', Some('/')) => (2, Shown::Neither, State::LineComment),
        ('/', Some('*')) => (2, Shown::Neither, State::BlockComment(1)),
        ('"', _) => (1, Shown::Code, State::Text),
        ('r', Some('"' | '#')) if !follows_word(chars, at) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            match chars.get(at + 1 + hashes) {
                Some('"') => (2 + hashes, Shown::Code, State::RawText(hashes)),
                // `r#type` is a name.
                _ => (1, Shown::Code, State::Code),
            }
        }
        // A character, not a lifetime: `'\n'`, `'"'`.
        ('\'', Some('\\')) => {
            let length = chars[at + 3..].iter().take_while(|c| **c != '\'' && **c != '\n').count();
            (4 + length, Shown::Neither, State::Code)
        }
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (3, Shown::Neither, State::Code),
        _ => (1, Shown::Code, State::Code),
    }
}

/// Returns whether the `r` here is the end of a name; `br"` and `cr"` are not.
fn follows_word(chars: &[char], at: usize) -> bool {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let before = at.checked_sub(1).and_then(|at| chars.get(at));
    let earlier = at.checked_sub(2).and_then(|at| chars.get(at));
    match before {
        Some('b' | 'c') => earlier.is_some_and(is_word),
        before => before.is_some_and(is_word),
    }
}

/// What an attribute of a test begins with. `#[cfg(any(test, …))]` ships, so it is not one.
const TEST_ATTRIBUTES: &[&str] = &["#[cfg(test)]", "#[cfg(all(test", "#[test]", "#[tokio::test"];

fn mark_tests(lines: &mut [Line]) {
    for index in 0..lines.len() {
        if lines[index].is_test || !TEST_ATTRIBUTES.iter().any(|attribute| lines[index].code.contains(attribute)) {
            continue;
        }
        // The doc comment and the other attributes above belong to the test.
        let above = lines[..index].iter().rev().take_while(|line| belongs_below(line)).count();
        let end = end_of_item(lines, index);
        lines[index - above..=end].iter_mut().for_each(|line| line.is_test = true);
    }
}

fn belongs_below(line: &Line) -> bool {
    let (code, raw) = (line.code.trim(), line.raw.trim());
    (code.is_empty() && raw.starts_with("//") && !raw.starts_with("//!")) || code.starts_with("#[")
}

/// Returns the line on which the item whose attribute stands on `start` ends.
fn end_of_item(lines: &[Line], start: usize) -> usize {
    let mut braces = 0_usize;
    // Round and square brackets: a `;` inside `[u8; 4]` does not end an item.
    let mut brackets = 0_usize;
    for (index, line) in lines.iter().enumerate().skip(start) {
        for c in line.code.chars() {
            match c {
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 {
                        return index;
                    }
                }
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return index,
                _ => {}
            }
        }
    }
    lines.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse(&TextFile { path: "core/a/src/lib.rs".into(), text: text.into() })
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        let text = "let a = \"unsafe // {\"; // COU-1 }\nlet b = r#\"{ \" unsafe\"#; /* unsafe /* { */ } */ let c = '\"';\nlet d = '{'; let e: &'a str = b\"\\\"{\";";
        let source = parse(text);
        for line in &source.lines {
            assert!(!line.code.contains("unsafe") && !line.code.contains(['{', '}']), "{}", line.code);
        }
        assert_eq!(source.lines[0].comment.trim(), "COU-1 }");
        assert!(source.lines[1].code.contains("let c"));
        assert!(source.lines[2].code.contains("&'a str"));
    }

    #[test]
    fn a_string_over_many_lines_ends_where_it_ends() {
        let source = parse("let a = \"one \\\n  unsafe\n\";\nlet b = 1;");
        assert_eq!(source.lines.len(), 4);
        assert!(!source.lines[1].code.contains("unsafe"));
        assert!(source.lines[3].code.contains("let b"));
    }

    #[test]
    fn tests_are_told_from_what_ships() {
        let text = "//! Doc.\nfn shipped() {}\n\n/// COU-1\n#[test]\nfn one() {\n    let x = [0; 4];\n}\nfn also() {}\n#[cfg(test)]\nmod tests;\nfn last() {}\n#[cfg(test)]\nmod more {\n    fn a() {}\n}\n";
        let shipped: Vec<usize> = parse(text).shipped().map(|(number, _)| number).collect();
        assert_eq!(shipped, [1, 2, 3, 9, 12]);
        for path in ["core/a/tests/it/main.rs", "core/a/src/link/tests.rs", "testing/testkit/src/lib.rs"] {
            assert!(is_test_path(path), "{path}");
        }
        assert!(!is_test_path("core/a/src/latest.rs"));
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(has_word("a.println!(", "println!("));
        assert!(!has_word("eprintln!(", "println!("));
    }
}
