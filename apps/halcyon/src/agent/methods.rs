//! The methods of the agent: the commands, with their arguments as named parameters.
//!
//! Owns the translation between a call and a command line, both ways. Does not run anything.
//!
//! - Methods, parameters and what is refused follow from the definition in [`crate::args`] alone, so nothing that the command line can do
//!   is missing here, and none of it is written twice.
//! - `halcyon devices rename desk` is the method `devices.rename` with `{"name": "desk"}`.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use serde_json::{Map, Value};

use crate::args::{Arguments, definition};
use crate::failure::Failure;

/// Commands that make a profile, need none, or are about the agent itself.
const NOT_METHODS: [&str; 8] = ["register", "link", "agent", "unlock", "lock", "completions", "man", "help"];
/// The one parameter of all methods: how many seconds to wait for server and peers.
const TIMEOUT: &str = "timeout";

/// A method, with its command.
pub(crate) struct Method {
    /// `send`, or `devices.rename`.
    pub(crate) name: String,
    /// Its definition.
    pub(crate) command: Command,
}

/// A call: what a command line asks of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// Which method.
    pub(crate) method: String,
    /// Its parameters.
    pub(crate) params: Map<String, Value>,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `true` or `false`.
    Flag,
    /// One value.
    One,
    /// A list of them, or one.
    List,
}

/// Returns all methods, in the order of the help.
pub(crate) fn methods() -> Vec<Method> {
    let mut found = Vec::new();
    for command in definition().get_subcommands() {
        if !NOT_METHODS.contains(&command.get_name()) {
            collect(command, command.get_name().to_owned(), &mut found);
        }
    }
    found
}

fn collect(command: &Command, name: String, found: &mut Vec<Method>) {
    if !command.is_subcommand_required_set() {
        found.push(Method { name: name.clone(), command: command.clone() });
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, format!("{name}.{}", below.get_name()), found);
    }
}

/// Returns the parameters of a method: the arguments of its command, and the timeout.
pub(crate) fn parameters(command: &Command) -> Vec<Arg> {
    let mut own: Vec<Arg> =
        command.get_arguments().filter(|argument| !is_about_the_program(argument)).cloned().collect();
    own.extend(definition().get_arguments().filter(|argument| argument.get_id() == TIMEOUT).cloned());
    own
}

fn is_about_the_program(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
        || argument.is_global_set()
}

/// Returns what a parameter takes.
pub(crate) fn takes(argument: &Arg) -> Takes {
    let many = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    match argument.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Takes::Flag,
        ArgAction::Append => Takes::List,
        _ if many => Takes::List,
        _ => Takes::One,
    }
}

/// Returns whether its values are numbers.
pub(crate) fn is_number(argument: &Arg) -> bool {
    let takes = argument.get_value_parser().type_id();
    takes == TypeId::of::<u64>() || takes == TypeId::of::<u32>()
}

/// Returns the call that does what was typed; nothing for commands that are no methods.
pub(crate) fn call(typed: &ArgMatches) -> Option<Call> {
    let root = definition();
    let (name, mut matches) = typed.subcommand()?;
    let mut command = root.find_subcommand(name).filter(|_| !NOT_METHODS.contains(&name))?;
    let mut method = name.to_owned();
    let mut params = Map::new();
    loop {
        for argument in command.get_arguments().filter(|argument| !is_about_the_program(argument)) {
            params.extend(given(argument, matches));
        }
        let Some((name, below)) = matches.subcommand() else { break };
        command = command.find_subcommand(name)?;
        matches = below;
        method = format!("{method}.{name}");
    }
    params.extend(root.get_arguments().filter(|argument| argument.get_id() == TIMEOUT).flat_map(|a| given(a, matches)));
    Some(Call { method, params })
}

fn given(argument: &Arg, matches: &ArgMatches) -> Option<(String, Value)> {
    let id = argument.get_id().as_str();
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let is_path = argument.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let mut values = matches.get_raw(id)?.map(|value| match is_path.then(|| std::path::absolute(value)) {
        // The agent has another folder.
        Some(Ok(path)) => path.to_string_lossy().into_owned(),
        _ => value.to_string_lossy().into_owned(),
    });
    let value = match takes(argument) {
        Takes::Flag => Value::Bool(true),
        // The agent may be in another folder than whoever typed it.
        Takes::One if takes_path(argument) => Value::String(absolute(values.next()?)),
        Takes::One => Value::String(values.next()?),
        Takes::List => values.map(Value::String).collect(),
    };
    Some((id.to_owned(), value))
}

