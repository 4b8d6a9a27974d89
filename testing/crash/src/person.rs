//! One device as a process of its own: what it hears on standard input and says on standard output, a line of JSON each.
//!
//! Owns both ends of that talk. Does not know why somebody would kill it.
//!
//! - A line is written in one piece and flushed before anything else happens, so what was shown was shown.
//!
//! ```text
//! hears                                     says
//! {"say": {"to": […], "text": …, "pair": …}}  {"said": id} or {"refused": reason}, after the commit
//! {"has": text}                             {"has": bool}: whether the store has it
//! {"waiting": {}}                           {"waiting": count}: how much waits in the outbox
//! {"account": {}}                           {"accepted": [id, text, device]}, …, {"texts": […]}
//!                                           {"shown": text} whenever a message arrived
//! ```

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use halcyon_client::event::{DeliveryState, Origin};
use halcyon_client::{Client, Draft, Event};
use halcyon_client_net::SystemClock;
use halcyon_types::{DeviceId, Handle, MessageId, SuiteId};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::ledger::Ledger;
use crate::server::Doom;

/// With this code a process ends that met a bug of its own.
const PANICKED: i32 = 101;
const HISTORY_PAGE: usize = 1_000;

/// A panic of any task ends the process, so that nobody overlooks it.
pub fn exit_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(PANICKED);
    }));
}

/// Lives until standard input ends.
///
/// # Errors
/// The profile cannot be opened, or nobody listens any more.
pub async fn live(folder: &Path, server: &str, authority: &Path) -> anyhow::Result<()> {
    let client = crate::device::open(folder, server, authority, Arc::new(SystemClock))?;
    let mut events = client.subscribe();
    client.go_online();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Event::Message(message)) if message.origin != Origin::Here => {
                    tell(&json!({ "shown": message.text }))?;
                }
                Some(Event::Unopened { cause, .. }) => tell(&json!({ "strange": format!("did not open: {cause}") }))?,
                Some(Event::Missed(count)) => tell(&json!({ "strange": format!("{count} events missed") }))?,
                Some(_) => {}
                None => return Ok(()),
            },
            order = orders.next_line() => match order? {
                Some(order) => obey(&client, &serde_json::from_str(&order)?).await?,
                None => {
                    client.shutdown().await;
                    return Ok(());
                }
            },
        }
    }
}

async fn obey(client: &Client, order: &Value) -> anyhow::Result<()> {
    if let Some(said) = order.get("say") {
        let to = said["to"].as_array().context("recipients")?;
        let to: Vec<Handle> =
            to.iter().map(|to| Ok(Handle::parse(to.as_str().context("a handle")?)?)).collect::<anyhow::Result<_>>()?;
        let suite = said["pair"].as_bool().context("pair")?.then_some(SuiteId::PAIR);
        let text = said["text"].as_str().context("a text")?.to_owned();
        let answer = match client.send(Draft { recipients: to, from: None, text, suite, ..Draft::default() }).await {
            Ok(sent) => json!({ "said": sent.message.id.to_hex() }),
            Err(error) => json!({ "refused": error.to_string() }),
        };
        return tell(&answer);
    }
    if let Some(text) = order.get("has") {
        let texts = crate::device::texts(client)?;
        return tell(&json!({ "has": texts.iter().any(|kept| Some(kept.as_str()) == text.as_str()) }));
    }
    if order.get("waiting").is_some() {
        return tell(&json!({ "waiting": client.outbox_len()? }));
    }
    for (message, text) in own_messages(client)? {
        for delivery in client.deliveries(message)? {
            let device = delivery.device.to_hex();
            match delivery.state {
                DeliveryState::Accepted(_) | DeliveryState::Delivered(_) => {
                    tell(&json!({ "accepted": [message.to_hex(), text, device] }))?;
                }
                DeliveryState::Failed(why) => tell(&json!({ "strange": format!("given up: {why}") }))?,
                _ => {}
            }
        }
    }
    tell(&json!({ "texts": crate::device::texts(client)? }))
}

fn own_messages(client: &Client) -> anyhow::Result<Vec<(MessageId, String)>> {
    let mut own = Vec::new();
    for conversation in client.conversations()? {
        let mut before = u64::MAX;
        loop {
            let page = client.history(conversation.id, before, HISTORY_PAGE)?;
            let Some(oldest) = page.first() else { break };
            before = oldest.number;
            let here = page.into_iter().filter(|message| message.origin == Origin::Here);
            own.extend(here.map(|message| (message.id, message.text.unwrap_or_default())));
        }
    }
    Ok(own)
}

fn tell(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// How to start the process of one device.
#[derive(Clone)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// The profile.
    pub folder: PathBuf,
    /// The server's address.
    pub server: String,
    /// The authority to trust.
    pub authority: PathBuf,
    /// The device.
    pub device: DeviceId,
    /// Where what it shows is noted.
    pub ledger: Ledger,
}

/// A process that lives, or lived.
pub struct Person {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<Value>,
}

impl Setup {
    /// Starts the process.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&self, doom: Option<Doom>) -> anyhow::Result<Person> {
        let mut command = Command::new(&self.program);
        command.arg("--folder").arg(&self.folder).arg("--server").arg(&self.server);
        command.arg("--authority").arg(&self.authority);
        command.env_remove(halcyon_failpoint::VARIABLE);
        if let Some(doom) = doom {
            command.env(halcyon_failpoint::VARIABLE, doom.value());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let orders = child.stdin.take().context("standard input is piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let (answer, answers) = mpsc::unbounded_channel();
        let (ledger, device) = (self.ledger.clone(), self.device);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A last line may have been cut off by death.
                let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(text) = line["shown"].as_str() {
                    ledger.shown(device, text);
                } else if let Some(what) = line["strange"].as_str() {
                    ledger.strange(what.to_owned());
                } else {
                    // Whoever asked may have been told of a death already.
                    let _ = answer.send(line);
                }
            }
        });
        Ok(Person { child, orders, answers })
    }
}

impl Person {
    /// Gives an order and returns the first line of the answer; none if it died.
    pub async fn order(&mut self, order: &Value) -> Option<Value> {
        // A broken pipe is a death, which the answer shows.
        let _ = self.orders.write_all(format!("{order}\n").as_bytes()).await;
        self.answer().await
    }

    /// Returns how much waits in the outbox; none if it died.
    pub async fn waiting(&mut self) -> Option<usize> {
        let answer = self.order(&json!({ "waiting": {} })).await?;
        answer["waiting"].as_u64().and_then(|waiting| usize::try_from(waiting).ok())
    }

    /// Returns the next line of an answer; none if it died.
    pub async fn answer(&mut self) -> Option<Value> {
        self.answers.recv().await
    }

    /// Kills it if it lives, and returns how it ended, after everything it said was noted.
    ///
    /// # Errors
    /// The system does not let go of it, or it met a bug of its own.
    pub async fn end(mut self) -> anyhow::Result<ExitStatus> {
        // It may be gone already.
        let _ = self.child.start_kill();
        let status = self.child.wait().await?;
        while self.answers.recv().await.is_some() {}
        anyhow::ensure!(status.code().is_none(), "a client ended by itself: {status}");
        Ok(status)
    }
}
