//! Runs files of test vectors against the product's own public API. Formats: spec/vectors/README.md.
//!
//! Owns the formats and what a test of each kind asks. Does not print and does not read files: `cargo xtask vectors` and
//! the tests hand in text and get a [`Report`].
//!
//! - A file that is not wholly of its format is an error, never a pass: an unknown suite, a missing field, bad hex.
//! - Each valid test is also a round trip: what we seal of its plaintext, we open.

mod pair;
mod pair_ec;
mod pq3_kdf;
pub mod pq3_transcript;

use serde_json::Value;

/// What the tests of one file gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failures: Vec<Failure>,
}

/// One test that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The test's id, with the list that it stands in if that is not `tests`.
    pub test: String,
    /// The vector's own comment.
    pub comment: String,
    /// What happened instead.
    pub what: String,
}

/// A file is not of a format that this runner knows. It counts as nothing passed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorsError {
    /// Not JSON, or not an object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// No suite, or one without a runner.
    #[error("unknown suite {0:?}")]
    UnknownSuite(String),
    /// A version of the format that this runner does not know.
    #[error("unknown schema {0}")]
    UnknownSchema(String),
    /// A field is missing or of another type.
    #[error("{place}: {what}")]
    Field {
        /// Test and field.
        place: String,
        /// What was expected there.
        what: &'static str,
    },
}

/// Runs one file, given as text.
///
/// # Errors
/// [`VectorsError`].
pub fn run(text: &str) -> Result<Report, VectorsError> {
    let file: Value = serde_json::from_str(text).map_err(|error| VectorsError::Json(error.to_string()))?;
    let file = Node::root(&file);
    let suite = file.text("suite").map_err(|_| VectorsError::UnknownSuite(String::new()))?;
    let runner = match suite {
        "pair" => pair::run,
        "pair-ec" => pair_ec::run,
        "pq3-kdf" => pq3_kdf::run,
        "pq3-transcript" => pq3_transcript::run,
        other => return Err(VectorsError::UnknownSuite(other.to_owned())),
    };
    match file.number("schema")? {
        1 => runner(&file),
        other => Err(VectorsError::UnknownSchema(other.to_string())),
    }
}

impl Report {
    /// Counts one test.
    fn record(&mut self, test: String, comment: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(what) => self.failures.push(Failure { test, comment: comment.to_owned(), what }),
        }
    }
}

/// What a test expects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Valid,
    Invalid,
}

/// A JSON value that knows where it stands, so that an error can say so.
struct Node<'a> {
    value: &'a Value,
    place: String,
}

impl<'a> Node<'a> {
    fn root(value: &'a Value) -> Self {
        Self { value, place: "file".to_owned() }
    }

    fn error(&self, field: &str, what: &'static str) -> VectorsError {
        VectorsError::Field { place: format!("{} {field}", self.place), what }
    }

    fn text(&self, field: &str) -> Result<&'a str, VectorsError> {
        self.value.get(field).and_then(Value::as_str).ok_or_else(|| self.error(field, "expected a string"))
    }

    fn number(&self, field: &str) -> Result<u64, VectorsError> {
        self.value.get(field).and_then(Value::as_u64).ok_or_else(|| self.error(field, "expected a number"))
    }

    fn bytes(&self, field: &str) -> Result<Vec<u8>, VectorsError> {
        let text = self.text(field)?;
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(text).ok().filter(|_| lower).ok_or_else(|| self.error(field, "expected lower-case hex"))
    }

    fn array<const N: usize>(&self, field: &str) -> Result<[u8; N], VectorsError> {
        self.bytes(field)?.try_into().map_err(|_| self.error(field, "has the wrong number of bytes"))
    }

    /// A list of at least one: a file that asks nothing proves nothing.
    fn list(&self, field: &str) -> Result<Vec<Node<'a>>, VectorsError> {
        let items = self.value.get(field).and_then(Value::as_array).filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| self.error(field, "expected a list that is not empty"))?;
        let node = |(i, value)| Node { value, place: format!("{field}[{i}]") };
        Ok(items.iter().enumerate().map(node).collect())
    }

    /// Id, comment and expected result of a test.
    fn test(&self) -> Result<(String, &'a str, Expected), VectorsError> {
        let expected = match self.text("result")? {
            "valid" => Expected::Valid,
            "invalid" => Expected::Invalid,
            _ => return Err(self.error("result", "expected \"valid\" or \"invalid\"")),
        };
        Ok((self.number("id")?.to_string(), self.text("comment")?, expected))
    }
}

/// Compares bytes that have to be equal, for a failure's text.
fn same(what: &str, actual: &[u8], expected: &[u8]) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what} is {}, expected {}", hex::encode(actual), hex::encode(expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        run(text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_of_another_kind_is_never_a_pass() {
        assert!(error("").starts_with("not a JSON object"));
        assert_eq!(error("[]"), "unknown suite \"\"");
        assert_eq!(error("{}"), "unknown suite \"\"");
        assert_eq!(error(r#"{"suite":"pair-x","schema":1}"#), "unknown suite \"pair-x\"");
        assert_eq!(error(r#"{"suite":"pair","schema":2,"tests":[]}"#), "unknown schema 2");
        assert_eq!(error(r#"{"suite":"pair"}"#), "file schema: expected a number");
        for suite in ["pair", "pair-ec"] {
            let no_tests = format!(r#"{{"suite":"{suite}","schema":1,"tests":[]}}"#);
            assert_eq!(error(&no_tests), "file tests: expected a list that is not empty");
            let odd_result = format!(r#"{{"suite":"{suite}","schema":1,"tests":[{{"result":"maybe"}}]}}"#);
            assert_eq!(error(&odd_result), "tests[0] result: expected \"valid\" or \"invalid\"");
        }
        assert_eq!(
            error(r#"{"suite":"pq3-kdf","schema":1,"root":[{"old_rk":"AA"}]}"#),
            "root[0] old_rk: expected lower-case hex"
        );
    }
}