fn takes_path(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<PathBuf>()
}

fn absolute(path: String) -> String {
    std::path::absolute(&path).map_or(path, |path| path.to_string_lossy().into_owned())
}

/// Why a call is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// There is no such method.
    Method,
    /// The method takes no such parameters; says what is wrong.
    Params(String),
}

/// Returns what the command line of a call would parse to.
///
/// # Errors
/// [`CallError`]
pub(crate) fn arguments(call: &Call) -> Result<Arguments, CallError> {
    let method = methods().into_iter().find(|method| method.name == call.method).ok_or(CallError::Method)?;
    let known = parameters(&method.command);
    let mut line: Vec<OsString> = vec!["halcyon".into()];
    line.extend(call.method.split('.').map(OsString::from));
    let mut positional: Vec<(usize, String)> = Vec::new();
    for (name, value) in &call.params {
        let place = known.iter().position(|argument| argument.get_id() == name.as_str()).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|argument| argument.get_id().as_str()).collect();
            CallError::Params(format!("{} takes no `{name}`; it takes: {}", call.method, names.join(", ")))
        })?;
        let argument = &known[place];
        for value in values(argument, value)? {
            match (argument.get_long(), value) {
                (Some(long), None) => line.push(format!("--{long}").into()),
                (Some(long), Some(value)) => line.push(format!("--{long}={value}").into()),
                // Words stand in the order in which the command defines them, whatever that of the parameters is.
                (None, value) => positional.push((place, value.unwrap_or_default())),
            }
        }
    }
    positional.sort_by_key(|(place, _)| *place);
    line.push("--".into());
    line.extend(positional.into_iter().map(|(_, value)| OsString::from(value)));
    Arguments::try_parse_from(line).map_err(|error| CallError::Params(first_words(&error)))
}

