//! `scheduled`: messages that wait for their time, and taking them back. What `send --at` shows.

use halcyon_client::{Cancelled, Draft, ScheduledMessage, ScheduledState, ShownGroup};
use halcyon_types::{GroupId, Handle, HoldId};
use serde::Serialize;

use super::{Context, send};
use crate::args::{Scheduled, ScheduledAction};
use crate::calendar::SendTime;
use crate::failure::Failure;
use crate::line::{GroupNameLine, address_words, time_words};
use crate::native;
use crate::output::{Output, Style};
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    due_ms: u64,
    recipients: Vec<String>,
    /// In which it is said; null outside of one.
    group: Option<GroupNameLine>,
    /// As much of it as this device knows.
    text: String,
    /// The device that wrote it.
    device: String,
    this_device: bool,
    /// `here`, `held` or `failed`.
    state: &'static str,
    /// Why it failed; null if it did not.
    reason: Option<String>,
}

impl Line {
    fn new(message: &ScheduledMessage, groups: &[ShownGroup]) -> Self {
        let name = |id: GroupId| groups.iter().find(|group| group.id == id).map(|group| group.name.as_str().to_owned());
        let (state, reason) = match &message.state {
            ScheduledState::Here => ("here", None),
            ScheduledState::Held => ("held", None),
            ScheduledState::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Self {
            kind: "scheduled",
            id: message.hold.to_hex(),
            due_ms: message.due.as_millis(),
            recipients: message.recipients.iter().map(ToString::to_string).collect(),
            group: message.group.map(|id| GroupNameLine { id: id.to_hex(), name: name(id).unwrap_or_default() }),
            text: message.text.clone(),
            device: message.device.to_hex(),
            this_device: message.here,
            state,
            reason,
        }
    }

    fn words(&self, output: &Output) -> String {
        let to: Vec<String> = self.recipients.iter().map(|handle| address_words(handle)).collect();
        let state = match (&self.reason, self.state) {
            (Some(reason), _) => format!("failed: {}", one_line(reason)),
            (None, "held") => "the server has it".to_owned(),
            (None, _) => "not with the server yet".to_owned(),
        };
        let elsewhere = if self.this_device { "" } else { ", from another device" };
        let to = self.group.as_ref().map_or_else(|| to.join(", "), GroupNameLine::words);
        let head = format!("{}  {}  to {to}", self.id, time_words(self.due_ms));
        format!(
            "{}\n    {}  {}",
            output.styled(Style::Strong, head),
            one_line(&self.text),
            output.styled(Style::Faint, format!("({state}{elsewhere})"))
        )
    }
}

pub(super) async fn run(context: &mut Context, options: Scheduled) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = match options.action.unwrap_or(ScheduledAction::List) {
        ScheduledAction::List => list(context, &session),
        ScheduledAction::Cancel { id } => cancel(context, &session, id).await,
    };
    session.close().await;
    result
}

fn list(context: &Context, session: &Session) -> Result<(), Failure> {
    let waiting = session.client().scheduled()?;
    if waiting.is_empty() {
        context.output.note("Nothing waits for its time: `halcyon send --at TIME`.");
    }
    waiting.iter().try_for_each(|message| show(context, session, message))
}

async fn cancel(context: &Context, session: &Session, id: HoldId) -> Result<(), Failure> {
    let client = session.client();
    client.go_online();
    let cancelled = context.in_time("the server's word that it is not sent", client.cancel_scheduled(id)).await??;
    match cancelled {
        Cancelled::TakenBack => {
            let line = serde_json::json!({"type": "scheduled-cancelled", "id": id.to_hex()});
            context.output.result(&line, |_| "taken back: it is not sent".to_owned())
        }
        Cancelled::SentAlready => Err(Failure::user("it was sent already; nothing was lost")
            .next("`halcyon unsend` takes a message back that was sent, for 2 minutes")),
        Cancelled::NotKnown => {
            Err(Failure::user("nothing waits by this id").next("`halcyon scheduled` lists what does, by id"))
        }
        Cancelled::Unanswered => {
            Err(Failure::network("the server cannot say now whether it holds this; nothing was changed")
                .next("try again in a moment"))
        }
    }
}

/// Schedules a message, and waits until the server holds it.
///
/// # Errors
/// [`Failure`]; what was committed stays, and is given to the server later.
pub(super) async fn schedule(
    context: &Context,
    session: &Session,
    (draft, at): (Draft, SendTime),
    to: &[Handle],
) -> Result<(), Failure> {
    let client = session.client();
    let due = at.from(native::now());
    let waiting = client.schedule(draft, due).await.map_err(|error| send::refused(&error, to))?;
    let progress = context.output.progress("giving it to the server");
    let held = tokio::time::timeout(context.timeout(), client.wait_held(waiting.hold)).await;
    drop(progress);
    let Ok(held) = held else {
        show(context, session, &waiting)?;
        return Err(Failure::network("the server does not hold it yet; it waits here").next(
            "it is given to the server by the next command that reaches it; `halcyon scheduled` shows how far it came",
        ));
    };
    let held = held?.unwrap_or(ScheduledMessage { state: ScheduledState::Held, ..waiting });
    show(context, session, &held)?;
    match held.state {
        ScheduledState::Failed(reason) => Err(Failure::user(format!("it cannot be scheduled: {}", one_line(&reason)))
            .next("`halcyon scheduled cancel` removes it")),
        ScheduledState::Here | ScheduledState::Held => Ok(()),
    }
}

fn show(context: &Context, session: &Session, message: &ScheduledMessage) -> Result<(), Failure> {
    let line = Line::new(message, &session.client().groups()?);
    context.output.result(&line, |output| line.words(output))
}
