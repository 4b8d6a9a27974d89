//! The arguments of groups, and of whom something is for.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};
use halcyon_types::{Handle, HandleError};

/// Whom something is for: a person, or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// By an address.
    Person(Handle),
    /// As in `group:friends`.
    Group(GroupCalled),
}

/// A group as a person names it: by what it is called, or by its id or the start of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCalled(pub String);

/// What stands before the name of a group, where a person could be meant.
const GROUP: &str = "group:";

impl FromStr for Addressee {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(GROUP) {
            Some(called) => Ok(Self::Group(GroupCalled(called.to_owned()))),
            None => Handle::parse(text).map(Self::Person),
        }
    }
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(handle) => handle.fmt(f),
            Self::Group(called) => write!(f, "{GROUP}{}", called.0),
        }
    }
}

impl FromStr for GroupCalled {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.strip_prefix(GROUP).unwrap_or(text).to_owned()))
    }
}

/// `halcyon group`
#[derive(Debug, Args)]
pub struct Group {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<GroupAction>,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupAction {
    /// List them (the default)
    List,
    /// Show one: its name, its photo, who is in it
    Show {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
    },
    /// Begin a group with at least two others
    Create {
        /// What it is called; an empty name is none.
        #[arg(value_name = "NAME")]
        name: String,
        /// Who is in it.
        #[arg(required = true, value_name = "HANDLE")]
        members: Vec<Handle>,
        /// Which of the own addresses is in it.
        #[arg(long, value_name = "HANDLE")]
        from: Option<Handle>,
    },
    /// Add people: they see what is said from now on
    Add {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
        /// Whom.
        #[arg(required = true, value_name = "HANDLE")]
        members: Vec<Handle>,
    },
    /// Remove people: they get nothing more
    Remove {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
        /// Whom.
        #[arg(required = true, value_name = "HANDLE")]
        members: Vec<Handle>,
    },
    /// Leave a group; at least three others must stay
    Leave {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
    },
    /// Give a group another name
    Rename {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
        /// The new name; an empty one is none.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Say where a group's photo is found; nobody's Halcyon fetches it by itself
    Photo {
        /// The group: its name, or its id or the start of it.
        #[arg(value_name = "GROUP")]
        group: GroupCalled,
        /// Where; without it, the group has no photo any more.
        #[arg(value_name = "REFERENCE")]
        reference: Option<String>,
    },
}
