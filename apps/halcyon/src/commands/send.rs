//! `send`: one message, from argument or standard input, and what became of it.
//!
//! - The message is in the outbox before anything leaves (SND-1), so a failure from then on says that it stays there.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use halcyon_client::error::{GroupError, SendError};
use halcyon_client::event::DeliveryState;
use halcyon_client::{Contact, Draft, Part, Preview, SentMessage, ShownDelivery, Subject, Text, Until, WebAddress};
use halcyon_types::Handle;
use serde::Serialize;

use super::group::With;
use super::{Context, act, scheduled};
use crate::args::{Look, Send};
use crate::failure::{Failure, Kind};
use crate::line::message::effect_named;
use crate::line::{ActLine, DeliveryLine, GroupChangeLine, MessageLine};
use crate::markup;
use crate::native;
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

/// The result of `send --output json`.
#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether the server has it, or with `--wait` a device of every recipient, for every device.
    done: bool,
    message: SentLine,
    /// Handles that it could not be sealed for yet.
    unsealed: Vec<String>,
    deliveries: Vec<DeliveryLine>,
    /// What became of the link at the end of the text; null if there is none.
    preview: Option<PreviewLine>,
}

/// A link, and whether there is a preview of it.
#[derive(Serialize)]
pub(super) struct PreviewLine {
    /// `made`, `failed` or `off`.
    state: &'static str,
    /// Why it could not be made.
    reason: Option<String>,
}

/// What was sent.
#[derive(Serialize)]
#[serde(untagged)]
enum SentLine {
    Message(Box<MessageLine>),
    Act(Box<ActLine>),
    Change(Box<GroupChangeLine>),
}

pub(super) async fn run(context: &mut Context, options: Send) -> Result<(), Failure> {
    if is_typed(&options) && !context.input.is_terminal() {
        context.input.reserve_for_text();
    }
    let session = Session::open(context).await?;
    let result = send(context, &session, &options).await;
    session.close().await;
    result
}

/// Whether the text is asked for: it was not given, and there is nothing else to send.
fn is_typed(options: &Send) -> bool {
    options.text.is_none() && options.location.is_none() && options.contact.is_none()
}

async fn send(context: &mut Context, session: &Session, options: &Send) -> Result<(), Failure> {
    let with = With::find(session, &options.to)?;
    let mut parts = parts(options)?;
    let typed = if is_typed(options) { text(context, None).await? } else { options.text.clone().unwrap_or_default() };
    let Text { text, styles, mentions } = look(typed, &options.look)?;
    let subject = options.subject.as_deref().map(subject).transpose()?;
    let effect = options.effect.as_deref().and_then(effect_named);
    let reply_to = options.reply_to.as_ref().map(|name| act::target(session, name, options.part)).transpose()?;
    let client = session.client();
    client.go_online();
    let preview = match WebAddress::at_end_of(&text) {
        None => Preview::NoLink,
        Some(_) if options.no_preview => Preview::Off,
        Some(_) => preview(context, session, &text).await?,
    };
    let preview_line = PreviewLine::new(&preview);
    if let Preview::Made(link) = preview {
        parts.push(Part::Link(link));
    }
    let from = options.from.clone();
    let draft = Draft { from, text, parts, styles, mentions, subject, effect, reply_to, ..with.draft() };
    if let Some(at) = options.at {
        return scheduled::schedule(context, session, (draft, at), with.people()).await;
    }
    let sent = client.send(draft).await.map_err(|error| refused(&error, with.people()))?;
    wait_and_show(context, session, &sent, options.wait, preview_line).await
}

/// Asks the server that the link at the end of the text names what is there. Nothing that comes of it keeps the text from being sent.
async fn preview(context: &Context, session: &Session, text: &str) -> Result<Preview, Failure> {
    let pages = native::pages()?;
    let progress = context.output.progress("looking at the link");
    let preview = session.client().preview(&pages, text).await;
    drop(progress);
    let preview = preview?;
    if let Preview::Failed { cause, .. } = &preview {
        context.output.note(format!("The link goes without a preview: {}.", one_line(&cause.to_string())));
    }
    Ok(preview)
}

impl PreviewLine {
    fn new(preview: &Preview) -> Option<Self> {
        let (state, reason) = match preview {
            Preview::NoLink => return None,
            Preview::Off => ("off", None),
            Preview::Made(_) => ("made", None),
            Preview::Failed { cause, .. } => ("failed", Some(cause.to_string())),
        };
        Some(Self { state, reason })
    }
}

/// Returns the text that was given, or is given now.
///
/// # Errors
/// [`Failure`] if it cannot be read.
pub(super) async fn text(context: &mut Context, given: Option<&str>) -> Result<String, Failure> {
    if let Some(text) = given {
        return Ok(text.to_owned());
    }
    if context.input.is_terminal() {
        context.output.note("Type the message; Ctrl-D on an empty line ends it.");
    }
    context.input.rest().await
}

/// Returns the text as its writer wants it to look.
///
/// # Errors
/// [`Failure`] if a mark is not closed, or somebody is not named in it.
pub(super) fn look(typed: String, look: &Look) -> Result<Text, Failure> {
    let (text, styles) = if look.markup { markup::styled(&typed)? } else { (typed, Vec::new()) };
    let mentions = markup::mentions(&text, &look.mention)?;
    Ok(Text { text, styles, mentions })
}

/// Returns what goes along with the text.
fn parts(options: &Send) -> Result<Vec<Part>, Failure> {
    let location = options.location.clone().map(Part::Location);
    let contact = options.contact.as_deref().map(contact).transpose()?.map(Part::Contact);
    Ok(location.into_iter().chain(contact).collect())
}

