//! Synapse: Matrix, with a room for each sender and the receiver that it writes to.
//!
//! A message counts as accepted when the request that sends it is answered, as delivered when it is in an answer to its
//! receiver's `/sync`; the next `/sync`, which asks for what comes after, acknowledges it.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::Http;
use crate::load::{Client, Event, Peer, Stamp};
use crate::server::{self, Server};
use crate::text::{stamp_of, text_of};
use crate::wire::{Door, Wire};
use crate::{About, Running};

/// A running home server.
pub(crate) struct Synapse {
    _server: Server,
    door: Door,
    /// Tokens by name of the user.
    tokens: Mutex<HashMap<String, String>>,
    /// Rooms by sender.
    rooms: Mutex<HashMap<u32, String>>,
}

pub(crate) async fn start(home: &Path) -> Result<Running<Synapse>> {
    let python = server::find(&[&server::cache("synapse/bin/python")?])?;
    let asked = Command::new(&python).args(["-c", VERSION]).output()?;
    let port = server::free_port()?;
    let mut server = Server::new(home)?;
    server.write_config("log.yaml", include_str!("../config/synapse-log.yaml"), &[])?;
    let config =
        server.write_config("synapse.yaml", include_str!("../config/synapse.yaml"), &[("port", &port.to_string())])?;
    // A key that signs for a server which nobody else knows.
    std::fs::write(
        server.folder().join("signing.key"),
        "ed25519 a_bench BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n",
    )?;
    let mut command = Command::new(python);
    command.args(["-m", "synapse.app.homeserver", "--config-path"]).arg(config);
    server.spawn(command)?;
    let door = Door::new(server.folder(), port)?;
    let tls = server.opens(&door).await?;
    let about = About {
        version: String::from_utf8_lossy(&asked.stdout).trim().to_owned(),
        configuration: "one process, SQLite, a room of two for each sender, without encryption; its history stays",
        tls,
    };
    Ok(Running { about, peer: Synapse { _server: server, door, tokens: Mutex::default(), rooms: Mutex::default() } })
}

impl Peer for Synapse {
    type Client = Matrix;

    async fn receiver(&self, number: u32) -> Result<Matrix> {
        let token = self.token(&receiver(number)).await?;
        let mut matrix =
            Matrix::new(&self.door, Does::Receive { since: String::new(), stamps: Vec::new() }, token).await?;
        // What was before is of no interest, and a first answer has all of it.
        let first = matrix.ask("GET", &format!("/_matrix/client/v3/sync?filter={FILTER}"), &Value::Null).await?;
        if let Does::Receive { since, .. } = &mut matrix.does {
            *since = text_in(&first, "next_batch")?;
        }
        matrix.sync();
        matrix.http.wire.flush().await?;
        Ok(matrix)
    }

    async fn sender(&self, number: u32, to: u32) -> Result<Matrix> {
        let name = format!("sender{number}");
        let token = self.token(&name).await?;
        let room = self.room(number, &token, to).await?;
        let connection = CONNECTIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{connection}");
        Matrix::new(&self.door, Does::Send { path, number: 0 }, token).await
    }

    fn is_one_at_a_time(&self) -> bool {
        true
    }
}

impl Synapse {
    /// Returns the token of a user, who is registered the first time.
    async fn token(&self, user: &str) -> Result<String> {
        if let Some(token) = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(user) {
            return Ok(token.clone());
        }
        let mut matrix = Matrix::new(&self.door, Does::Nothing, String::new()).await?;
        let request = json!({ "username": user, "password": "bench", "auth": { "type": "m.login.dummy" } });
        let answer = matrix.ask("POST", "/_matrix/client/v3/register", &request).await?;
        let token = text_in(&answer, "access_token")?;
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), token.clone());
        Ok(token)
    }

    /// Returns the room of a sender with its receiver, which is made the first time.
    async fn room(&self, number: u32, token: &str, to: u32) -> Result<String> {
        if let Some(room) = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(room.clone());
        }
        let mut sender = Matrix::new(&self.door, Does::Nothing, token.to_owned()).await?;
        let invited = format!("@{}:localhost", receiver(to));
        let request = json!({ "invite": [invited], "is_direct": true, "preset": "trusted_private_chat" });
        let answer = sender.ask("POST", "/_matrix/client/v3/createRoom", &request).await?;
        let room = text_in(&answer, "room_id")?;
        let mut receiver = Matrix::new(&self.door, Does::Nothing, self.token(&receiver(to)).await?).await?;
        receiver.ask("POST", &format!("/_matrix/client/v3/rooms/{room}/join"), &json!({})).await?;
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(number, room.clone());
        Ok(room)
    }
}

fn receiver(number: u32) -> String {
    format!("receiver{number}")
}

/// A client's connection.
pub(crate) struct Matrix {
    http: Http,
    does: Does,
}

