//! The talk: lines in, events out, until the lines end and everything arrived.
//!
//! Owns the loop, who speaks, and which suite. Does not know how a line is understood ([`crate::command`]), what has to
//! arrive ([`crate::tracker`]), or how it looks ([`crate::screen`]).
//!
//! - In a pipe, a command waits until everything before it has happened, so a script means what it says; lines to send follow
//!   each other without waiting, up to [`WINDOW`].
//! - On a terminal nothing waits for anything: what happens is shown when it happens.

use std::time::Duration;

use halcyon::args::Format;
use halcyon::failure::Failure;
use halcyon::line::{GapLine, RepairLine};
use halcyon::output::Output;
use halcyon_client::event::{ConnectionState, DeliveryState, Event, Origin, ShownDelivery, ShownMessage};
use halcyon_client::{Draft, RepairStep, Suite};
use halcyon_types::{MessageId, SuiteId, Timestamp};
use tokio::sync::mpsc;

use crate::cast::Device;
use crate::command::{Command, HELP, SuiteChoice};
use crate::lines::Input;
use crate::screen::{Line, Screen};
use crate::stage::{self, Stage};
use crate::tracker::{Missing, Tracker, What};

/// Messages of a pipe that are on their way at once. More would only wait in the outbox.
const WINDOW: usize = 64;
/// Without any event for this long, what is missing does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages that `/history` shows.
const HISTORY_MAX: usize = 1000;

/// Everything that goes on during one run.
pub(crate) struct Talk {
    stage: Stage,
    screen: Screen,
    tracker: Tracker,
    speaker: Device,
    suite: SuiteChoice,
    problems: Vec<String>,
}