/// A card with photos is read, too, and sent without them if they are too large (CON-42).
const CONTACT_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

fn contact(path: &Path) -> Result<Contact, Failure> {
    let unreadable = |error| Failure::user(format!("the card {} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(CONTACT_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Contact::of_file(&bytes).map_err(|error| {
        Failure::user(format!("{} cannot be sent: {error}", path.display()))
            .next("export one person as a vCard 3.0 or 4.0, without notes that are long")
    })
}

fn subject(text: &str) -> Result<Subject, Failure> {
    Subject::new(text).ok_or_else(|| Failure::user("a subject is one line of 1 to 256 bytes"))
}

/// Waits until the server has what was sent, or with `delivered` a device of everybody, and shows how far it came.
///
/// # Errors
/// [`Failure`] if it did not come so far; it stays in the outbox.
pub(super) async fn wait_and_show(
    context: &Context,
    session: &Session,
    sent: &SentMessage,
    delivered: bool,
    preview: Option<PreviewLine>,
) -> Result<(), Failure> {
    let client = session.client();
    let until = if delivered { Until::Delivered } else { Until::Accepted };
    let progress = context.output.progress("sending");
    let wait = async {
        tokio::select! {
            biased;
            deliveries = client.wait_delivered(sent.message.id, until) => Ok(deliveries),
            // No patience helps a device that the server does not let in.
            cause = client.wait_refused() => Err(Waited::Refused(cause)),
        }
    };
    let waited = tokio::time::timeout(context.timeout(), wait).await.unwrap_or(Err(Waited::TooLong));
    drop(progress);
    let (deliveries, ended) = match waited {
        Ok(deliveries) => (deliveries?, None),
        Err(ended) => (client.deliveries(sent.message.id)?, Some(ended)),
    };
    let outcome = outcome(context, session, &deliveries, ended);
    show(context, sent, &deliveries, outcome.is_ok(), preview)?;
    outcome
}

/// The client does not repeat handles in its errors, but whoever typed them wants to know which one it is.
pub(super) fn refused(error: &SendError, to: &[Handle]) -> Failure {
    match error {
        SendError::Group(GroupError::NoSuchMember { number }) => {
            let handle = number.checked_sub(1).and_then(|index| to.get(index));
            let who = handle.map_or("one of these people", |handle| handle.address());
            Failure::user(format!("{who} is not in the group")).next("`halcyon group show` says who is")
        }
        SendError::Unknown { number } => {
            let handle = number.checked_sub(1).and_then(|index| to.get(index));
            let who = handle.map_or("a recipient", |handle| handle.address());
            Failure::user(format!(
                "the server knows nobody as {who}, or they do not want to be found; nothing was sent"
            ))
            .next("check the address, or ask them for another one")
        }
        other => other.clone().into(),
    }
}

/// Why waiting ended before the message was where it should be.
enum Waited {
    TooLong,
    /// The server does not let this device connect, and says why.
    Refused(String),
}

fn outcome(
    context: &Context,
    session: &Session,
    deliveries: &[ShownDelivery],
    ended: Option<Waited>,
) -> Result<(), Failure> {
    let failed = deliveries.iter().filter(|delivery| matches!(delivery.state, DeliveryState::Failed(_))).count();
    if failed > 0 {
        return Err(Failure::new(
            Kind::Network,
            format!("the message was given up for {failed} of {} devices", deliveries.len()),
        )
        .next("the lines above say why for each; send it again when that is mended"));
    }
    match ended {
        None => return Ok(()),
        Some(Waited::Refused(cause)) => {
            let cause = one_line(&cause);
            let what = format!("the server refuses this device: {cause}; the message stays in this device's outbox");
            return Err(Failure::network(what).next(
                "see `halcyon doctor`; a device that was removed joins again with a new profile: `halcyon link`",
            ));
        }
        Some(Waited::TooLong) => {}
    }
    let waiting = session.client().outbox_len()?;
    let seconds = context.global.timeout;
    let cause = session.trouble().map(|cause| format!(" ({})", one_line(&cause))).unwrap_or_default();
    let what = if waiting == 0 {
        format!("the server has the message, but not every device said within {seconds} seconds that it does")
    } else {
        format!(
            "the server did not take the message for every device within {seconds} seconds{cause}; it stays in the outbox ({waiting} there)"
        )
    };
    let next = if waiting == 0 {
        "nothing: devices that are offline get it when they connect"
    } else {
        "it leaves with the next `halcyon send` or `halcyon listen` that reaches the server; `halcyon doctor` looks for the cause"
    };
    Err(Failure::network(what).next(next))
}

fn show(
    context: &Context,
    sent: &SentMessage,
    deliveries: &[ShownDelivery],
    done: bool,
    preview: Option<PreviewLine>,
) -> Result<(), Failure> {
    let id = sent.message.id.to_hex();
    let line = Line {
        kind: "sent",
        done,
        message: match (&sent.message.act, GroupChangeLine::new(&sent.message)) {
            (Some(act), _) => SentLine::Act(Box::new(ActLine::new(&sent.message, act))),
            (None, Some(change)) => SentLine::Change(Box::new(change)),
            (None, None) => SentLine::Message(Box::new((&sent.message).into())),
        },
        unsealed: sent.unsealed.iter().map(ToString::to_string).collect(),
        deliveries: deliveries.iter().map(|delivery| DeliveryLine::new(&id, delivery)).collect(),
        preview,
    };
    context.output.result(&line, |output| {
        let mut text = Vec::new();
        for delivery in &line.deliveries {
            text.push(delivery.words(output));
        }
        if line.deliveries.is_empty() {
            text.push(output.styled(Style::Faint, "no device yet: nobody could be looked up"));
        }
        text.join("\n")
    })
}
