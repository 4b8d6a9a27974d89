//! The arguments of what is about messages: writing, changing, reading them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use halcyon_client::{Effect, Location};
use halcyon_types::{Handle, HoldId, MessageId};

use super::Addressee;
use crate::calendar::SendTime;
use crate::line::message::effect_name;

/// `halcyon send`
#[derive(Debug, Args)]
pub struct Send {
    /// Whom it is for; several are one conversation. A group is named as in group:friends.
    #[arg(required = true, value_name = "HANDLE")]
    pub to: Vec<Addressee>,
    /// The text; without it, and without something else to send, standard input is sent as one message.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// Which of the own addresses to send from.
    #[arg(long, value_name = "HANDLE")]
    pub from: Option<Handle>,
    /// The message that this one answers.
    #[arg(long, value_name = "MESSAGE")]
    pub reply_to: Option<MessageName>,
    /// The part of it that is answered, from 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "reply_to")]
    pub part: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub look: Look,
    /// A line above the text.
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// How the message appears, where a client can show it.
    #[arg(long, value_name = "EFFECT", value_parser = effect_names())]
    pub effect: Option<String>,
    /// A place to send along, in degrees north and east, maybe with what it is called, as in 52.5163,13.3777,Brandenburg Gate.
    #[arg(long, value_name = "LATITUDE,LONGITUDE[,NAME]", allow_hyphen_values = true, value_parser = location)]
    pub location: Option<Location>,
    /// The card of somebody to send along: a vCard of one person, of version 3.0 or 4.0.
    #[arg(long, value_name = "FILE")]
    pub contact: Option<PathBuf>,
    /// Make no preview of the link at the end of the text: nobody but the recipients learns of it.
    #[arg(long)]
    pub no_preview: bool,
    /// Have the server send it later, at most 14 days: at a time as 2026-12-01T09:00 (in UTC; or with an offset, as +02:00 behind it),
    /// or after a while, as +2h (s, m, h or d). `halcyon scheduled` lists what waits.
    #[arg(long, value_name = "TIME", conflicts_with = "wait", value_parser = SendTime::parse)]
    pub at: Option<SendTime>,
    /// Wait until a device of every recipient said that it has the message.
    #[arg(long)]
    pub wait: bool,
}

/// `halcyon scheduled`
#[derive(Debug, Args)]
pub struct Scheduled {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<ScheduledAction>,
}

/// What to do with messages that wait for their time.
#[derive(Debug, Subcommand)]
pub enum ScheduledAction {
    /// List them (the default)
    List,
    /// Take one back, on whichever device of this account it was written
    Cancel {
        /// Which one, as listed.
        #[arg(value_name = "ID")]
        id: HoldId,
    },
}

fn location(typed: &str) -> Result<Location, &'static str> {
    Location::parse(typed).ok_or("a place is named by degrees north and east, and maybe by what it is called, as in 52.5163,13.3777,Brandenburg Gate")
}

/// How a text looks.
#[derive(Debug, Args)]
pub struct Look {
    /// Take marks in the text for styles: **bold**, *italic*, __underline__, ~~strikethrough~~, {shake}moving{/} (or big, small, nod,
    /// explode, ripple, bloom, jitter); a backslash before a mark makes it a character.
    #[arg(long)]
    pub markup: bool,
    /// Mark somebody's @NAME in the text as a mention; may be given several times.
    #[arg(long, value_name = "HANDLE")]
    pub mention: Vec<Handle>,
}

/// Returns the names of effects, for people.
fn effect_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Effect::ALL.iter().map(|effect| effect_name(*effect)))
}

/// A message as a person names it: by the number that this device gave it, or by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageName {
    /// `#12` in a listing.
    Number(u64),
    /// 32 hexadecimal digits.
    Id(MessageId),
}

impl FromStr for MessageName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 2 * MessageId::LEN {
            return text.parse::<MessageId>().map(Self::Id).map_err(|_| "a message's id has 32 hexadecimal digits");
        }
        let number = text.strip_prefix('#').unwrap_or(text).parse();
        number.map(Self::Number).map_err(|_| "a message is named by its number, as in 12, or by its id of 32 digits")
    }
}

