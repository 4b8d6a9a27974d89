//! `listen`: prints what arrives until it is told to end.
//!
//! - Messages are printed from the profile, after they were stored, in their order. How far the printing came is kept in the profile:
//!   what arrived while another command was connected, or was not printed because a listener was killed, is printed by the next one.
//! - A message is printed at least once: a listener that is killed within [`KEEP_AFTER`] of printing leaves it to be printed again.

use std::collections::HashMap;
use std::time::Duration;

use halcyon_client::event::{ConnectionState, Event, Origin, ShownMessage};
use halcyon_client::{Client, Events, RepairStep};
use halcyon_types::DeviceId;

use super::Context;
use crate::args::{Format, Listen};
use crate::failure::Failure;
use crate::line::Line;
use crate::output::Output;
use crate::session::Session;
use crate::text::one_line;

/// The number of the newest message that was printed.
const PRINTED_SETTING: &str = "listen-printed";
/// How far the printing came is kept once nothing happened for this long, since each time is a write to the disk.
const KEEP_AFTER: Duration = Duration::from_millis(200);
/// Messages read from the profile at once.
const PAGE: usize = 256;

pub(super) async fn run(context: &mut Context, options: &Listen) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = listen(context, &session, options).await;
    session.close().await;
    result
}

async fn listen(context: &Context, session: &Session, options: &Listen) -> Result<(), Failure> {
    let mut listener = Listener::new(context, session.client(), options)?;
    let result = tokio::select! {
        result = listener.listen() => result,
        () = context.stop.asked(options.seconds.map(Duration::from_secs)) => Ok(()),
    };
    result.and(listener.keep())
}

/// Prints what arrives, and knows how far it came.
pub(super) struct Listener {
    output: Output,
    client: Client,
    events: Events,
    /// The number of the newest message that was printed.
    printed: u64,
    /// Whether the profile knows that number.
    kept: bool,
    /// Whether the profile is to know it.
    keeps: bool,
    /// Messages to print before the end.
    left: Option<u64>,
    /// What was said of repairs.
    repairs: SaidRepairs,
}

/// What a person was told of the repairs that go on: each is told once when it begins, once when it is stuck, and once when it is done,
/// and not each time that a device is asked (REP-31).
#[derive(Default)]
struct SaidRepairs(HashMap<DeviceId, (RepairStep, u64)>);

impl SaidRepairs {
    fn is_news(&mut self, event: &Event) -> bool {
        let Event::Repair { step, repair } = event else { return true };
        if *step == RepairStep::Done {
            return self.0.remove(&repair.device).is_some();
        }
        let open = repair.missing.saturating_add(repair.unopened as u64);
        let said = self.0.insert(repair.device, (*step, open));
        said.is_none_or(|(said, before)| said != *step || open > before)
    }
}

