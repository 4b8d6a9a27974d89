//! The effective configuration: which value each key has, and who said so.
//!
//! Owns the precedence (flag, then environment, then file, then default) and the collection of every problem at once, so that
//! an operator mends a file in one go. Does not know what a server does with a value: that is [`settings`](crate::settings).
//!
//! - A value in [`Config`] has the form that its key demands.
//! - The value of a [`Form::Secret`] key is never shown, in a problem neither.

pub(crate) mod example;
pub(crate) mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use self::keys::{Default, Form, KEYS, Key, PREFIX};

/// Every key with its value.
#[derive(Debug)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, (Value, Source)>,
    warnings: Vec<String>,
}

/// A value of the form that its key demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Path(PathBuf),
    Address(Option<SocketAddr>),
    Number(u64),
    Switch(bool),
}

/// Who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(String),
    Variable(String),
    File(PathBuf),
    Default,
}

/// Something that the operator has to mend before the server starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}\n    {next}")]
pub(crate) struct Problem {
    /// Where: a file and key, a variable or a flag.
    pub(crate) place: String,
    /// What is wrong with it.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) next: String,
}

/// What the operator said, in the three places where it can be said.
#[derive(Clone, Debug, std::default::Default)]
pub(crate) struct Said {
    /// The configuration file, if one was named.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// Flags by the name of their key.
    pub(crate) flags: BTreeMap<String, String>,
}

/// Reads what was said into a configuration.
///
/// # Errors
/// Every problem there is. Nothing was changed anywhere.
pub(crate) fn read(said: &Said) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let file = said.file.as_deref().map(|path| (path, read_file(path, &mut problems)));
    let mut values = BTreeMap::new();
    for key in KEYS {
        let flag = said.flags.get(key.name).map(|text| (text.clone(), Source::Flag(format!("--{}", key.flag()))));
        let variable =
            || said.variables.get(&key.variable()).map(|text| (text.clone(), Source::Variable(key.variable())));
        let in_file = || {
            file.as_ref().and_then(|(path, file)| Some((file.get(key.name)?.clone(), Source::File(path.to_path_buf()))))
        };
        let default = || match key.default {
            Default::Is(text) => Some((text.to_owned(), Source::Default)),
            Default::Absent | Default::Required => None,
        };
        let Some((text, source)) = flag.or_else(variable).or_else(in_file).or_else(default) else {
            let place = said.file.clone().map(|path| Source::File(path).place(key.name));
            let is_known_bad = problems.iter().any(|problem| Some(&problem.place) == place.as_ref());
            if key.default == Default::Required && !is_known_bad {
                problems.push(missing(key, said.file.as_deref()));
            }
            continue;
        };
        match parse(key, &text, &source) {
            Ok(value) => {
                values.insert(key.name, (value, source));
            }
            Err(expected) => problems.push(Problem {
                place: source.place(key.name),
                what: if key.form == Form::Secret { "not usable".into() } else { format!("\"{text}\" is not usable") },
                next: format!("Write {expected}."),
            }),
        }
    }
    let known: Vec<String> = KEYS.iter().map(Key::variable).chain([format!("{PREFIX}CONFIG")]).collect();
    // Only a warning: orchestrators put variables of their own making into the environment, named after the service.
    let strange = said.variables.keys().filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let warnings = strange.map(|name| format!("{name} is set, but there is no such setting: it is ignored")).collect();
    if problems.is_empty() { Ok(Config { values, warnings }) } else { Err(problems) }
}

/// Returns the values of a file as text by key, and notes what is wrong with the file itself.
fn read_file(path: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let place = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let next = "Check the path given with --config, and who may read it.".into();
            problems.push(Problem { place, what: format!("cannot be read: {error}"), next });
            return found;
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => flatten(&table, "", path, &mut found, problems),
        Err(error) => {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            let what = format!("line {line} is not TOML: {}", error.message());
            problems.push(Problem { place, what, next: "`halcyond config example` prints a file that is.".into() });
        }
    }
    found
}

fn flatten(
    table: &toml::Table,
    above: &str,
    path: &Path,
    found: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in table {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let text = match value {
            toml::Value::Table(below) => {
                flatten(below, &name, path, found, problems);
                continue;
            }
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Integer(number) => Some(number.to_string()),
            toml::Value::Boolean(switch) => Some(switch.to_string()),
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) => None,
        };
        let place = Source::File(path.to_owned()).place(&name);
        match (KEYS.iter().any(|key| key.name == name), text) {
            (true, Some(text)) => {
                found.insert(name, text);
            }
            (true, None) => {
                let next = "Write a text, a whole number, or true or false.".into();
                problems.push(Problem { place, what: "has a form that no setting has".into(), next });
            }
            (false, _) => {
                problems.push(Problem { place, what: "there is no such setting".into(), next: nearest(&name) })
            }
        }
    }
}