/// `halcyon react`
#[derive(Debug, Args)]
pub struct React {
    /// The message: its number, as `halcyon history` shows it, or its id.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageName,
    /// love, like, dislike, laugh, emphasise, question, or one emoji. It takes the place of the one before.
    #[arg(value_name = "TAPBACK")]
    pub tapback: String,
    /// Take it back.
    #[arg(long)]
    pub remove: bool,
    /// The part of the message, from 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub part: u32,
}

/// `halcyon edit`
#[derive(Debug, Args)]
pub struct Edit {
    /// The message: its number, as `halcyon history` shows it, or its id.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageName,
    /// The new text; without it, standard input is taken.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub look: Look,
    /// The part of the message, from 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub part: u32,
}

/// `halcyon unsend`
#[derive(Debug, Args)]
pub struct Unsend {
    /// The message: its number, as `halcyon history` shows it, or its id.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageName,
    /// The part of the message, from 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub part: u32,
}

/// `halcyon listen`
#[derive(Debug, Default, Args)]
pub struct Listen {
    /// Begin behind this message, and not behind the last one that a listener printed; the next listener does as if this one had not been.
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,
    /// End after this many messages.
    #[arg(long, value_name = "COUNT")]
    pub count: Option<u64>,
    /// End after this many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<u64>,
}

/// `halcyon talk`
#[derive(Debug, Args)]
pub struct Talk {
    /// Whom lines are for; several are one conversation. A group is named as in group:friends.
    #[arg(required = true, value_name = "HANDLE")]
    pub with: Vec<Addressee>,
    /// Which of the own addresses to send from.
    #[arg(long, value_name = "HANDLE")]
    pub from: Option<Handle>,
}

/// `halcyon history`
#[derive(Debug, Args)]
pub struct History {
    /// The conversation with these people, or of a group as in group:friends; without any, all conversations are listed.
    #[arg(value_name = "HANDLE")]
    pub with: Vec<Addressee>,
    /// The own address in that conversation.
    #[arg(long, value_name = "HANDLE")]
    pub from: Option<Handle>,
    /// What was deleted, and can be restored.
    #[arg(long, conflicts_with = "from")]
    pub deleted: bool,
    /// How many messages, counted from the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub limit: u64,
}

/// `halcyon search`
#[derive(Debug, Args)]
pub struct Search {
    /// What has to occur, every word of it; of the last one a beginning is enough.
    #[arg(required = true, value_name = "WORD")]
    pub words: Vec<String>,
    /// How many messages, counted from the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub limit: u64,
}

/// `halcyon show`
#[derive(Debug, Args)]
pub struct Show {
    /// The message: its number, as `halcyon history` shows it, or its id.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageName,
    /// Print only the card that it carries, as a file for an address book.
    #[arg(long)]
    pub card: bool,
}

/// `halcyon share-name`
#[derive(Debug, Args)]
pub struct ShareName {
    /// What they shall call you, unless they have a name of their own for you.
    #[arg(value_name = "NAME", required_unless_present = "remove", conflicts_with = "remove")]
    pub name: Option<String>,
    /// A small photo of you: a PNG, JPEG or WebP file of at most 8 KiB.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    pub photo: Option<PathBuf>,
    /// Whom to tell, each on their own; nobody else learns it.
    #[arg(long, required = true, num_args = 1.., value_name = "HANDLE")]
    pub to: Vec<Handle>,
    /// Which of the own addresses to tell it from.
    #[arg(long, value_name = "HANDLE")]
    pub from: Option<Handle>,
    /// Take back what was told before.
    #[arg(long)]
    pub remove: bool,
}

/// `halcyon export`
#[derive(Debug, Args)]
pub struct Export {
    /// The conversation with these people, or of a group as in group:friends; without any, all conversations.
    #[arg(value_name = "HANDLE")]
    pub with: Vec<Addressee>,
    /// JSON lines, as `history --output json` prints them, or one HTML page.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ExportFormat::Json)]
    pub format: ExportFormat,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line.
    Json,
    /// A page that loads nothing from anywhere.
    Html,
}