impl Listener {
    /// Goes on where the last listener ended. Events are watched from now on, so it is made before going online.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) fn new(context: &Context, client: &Client, options: &Listen) -> Result<Self, Failure> {
        let printed = match options.after {
            Some(number) => number,
            None => client.app_setting(PRINTED_SETTING)?.and_then(|number| number.parse().ok()).unwrap_or_default(),
        };
        Ok(Self {
            output: context.output.clone(),
            client: client.clone(),
            events: client.subscribe(),
            printed,
            kept: true,
            keeps: options.after.is_none(),
            left: options.count,
            repairs: SaidRepairs::default(),
        })
    }

    async fn listen(&mut self) -> Result<(), Failure> {
        self.catch_up()?;
        self.go_on_repairing()?;
        // In an agent there may be one already, of which nothing more is heard.
        let connection = self.client.connection();
        if connection != ConnectionState::Offline && self.left != Some(0) {
            self.handle(&Event::Connection(connection))?;
        }
        self.client.go_online();
        while self.left != Some(0) {
            match self.next().await? {
                Some(event) => self.handle(&event)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for the next event, and uses a pause to keep how far the printing came. Safe to cancel.
    ///
    /// # Errors
    /// [`Failure`] if the profile cannot be written.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        if !self.kept {
            if let Ok(event) = tokio::time::timeout(KEEP_AFTER, self.events.next()).await {
                return Ok(event);
            }
            self.keep()?;
        }
        Ok(self.events.next().await)
    }

    /// Prints an event.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be printed, or says that the server will not have this device.
    pub(super) fn handle(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) | Event::Acted { act: message, .. } => return self.message(message),
            Event::Missed(_) => self.catch_up()?,
            _ => {}
        }
        match Line::of_event(event) {
            // For a person, neither the state of the connection is a result, nor what mends itself.
            Some(line) if self.output.format() == Format::Text && is_beside(event) => self.say_beside(event, &line),
            // What a person chose on another device is no news to them.
            Some(Line::Chosen { .. }) if self.output.format() == Format::Text => {}
            Some(line) => self.output.result(&line, |output| line.words(output))?,
            None => {}
        }
        match event {
            Event::Connection(ConnectionState::Refused { cause }) => {
                let what = format!("the server refuses this device: {}", one_line(cause));
                Err(Failure::network(what).next("see `halcyon doctor`"))
            }
            _ => Ok(()),
        }
    }

    fn say_beside(&mut self, event: &Event, line: &Line) {
        if self.repairs.is_news(event) {
            self.output.note(line.words(&self.output));
        }
    }

    /// Prints what the profile has and nobody saw, oldest first.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) fn catch_up(&mut self) -> Result<(), Failure> {
        let mut after = self.printed;
        while self.left != Some(0) {
            let page = self.client.history_since(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            page.iter().try_for_each(|message| self.message(message))?;
        }
        Ok(())
    }

    /// Prints which repairs went on before: the next word of them may be hours away.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) fn go_on_repairing(&mut self) -> Result<(), Failure> {
        for repair in self.client.repairs()?.into_iter().filter(|repair| repair.asked > 0) {
            let step = if repair.stuck.is_some() { RepairStep::Stuck } else { RepairStep::Asked };
            self.handle(&Event::Repair { step, repair })?;
        }
        Ok(())
    }

    fn message(&mut self, message: &ShownMessage) -> Result<(), Failure> {
        // Whoever wrote a message here has seen it. It does not count either: its event may overtake that of an earlier one.
        // OWN-13: of those who are kept apart nobody is notified.
        if message.origin == Origin::Here || message.apart || message.number <= self.printed || self.left == Some(0) {
            return Ok(());
        }
        let line = Line::of_message(message);
        self.output.result(&line, |output| line.words(output))?;
        if message.act.is_none() {
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        self.printed = message.number;
        self.kept = !self.keeps;
        Ok(())
    }

    /// Writes how far the printing came to the profile.
    ///
    /// # Errors
    /// [`Failure`]
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        if !self.kept {
            self.client.set_app_setting(PRINTED_SETTING, &self.printed.to_string())?;
            self.kept = true;
        }
        Ok(())
    }
}

/// Whether an event is told beside the results.
fn is_beside(event: &Event) -> bool {
    match event {
        Event::Connection(_) | Event::Repair { .. } => true,
        Event::Unopened { cause, .. } => cause == "no-key",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use halcyon_client::ShownRepair;
    use halcyon_types::{Handle, Timestamp};

    use super::*;

    fn repair(step: RepairStep, missing: u64) -> Event {
        let repair = ShownRepair {
            device: DeviceId::from_bytes([1; 16]),
            handle: Handle::parse("bob@example.org").unwrap(),
            device_name: None,
            unopened: 0,
            missing,
            lost: 0,
            since: Timestamp::from_millis(1),
            asked: 1,
            next: Timestamp::from_millis(2),
            stuck: None,
        };
        Event::Repair { step, repair }
    }

    /// REP-31: a repair that takes many questions is one line, and one more when it is over.
    #[test]
    fn a_repair_is_told_when_it_begins_grows_sticks_and_ends() {
        let mut said = SaidRepairs::default();
        let mut news = |step, missing| said.is_news(&repair(step, missing));
        assert!(news(RepairStep::Asked, 2));
        assert!(!news(RepairStep::Asked, 2) && !news(RepairStep::Asked, 1));
        assert!(news(RepairStep::Asked, 3));
        assert!(news(RepairStep::Stuck, 3) && !news(RepairStep::Stuck, 3));
        assert!(news(RepairStep::Done, 0));
        assert!(!news(RepairStep::Done, 0), "nobody was told that it began");
        assert!(news(RepairStep::Asked, 1));
    }
}