/// What a line led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Talk {
    /// Returns a talk in which alice's phone speaks first.
    pub(crate) fn new(stage: Stage, screen: Screen) -> Self {
        Self {
            stage,
            screen,
            tracker: Tracker::default(),
            speaker: Device::AlicePhone,
            suite: SuiteChoice::Auto,
            problems: Vec::new(),
        }
    }

    /// Goes on until the lines end or `/quit`, waits for what is on its way, and ends everybody's work.
    ///
    /// # Errors
    /// [`Failure`] that says what did not arrive or was not understood.
    pub(crate) async fn run(mut self, mut lines: mpsc::Receiver<Input>) -> Result<(), Failure> {
        let result = self.talk(&mut lines).await;
        self.stage.close().await;
        result?;
        match self.problems.as_slice() {
            [] => Ok(()),
            [problem] => Err(Failure::network(problem.clone())),
            [first, rest @ ..] => Err(Failure::network(format!("{first}; and {} more problems above", rest.len()))),
        }
    }

    async fn talk(&mut self, lines: &mut mpsc::Receiver<Input>) -> Result<(), Failure> {
        let mut interrupted = std::pin::pin!(stage::interrupted());
        // A command that waits for its turn.
        let mut held: Option<Command> = None;
        loop {
            if let Some(command) = held.take_if(|command| self.may_run(command)) {
                if self.obey(command).await? == Next::End {
                    break;
                }
                continue;
            }
            if held.is_none() {
                self.screen.ask(self.speaker, suite_name(self.suite)).map_err(unwritable)?;
            }
            tokio::select! {
                line = lines.recv(), if held.is_none() => match line {
                    Some(line) => held = self.understand(line)?,
                    None => break,
                },
                event = self.stage.next_event() => match event {
                    Some((device, event)) => self.show(device, event)?,
                    None => return Err(Failure::unexpected("every client ended")),
                },
                // Only a pipe waits for its turn, and only for what makes no progress.
                () = tokio::time::sleep(PATIENCE), if held.is_some() => break,
                () = &mut interrupted => break,
            }
        }
        self.settle().await
    }

    fn may_run(&self, command: &Command) -> bool {
        match command {
            _ if self.screen.is_terminal() => true,
            Command::Say(_) => self.tracker.messages_expected() < WINDOW,
            _ => self.tracker.expected().is_empty(),
        }
    }

    fn understand(&mut self, line: Input) -> Result<Option<Command>, Failure> {
        self.screen.answered();
        let parsed = match line {
            Input::Line(line) => Command::parse(&line).map_err(|error| error.to_string()),
            Input::Unreadable(reason) => Err(reason),
        };
        match parsed {
            Ok(Command::Empty) => Ok(None),
            Ok(command) => Ok(Some(command)),
            Err(problem) => self.problem(problem).map(|()| None),
        }
    }

    async fn obey(&mut self, command: Command) -> Result<Next, Failure> {
        match command {
            Command::Empty => {}
            Command::Say(text) => self.say(text).await?,
            Command::As(device) => self.speaker = device,
            Command::Suite(suite) => self.suite = suite,
            Command::Offline(device) => {
                self.stage.client(device).go_offline().await;
                self.tracker.set_offline(device);
                self.note(&format!("{device} is offline; what is sent to it waits at the server"))?;
            }
            Command::Online(device) => {
                self.stage.go_online(device).await?;
                self.tracker.set_online(device);
                self.note(&format!("{device} is online"))?;
            }
            Command::Lose(device) => {
                let count = self.stage.client(device).dangerous_lose_sessions()?;
                self.note(&format!("{device} lost its {count} sessions; the next message to it shows how that mends"))?;
            }
            Command::Devices => self.devices().await?,
            Command::Security => self.security()?,
            Command::History => self.history()?,
            Command::Help => self.note(HELP)?,
            Command::Quit => return Ok(Next::End),
        }
        Ok(Next::GoOn)
    }

    async fn say(&mut self, text: String) -> Result<(), Failure> {
        let from = self.speaker;
        let suite = match self.suite {
            SuiteChoice::Auto => None,
            SuiteChoice::Pair => Some(SuiteId::PAIR),
            SuiteChoice::PairEc => Some(SuiteId::PAIR_EC),
            SuiteChoice::Pq3 => Some(SuiteId::PQ3),
        };
        let draft = Draft {
            recipients: vec![stage::handle(from.owner().other())?],
            from: None,
            text: text.clone(),
            suite,
            ..Draft::default()
        };
        match self.stage.client(from).send(draft).await {
            Ok(sent) => {
                self.tracker.sent(sent.message.id, from, &text);
                self.line(&Line::Sent { from, text: &text })
            }
            Err(error) => self.problem(format!("not sent: {}", Failure::from(error).what)),
        }
    }

    fn show(&mut self, at: Device, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) if message.origin != Origin::Here => {
                self.tracker.arrived(message.id, at);
                let (from, suite) =
                    (self.sender(&message), message.suite.map(|suite| suite.to_string()).unwrap_or_default());
                let text = message.text.as_deref().unwrap_or("(a message that this version cannot show)");
                self.line(&Line::Arrived { at, from: &from, suite: &suite, text })
            }
            Event::Delivery { message, delivery } => self.delivery(at, message, &delivery),
            // REP-31: what mends itself is no problem.
            Event::Unopened { cause, .. } if cause == "no-key" => {
                self.note(&format!("{at}: a message does not open yet; it is asked for again"))
            }
            // Each time that a device is asked is too much.
            Event::Repair { step: RepairStep::Asked, repair } if repair.asked > 1 => Ok(()),
            Event::Repair { step, repair } => {
                let words = RepairLine::new(step, &repair).words(&Output::plain(Format::Text));
                self.note(&format!("{at}: {words}"))
            }
            Event::Unopened { cause, .. } => {
                self.problem(format!("something that arrived at {at} does not open: {cause}"))
            }
            Event::Connection(ConnectionState::Waiting { cause, .. }) => {
                self.note(&format!("{at} lost its connection: {cause}; it comes back"))
            }
            Event::Connection(ConnectionState::Refused { cause }) => self.problem(format!("{at} is refused: {cause}")),
            Event::Missed(count) => {
                self.problem(format!("{count} events of {at} were not shown; /history has the messages"))
            }
            _ => Ok(()),
        }
    }

    fn delivery(&mut self, at: Device, message: MessageId, delivery: &ShownDelivery) -> Result<(), Failure> {
        let Some(to) = self.stage.device(delivery.device) else { return Ok(()) };
        match &delivery.state {
            // Every device of the sender gets the receipt; the one that sent the message shows it.
            DeliveryState::Delivered(_) => match self.tracker.delivered(message, to, at) {
                Some(text) => self.line(&Line::Delivered { to, at, text: &text }),
                None => Ok(()),
            },
            DeliveryState::Failed(reason) if self.tracker.failed(message, to, at) => {
                self.problem(format!("not delivered to {to}: {reason}"))
            }
            _ => Ok(()),
        }
    }

    /// The name that the sender's device has in the verified list.
    fn sender(&self, message: &ShownMessage) -> String {
        let person = message.sender.address().split('@').next().unwrap_or_default().to_owned();
        let device = message.sender_device_name.clone().unwrap_or_else(|| message.sender_device.to_hex());
        format!("{person} {device}")
    }

    async fn devices(&mut self) -> Result<(), Failure> {
        for device in Device::ALL {
            let id = self.stage.id(device);
            let listed = self.stage.client(device.owner().devices()[0]).devices().await?;
            let Some(own) = listed.into_iter().find(|own| Some(own.device) == id) else { continue };
            let suites: Vec<String> = own.suites.iter().map(ToString::to_string).collect();
            let state = if self.tracker.is_online(device) { "online" } else { "offline" };
            let speaks = if device == self.speaker { ", speaks" } else { "" };
            let text = format!("device {device}: {state}{speaks}, id {}, suites {}", own.device, suites.join(" "));
            self.line(&Line::Note(&text))?;
        }
        Ok(())
    }

    /// How messages of the device that speaks are protected, on their way to every other device.
    fn security(&mut self) -> Result<(), Failure> {
        let from = self.speaker;
        for person in [from.owner().other(), from.owner()] {
            let Some(security) = self.stage.client(from).security(&stage::handle(person)?)? else { continue };
            for device in &security.devices {
                let Some(to) = self.stage.device(device.device) else { continue };
                let legacy = if device.suite.is_some_and(Suite::is_legacy) { " (legacy)" } else { "" };
                let suite = device.suite.map_or("none".to_owned(), |suite| suite.to_string());
                let age = |time: Option<Timestamp>| {
                    time.map_or("never".to_owned(), |time| format!("{} ago", security.at.since(time)))
                };
                let text = format!(
                    "{from} to {to}: {suite}{legacy}, last ECDH ratchet {}, last ML-KEM rekey {}, device list version {}",
                    age(device.ratcheted),
                    age(device.rekeyed),
                    security.list_version,
                );
                self.line(&Line::Note(&text))?;
            }
        }
        Ok(())
    }

    fn history(&mut self) -> Result<(), Failure> {
        let at = self.speaker;
        let client = self.stage.client(at);
        let (mut messages, mut ends) = (Vec::new(), Vec::new());
        for conversation in client.conversations()? {
            messages.extend(client.history(conversation.id, u64::MAX, HISTORY_MAX)?);
            ends.extend(client.gaps_at_end(conversation.id)?);
        }
        for message in messages {
            self.gap(at, GapLine::before(&message))?;
            let from = self.sender(&message);
            let text = message.text.as_deref().unwrap_or("(a message that this version cannot show)");
            self.line(&Line::History { at, from: &from, text })?;
        }
        ends.iter().try_for_each(|end| self.gap(at, Some(end.into())))
    }

    /// REP-31
    fn gap(&mut self, at: Device, gap: Option<GapLine>) -> Result<(), Failure> {
        let Some(gap) = gap else { return Ok(()) };
        let words = gap.words(&Output::plain(Format::Text));
        self.line(&Line::Note(&format!("history of {at}: {}", words.trim_start())))
    }

    /// Waits for what is on its way, and says what is not.
    async fn settle(&mut self) -> Result<(), Failure> {
        while !self.tracker.expected().is_empty() {
            let event = tokio::select! {
                event = tokio::time::timeout(PATIENCE, self.stage.next_event()) => event,
                () = stage::interrupted() => break,
            };
            let Ok(Some((device, event))) = event else { break };
            self.show(device, event)?;
        }
        for missing in self.tracker.expected() {
            self.problem(say_missing(&missing))?;
        }
        for waiting in self.tracker.waiting() {
            if self.tracker.is_online(waiting.device) {
                // It is the sender that is offline, and nobody else can bring it on its way.
                self.problem(format!("{}, whose sender is offline", say_missing(&waiting)))?;
            } else {
                self.note(&format!("waits for a device that is offline: {}", say_missing(&waiting)))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.screen.show(line).map_err(unwritable)
    }

    fn note(&mut self, note: &str) -> Result<(), Failure> {
        self.screen.note(note).map_err(unwritable)
    }

    fn problem(&mut self, problem: String) -> Result<(), Failure> {
        self.screen.show(&Line::Problem(&problem)).map_err(unwritable)?;
        // A person sees it and goes on; a script learns of it by the exit code.
        if !self.screen.is_terminal() {
            self.problems.push(problem);
        }
        Ok(())
    }
}

fn say_missing(missing: &Missing) -> String {
    let what = match missing.what {
        What::Arrival => "did not arrive at",
        What::Receipt => "was not confirmed by",
    };
    format!("a message {what} {}: {}", missing.device, missing.text)
}

fn suite_name(suite: SuiteChoice) -> &'static str {
    match suite {
        SuiteChoice::Auto => "auto",
        SuiteChoice::Pair => "pair",
        SuiteChoice::PairEc => "pair-ec",
        SuiteChoice::Pq3 => "pq3",
    }
}

fn unwritable(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::reader_left(),
        _ => Failure::network(format!("standard output cannot be written: {error}")),
    }
}
