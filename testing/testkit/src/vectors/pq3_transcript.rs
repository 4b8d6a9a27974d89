//! A long conversation in `pq3` with fixed randomness: every message's bytes and every intermediate value.
//!
//! Owns the format of the file, and the comparison of what it says with what comes out. [`world`] plays the conversation,
//! [`model`] computes the values from the randomness alone, [`script`] is the conversation that our file has.
//!
//! - Nothing of the file is believed: messages are sealed again from the same randomness and compared byte by byte, and
//!   values are computed from the private keys, not read out of the sessions.

mod model;
mod script;
mod world;

use serde_json::{Map, Value};

use super::{Node, Report, VectorsError};
use world::{Device, World};

/// Returns our file: the conversation of [`script`], as JSON.
///
/// # Panics
/// If our own implementation does not follow its specification: this makes a test vector.
#[must_use]
pub fn generate() -> String {
    let mut world = World::new(Device::generated());
    let mut events = Vec::new();
    for event in script::conversation() {
        events.push(world.play(&event).expect("our own conversation plays"));
    }
    let file = serde_json::json!({
        "suite": "pq3-transcript",
        "schema": 1,
        "devices": world.devices().iter().map(Device::to_json).collect::<Vec<_>>(),
        "events": events,
    });
    let mut text = serde_json::to_string_pretty(&file).expect("strings and numbers become JSON");
    text.push('\n');
    text
}

/// Plays the file's events in order and compares everything that comes out with what the file says.
pub(super) fn run(file: &Node<'_>) -> Result<Report, VectorsError> {
    let devices = file.list("devices")?.iter().map(Device::read).collect::<Result<Vec<_>, _>>()?;
    let devices = devices.try_into().map_err(|_| file.error("devices", "expected two devices"))?;
    let mut world = World::new(devices);
    let mut report = Report::default();
    for (device, node) in world.devices().iter().zip(file.list("devices")?) {
        report.record(node.place.clone(), "", compare(&device.to_json(), node.value));
    }
    for node in file.list("events")? {
        let event = script::Event::read(&node)?;
        let played = world.play(&event).and_then(|played| compare(&Value::Object(played), node.value));
        report.record(node.place.clone(), "", played);
    }
    Ok(report)
}

/// Compares field by field, so that a failure names the first value that differs.
fn compare(actual: &Value, expected: &Value) -> Result<(), String> {
    let empty = Map::new();
    let (actual, expected) = (actual.as_object().unwrap_or(&empty), expected.as_object().unwrap_or(&empty));
    for (name, value) in actual {
        match expected.get(name) {
            Some(other) if other == value => {}
            Some(other) if value.is_object() => compare(value, other).map_err(|what| format!("{name}: {what}"))?,
            other => return Err(format!("{name} is {value}, expected {}", other.unwrap_or(&Value::Null))),
        }
    }
    match expected.keys().find(|name| !actual.contains_key(*name)) {
        Some(name) => Err(format!("{name} is not computed here")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transcript passes; with any value of it changed it does not.
    #[test]
    fn a_changed_value_is_found() {
        let text = generate();
        let report = super::super::run(&text).unwrap();
        assert_eq!(report.failures, []);
        assert!(report.passed > 100, "{}", report.passed);
        let file: Value = serde_json::from_str(&text).unwrap();
        for (event, field) in [(0, "message"), (0, "mk"), (8, "next_ck"), (9, "plaintext")] {
            let mut bent = file.clone();
            let value = bent["events"][event].get_mut(field).unwrap_or_else(|| panic!("event {event} has no {field}"));
            let text = value.as_str().unwrap();
            let last = if text.ends_with('0') { "1" } else { "0" };
            *value = Value::String(format!("{}{last}", &text[..text.len() - 1]));
            let report = super::super::run(&bent.to_string()).unwrap();
            assert!(!report.failures.is_empty(), "event {event} {field}");
        }
    }
}