/// Returns the values as they would be typed; nothing in place of a flag's.
fn values(argument: &Arg, value: &Value) -> Result<Vec<Option<String>>, CallError> {
    let wrong = |expected| CallError::Params(format!("`{}` takes {expected}", argument.get_id()));
    match (takes(argument), value) {
        (Takes::Flag, Value::Bool(true)) => Ok(vec![None]),
        (Takes::Flag, Value::Bool(false)) => Ok(vec![]),
        (Takes::Flag, _) => Err(wrong("true or false")),
        (Takes::List, Value::Array(several)) => {
            several.iter().map(|value| scalar(value).map(Some).ok_or_else(|| wrong("a list of texts"))).collect()
        }
        (_, value) => Ok(vec![Some(scalar(value).ok_or_else(|| wrong("a text or a number"))?)]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What clap says goes on with how a command line is used, which is of no use here.
fn first_words(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns what was typed, and the call that does it.
///
/// # Errors
/// The mistake in the line, or a request for help.
pub(crate) fn typed(line: impl IntoIterator<Item = OsString>) -> Result<(Arguments, Option<Call>), clap::Error> {
    let matches = definition().try_get_matches_from(line)?;
    let arguments = <Arguments as clap::FromArgMatches>::from_arg_matches(&matches)?;
    Ok((arguments, call(&matches)))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Method => Self::user("there is no such method").next("`halcyon agent schema` lists them"),
            CallError::Params(what) => Self::user(what).next("`halcyon agent schema` says what each method takes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn typed_line(line: &[&str]) -> Call {
        typed(line.iter().map(OsString::from)).unwrap().1.unwrap()
    }

    fn parsed(method: &str, params: Value) -> Result<String, CallError> {
        let Value::Object(params) = params else { panic!("an object") };
        arguments(&Call { method: method.to_owned(), params }).map(|arguments| format!("{:?}", arguments.command))
    }

    #[test]
    fn a_command_line_becomes_a_call_and_the_same_command() {
        let lines: [(&[&str], &str, Value); 7] = [
            (
                &["halcyon", "send", "bob@example.org", "carol@example.org", "--text", "-hi- there", "--wait"],
                "send",
                json!({"to": ["bob@example.org", "carol@example.org"], "text": "-hi- there", "wait": true}),
            ),
            (&["halcyon", "devices"], "devices", json!({})),
            (&["halcyon", "devices", "rename", "--", "-x-"], "devices.rename", json!({"name": "-x-"})),
            (
                &["halcyon", "react", "12", "love", "--timeout", "5", "--profile", "work"],
                "react",
                json!({"message": "12", "tapback": "love", "timeout": "5"}),
            ),
            (&["halcyon", "sessions", "reset", "--yes"], "sessions.reset", json!({"yes": true})),
            (&["halcyon", "listen", "--count", "3"], "listen", json!({"count": "3"})),
            (
                &["halcyon", "contacts", "add", "Bob Builder", "bob@example.org", "tel:+491701234567"],
                "contacts.add",
                json!({"handles": ["bob@example.org", "tel:+491701234567"], "name": "Bob Builder"}),
            ),
        ];
        for (line, method, params) in lines {
            let call = typed_line(line);
            assert_eq!((call.method.as_str(), Value::Object(call.params.clone())), (method, params));
            let (here, _) = typed(line.iter().map(OsString::from)).unwrap();
            assert_eq!(format!("{:?}", arguments(&call).unwrap().command), format!("{:?}", here.command));
            assert_eq!(arguments(&call).unwrap().global.timeout, here.global.timeout);
        }
    }

    /// A file is the caller's, wherever the agent was started.
    #[test]
    fn files_are_named_from_the_root() {
        let call = typed_line(&["halcyon", "send", "bob@example.org", "--contact", "bob.vcf"]);
        let path = std::path::Path::new(call.params["contact"].as_str().unwrap()).to_owned();
        assert!(path.is_absolute() && path.ends_with("bob.vcf"), "{path:?}");
    }

    #[test]
    fn what_is_about_this_process_is_no_call() {
        for line in [&["halcyon", "unlock"][..], &["halcyon", "agent"], &["halcyon", "man"]] {
            assert_eq!(typed(line.iter().map(OsString::from)).unwrap().1, None);
        }
    }

    #[test]
    fn numbers_may_be_numbers() {
        assert_eq!(parsed("history", json!({"limit": 7})).unwrap(), parsed("history", json!({"limit": "7"})).unwrap());
    }

    /// What is refused on a command line is refused in a call, and says what is wrong.
    #[test]
    fn mistakes_are_named() {
        let refused = |method: &str, params| match parsed(method, params) {
            Err(CallError::Params(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(parsed("sned", json!({})), Err(CallError::Method));
        assert_eq!(parsed("register", json!({"handle": "a@b.org"})), Err(CallError::Method));
        insta::assert_snapshot!(refused("unsend", json!({"messages": 1})), @"unsend takes no `messages`; it takes: message, part, timeout");
        insta::assert_snapshot!(refused("send", json!({"text": "hi"})), @"the following required arguments were not provided: <HANDLE>...");
        insta::assert_snapshot!(refused("send", json!({"to": "nobody"})), @"invalid value 'nobody' for '<HANDLE>...': a handle is an email address (mailto:name@example.org) or a phone number (tel:+491701234567)");
        insta::assert_snapshot!(refused("send", json!({"to": "b@example.org", "wait": 1})), @"`wait` takes true or false");
        insta::assert_snapshot!(refused("send", json!({"to": [{}]})), @"`to` takes a list of texts");
        insta::assert_snapshot!(refused("history", json!({"limit": 0})), @"invalid value '0' for '--limit <COUNT>': 0 is not in 1..=100000");
        assert!(refused("listen", json!({"profile": "other"})).contains("takes no `profile`"));
    }

    /// A parameter cannot become another option: each value stays one.
    #[test]
    fn values_stay_values() {
        let command =
            parsed("send", json!({"to": "b@example.org", "text": "--wait", "from": "a@example.org"})).unwrap();
        assert!(command.contains(r#"text: Some("--wait")"#) && command.contains("wait: false"), "{command}");
        assert!(parsed("send", json!({"to": "--wait"})).is_err());
    }
}