/// What a connection is for.
enum Does {
    Nothing,
    /// Sends to a path, with numbers below it.
    Send {
        path: String,
        number: u64,
    },
    /// Asks for what came since, and has these that were not taken yet.
    Receive {
        since: String,
        stamps: Vec<Stamp>,
    },
}

impl Matrix {
    async fn new(door: &Door, does: Does, token: String) -> Result<Self> {
        Ok(Self { http: Http::new(door.open().await?, token), does })
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.http.queue(method, path, &body);
        Ok(serde_json::from_slice(&self.http.answer().await?)?)
    }

    fn sync(&mut self) {
        if let Does::Receive { since, .. } = &self.does {
            let path = format!("/_matrix/client/v3/sync?timeout=30000&filter={FILTER}&since={since}");
            self.http.queue("GET", &path, "");
        }
    }
}

impl Client for Matrix {
    fn wire(&mut self) -> &mut Wire {
        &mut self.http.wire
    }

    fn queue_message(&mut self, number: u64, payload: &[u8]) {
        if let Does::Send { path, number: newest } = &mut self.does {
            *newest = number;
            let body = json!({ "msgtype": "m.text", "body": text_of(payload) }).to_string();
            self.http.queue("PUT", &format!("{path}.{number}"), &body);
        }
    }

    fn take(&mut self) -> Result<Option<Event>> {
        if let Does::Receive { stamps, .. } = &mut self.does
            && let Some(stamp) = stamps.pop()
        {
            return Ok(Some(Event::Delivered(stamp)));
        }
        let Some(answer) = self.http.take()? else { return Ok(None) };
        match &mut self.does {
            Does::Send { number, .. } => Ok(Some(Event::Accepted(*number))),
            Does::Receive { since, stamps } => {
                let answer: Value = serde_json::from_slice(&answer)?;
                *since = text_in(&answer, "next_batch")?;
                *stamps = stamps_in(&answer)?;
                stamps.reverse();
                let first = stamps.pop();
                self.sync();
                Ok(first.map(Event::Delivered))
            }
            Does::Nothing => bail!("an answer to nothing"),
        }
    }

    /// The next `/sync` does.
    fn acknowledge(&mut self) {}
}

/// Returns the times in all messages of an answer to `/sync`.
fn stamps_in(answer: &Value) -> Result<Vec<Stamp>> {
    let rooms = answer.pointer("/rooms/join").and_then(Value::as_object).into_iter().flatten();
    let mut stamps = Vec::new();
    for (_, room) in rooms {
        let timeline = room.get("timeline").context("a room without messages")?;
        // The first answer after joining begins somewhere, and has no message of ours.
        let events = timeline.get("events").and_then(Value::as_array).into_iter().flatten();
        let texts = events.filter_map(|event| event.pointer("/content/body")?.as_str());
        stamps.extend(texts.filter_map(stamp_of));
    }
    Ok(stamps)
}

fn text_in(answer: &Value, name: &str) -> Result<String> {
    let text = answer.get(name).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {name} in {answer}"))?.to_owned())
}

/// Transactions have names of their own for each connection.
static CONNECTIONS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// `{"presence":{"types":[]},"account_data":{"types":[]},"room":{"timeline":{"limit":1000},"state":{"types":[]},
/// "ephemeral":{"types":[]},"account_data":{"types":[]}}}`: messages, and nothing else.
const FILTER: &str = "%7B%22presence%22%3A%7B%22types%22%3A%5B%5D%7D%2C%22account_data%22%3A%7B%22types%22%3A%5B%5D%7D%2C%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1000%7D%2C%22state%22%3A%7B%22types%22%3A%5B%5D%7D%2C%22ephemeral%22%3A%7B%22types%22%3A%5B%5D%7D%2C%22account_data%22%3A%7B%22types%22%3A%5B%5D%7D%7D%7D";
const VERSION: &str = "import importlib.metadata as m; print(m.version('matrix-synapse'))";

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of all rooms are found, in their order, and other events are not messages.
    #[test]
    fn messages_are_found_in_a_sync() {
        let event = |body: &str| json!({ "type": "m.room.message", "content": { "msgtype": "m.text", "body": body } });
        let answer = json!({ "next_batch": "s7", "rooms": { "join": {
            "!a:localhost": { "timeline": { "events": [
                event("0000000000000001mm"),
                { "type": "m.room.member", "content": { "membership": "join" } },
                event("0000000000000002mm"),
            ] } },
        } } });
        let times: Vec<u64> = stamps_in(&answer).unwrap().into_iter().map(u64::from_be_bytes).collect();
        assert_eq!(times, [1, 2]);
        assert!(stamps_in(&json!({ "next_batch": "s8" })).unwrap().is_empty());
        assert!(text_in(&answer, "access_token").is_err());
    }
}
