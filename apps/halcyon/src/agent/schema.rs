//! The description of the agent's methods for programs: an OpenRPC document.
//!
//! Owns how a method is described. What methods there are, [`methods`](super::methods) says.

use clap::{Arg, Command};
use serde_json::{Map, Value, json};

use super::methods::{self, Method, Takes};

/// The version of OpenRPC that the document is written in.
const OPENRPC: &str = "1.3.2";
/// The version of the methods. A change that breaks callers makes it another one.
pub(super) const API_VERSION: &str = "1.0.0";

/// Returns the document.
pub(crate) fn document() -> Value {
    let mut described: Vec<Value> = methods::methods().iter().map(describe).collect();
    described.extend(own());
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Halcyon agent",
            "version": API_VERSION,
            "description": "JSON-RPC 2.0 over a Unix socket, one object a line. See docs/agent.md.",
        },
        "methods": described,
    })
}

fn describe(method: &Method) -> Value {
    let mut params: Vec<Value> = methods::parameters(&method.command).iter().map(parameter).collect();
    params.extend(beside());
    json!({
        "name": method.name,
        "summary": about(&method.command),
        "paramStructure": "by-name",
        "params": params,
        "result": results(&format!("What `halcyon {} --output json` prints, one object a line.", method.name.replace('.', " "))),
    })
}

/// The methods that are no commands, and those about the agent itself.
fn own() -> Vec<Value> {
    let passphrase = json!({"name": "passphrase", "required": true, "schema": {"type": "string"}});
    let id = json!({"name": "id", "required": true, "schema": {"type": ["integer", "string"]}, "summary": "The id of the call."});
    let method = |name: &str, summary: &str, params: Vec<Value>| json!({"name": name, "summary": summary, "paramStructure": "by-name", "params": params, "result": results("What became of it.")});
    vec![
        method("agent.status", "Show how the agent is", vec![]),
        method("agent.unlock", "Open the profile, and connect", vec![passphrase]),
        method("agent.lock", "Forget all keys", vec![]),
        method("agent.stop", "End the agent", vec![]),
        method("cancel", "End a call of this connection", vec![id]),
        json!({"name": "rpc.discover", "summary": "Return this document", "params": [], "result": {"name": "document", "schema": {"type": "object"}}}),
    ]
}

/// What every method takes about the call itself.
fn beside() -> Vec<Value> {
    let flag = |name: &str, summary: &str| json!({"name": name, "summary": summary, "required": false, "schema": {"type": "boolean", "default": false}});
    vec![
        flag(
            "stream",
            "Send each result as a notification `result` when it is there, instead of all of them in the answer",
        ),
        flag("ask", "Send what the command asks a person as a request `input`, instead of failing"),
    ]
}

fn results(description: &str) -> Value {
    json!({"name": "results", "description": description, "schema": {"type": "array", "items": {"type": "object"}}})
}

fn parameter(argument: &Arg) -> Value {
    let mut schema = value(argument);
    if methods::takes(argument) == Takes::List {
        schema = json!({"type": "array", "items": schema});
    }
    json!({
        "name": argument.get_id().as_str(),
        "summary": argument.get_help().map(ToString::to_string).unwrap_or_default(),
        "required": argument.is_required_set(),
        "schema": schema,
    })
}

fn value(argument: &Arg) -> Value {
    let mut schema = Map::new();
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let is_flag = methods::takes(argument) == Takes::Flag;
    let kind = match (is_flag, methods::is_number(argument)) {
        (true, _) => "boolean",
        (false, true) => "integer",
        (false, false) => "string",
    };
    schema.insert("type".into(), kind.into());
    if !is_flag && !possible.is_empty() {
        schema.insert("enum".into(), possible.into());
    }
    if let Some(default) = argument.get_default_values().first().and_then(|value| value.to_str()).filter(|_| !is_flag) {
        let default = default.parse::<u64>().map_or_else(|_| Value::from(default), Value::from);
        schema.insert("default".into(), default);
    }
    Value::Object(schema)
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}