/// Returns advice for a name that is none.
fn nearest(name: &str) -> String {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let alike = |key: &&Key| last(key.name) == last(name) || letters_apart(key.name, name) <= 3;
    match KEYS.iter().filter(alike).map(|key| key.name).collect::<Vec<_>>().as_slice() {
        [] => "`halcyond config example` lists all settings.".into(),
        names => format!("Did you mean {}?", names.join(" or ")),
    }
}

/// Returns how many letters must be put in, taken out or changed to make one name of the other.
fn letters_apart(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn missing(key: &Key, file: Option<&Path>) -> Problem {
    let (flag, variable) = (key.flag(), key.variable());
    let file = file.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
    Problem {
        place: file,
        what: format!("{} is not set", key.name),
        next: format!(
            "Set it there, for example {} = \"{}\", or with {variable} or --{flag}. {}",
            key.name, key.example, key.meaning
        ),
    }
}

/// Returns the value that a text stands for, or what would be right.
fn parse(key: &Key, text: &str, source: &Source) -> Result<Value, String> {
    match key.form {
        Form::Text | Form::Secret if text.trim().is_empty() => {
            Err("a text that is not empty, or leave the setting out".into())
        }
        Form::Text | Form::Secret => Ok(Value::Text(text.to_owned())),
        Form::Path if text.is_empty() => Err("a path that is not empty, or leave the setting out".into()),
        Form::Path => Ok(Value::Path(match source {
            Source::File(file) => file.parent().unwrap_or(Path::new("")).join(text),
            _ => PathBuf::from(text),
        })),
        Form::AddressOrNone if text == "none" => Ok(Value::Address(None)),
        Form::Address | Form::AddressOrNone => match text.parse() {
            Ok(address) => Ok(Value::Address(Some(address))),
            Err(_) if key.form == Form::Address => {
                Err("an address with a port, such as 0.0.0.0:5223 or [::]:5223".into())
            }
            Err(_) => Err("an address with a port, such as 127.0.0.1:9464, or none".into()),
        },
        Form::Number { min, max } => match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
            _ => Err(format!("a whole number from {min} to {max}")),
        },
        Form::Switch => text.parse().map(Value::Switch).map_err(|_| "true or false".into()),
        Form::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Form::Choice(words) => Err(format!("one of {}", words.join(", "))),
    }
}

impl Config {
    /// Returns the value of a key, if it has one.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(KEYS.iter().any(|key| key.name == name), "{name} is not in the table");
        self.values.get(name).map(|(value, _)| value)
    }

    /// Returns where the value of a key was said, for messages; the key's name where it was not said at all.
    pub(crate) fn place(&self, name: &str) -> String {
        self.values.get(name).map_or_else(|| name.to_owned(), |(_, source)| source.place(name))
    }

    /// Returns a text or a choice.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a path.
    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        match self.value(name) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// Returns an address, unless it is `none`.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        match self.value(name) {
            Some(Value::Address(address)) => *address,
            _ => None,
        }
    }

    /// Returns a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Returns whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::Switch(true))
    }

    /// Returns what is odd, but keeps no server from starting.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// One key a line, with who said so; secrets are not shown.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in KEYS {
            let Some((value, source)) = self.values.get(key.name) else { continue };
            let shown = if key.form == Form::Secret { "(not shown)".to_owned() } else { value.to_string() };
            let said = match source {
                Source::Default => "default".to_owned(),
                Source::Flag(flag) => flag.clone(),
                Source::Variable(name) => name.clone(),
                Source::File(path) => path.display().to_string(),
            };
            writeln!(f, "{:<42} = {shown:<28} # {said}", key.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Text(text) => format!("\"{text}\""),
            Self::Path(path) => format!("\"{}\"", path.display()),
            Self::Address(Some(address)) => format!("\"{address}\""),
            Self::Address(None) => "\"none\"".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Switch(switch) => switch.to_string(),
        };
        f.pad(&text)
    }
}

impl Source {
    fn place(&self, key: &str) -> String {
        match self {
            Self::Flag(flag) => flag.clone(),
            Self::Variable(name) => name.clone(),
            Self::File(path) => format!("{}: {key}", path.display()),
            Self::Default => key.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
