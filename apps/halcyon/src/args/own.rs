//! The arguments of what a person chooses for themselves: what was read, who is called what, who is not heard, what is deleted.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use halcyon_types::Handle;

use super::{Addressee, MessageName};

/// A message, or somebody: whatever it reads like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message.
    Message(MessageName),
    /// Somebody, or a group; several people are one conversation.
    With(Addressee),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['@', ':', '+']) {
            return text.parse().map(Self::With).map_err(|error: halcyon_types::HandleError| error.to_string());
        }
        text.parse().map(Self::Message).map_err(ToString::to_string)
    }
}

/// `halcyon conversations`
#[derive(Debug, Args)]
pub struct Conversations {
    /// Those that are kept apart, since nobody in them is known; see `halcyon settings`.
    #[arg(long)]
    pub unknown: bool,
    /// Those in which something was deleted, and can be restored.
    #[arg(long, conflicts_with = "unknown")]
    pub deleted: bool,
}

/// `halcyon read`
#[derive(Debug, Args)]
pub struct Read {
    /// The people of a conversation, a group as in group:friends, or a message: everything in its conversation up to it.
    #[arg(required = true, value_name = "HANDLE|MESSAGE")]
    pub what: Vec<What>,
    /// Say that the message was played, too.
    #[arg(long)]
    pub played: bool,
}

/// `halcyon typing`
#[derive(Debug, Args)]
pub struct Typing {
    /// The people of the conversation, or a group as in group:friends.
    #[arg(required = true, value_name = "HANDLE")]
    pub with: Vec<Addressee>,
    /// Say that it ended; by itself it ends after a minute.
    #[arg(long)]
    pub stop: bool,
    /// Which of the own addresses to send from.
    #[arg(long, value_name = "HANDLE")]
    pub from: Option<Handle>,
}

/// `halcyon mute`, `halcyon pin`
#[derive(Debug, Args)]
pub struct MarkPeople {
    /// The people of the conversation, or a group as in group:friends.
    #[arg(required = true, value_name = "HANDLE")]
    pub with: Vec<Addressee>,
    /// Take it back.
    #[arg(long)]
    pub undo: bool,
}

/// `halcyon block`
#[derive(Debug, Args)]
pub struct Block {
    /// Whom; without anybody, those who are blocked are listed.
    #[arg(value_name = "HANDLE")]
    pub handles: Vec<Handle>,
    /// Take it back: what comes from now on is shown.
    #[arg(long, requires = "handles")]
    pub undo: bool,
}

/// `halcyon accept`
#[derive(Debug, Args)]
pub struct Accept {
    /// Whom.
    #[arg(required = true, value_name = "HANDLE")]
    pub handles: Vec<Handle>,
}

/// `halcyon delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Messages, or the people of a conversation, or a group as in group:friends: everything in it.
    #[arg(required = true, value_name = "MESSAGE|HANDLE")]
    pub what: Vec<What>,
    /// Do not ask whether a whole conversation is meant.
    #[arg(long)]
    pub yes: bool,
}

/// `halcyon restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// Messages, which `halcyon history --deleted` lists, or the people of a conversation, or a group as in group:friends:
    /// everything that was deleted in it.
    #[arg(required = true, value_name = "MESSAGE|HANDLE")]
    pub messages: Vec<What>,
}

/// `halcyon report`
#[derive(Debug, Args)]
pub struct ReportMessage {
    /// The message: its number, as `halcyon history` shows it, or its id.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageName,
    /// What else the operator is to know.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Do not ask whether what is shown is to be told.
    #[arg(long)]
    pub yes: bool,
}

/// `halcyon contacts`
#[derive(Debug, Args)]
pub struct Contacts {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<ContactsAction>,
}

/// What to do with contacts.
#[derive(Debug, Subcommand)]
pub enum ContactsAction {
    /// List them (the default)
    List,
    /// Give somebody a name
    Add {
        /// What they are called.
        name: String,
        /// By what they are reached: several are one person.
        #[arg(required = true, value_name = "HANDLE")]
        handles: Vec<Handle>,
    },
    /// Take somebody's name back
    Remove {
        /// Any of their addresses.
        handle: Handle,
    },
    /// Compare the safety code with somebody, so that you know that nobody stands between you
    Verify {
        /// Their address.
        handle: Handle,
        /// What they see: it is compared, and marked if it is the same.
        #[arg(long, value_name = "DIGITS", conflicts_with_all = ["same", "undo"])]
        code: Option<String>,
        /// You compared it, and it is the same.
        #[arg(long, conflicts_with = "undo")]
        same: bool,
        /// It no longer counts as compared.
        #[arg(long)]
        undo: bool,
    },
    /// Take names from a file that an address book exported (vCard 3.0 or 4.0)
    Import {
        /// The file.
        file: PathBuf,
    },
}

/// `halcyon settings`
#[derive(Debug, Args)]
pub struct Settings {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<SettingsAction>,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum SettingsAction {
    /// List them (the default)
    List,
    /// Show one
    Get {
        /// read-receipts, link-previews, typing, unknown-senders; with --with also from.
        name: String,
        /// For the conversation with these people alone, or of a group as in group:friends: read-receipts and from.
        #[arg(long, value_name = "HANDLE")]
        with: Vec<Addressee>,
    },
    /// Choose one, on all devices of this account
    Set {
        /// read-receipts, link-previews, typing, unknown-senders; with --with also from.
        name: String,
        /// on, off; open or apart for unknown-senders; an own address for from; default takes back what was chosen.
        value: String,
        /// For the conversation with these people alone, or of a group as in group:friends: read-receipts and from.
        #[arg(long, value_name = "HANDLE")]
        with: Vec<Addressee>,
    },
}
