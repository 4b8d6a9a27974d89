//! Groups and their changes, as lines.

use halcyon_client::event::{ShownGroupName, ShownMessage};
use halcyon_client::{ShownChange, ShownDeed, ShownGroup};
use halcyon_types::Handle;
use serde::Serialize;

use super::message::origin;
use super::words::{address, short, time};
use crate::output::{Output, Style};
use crate::text::one_line;

/// A group, where something was said in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupNameLine {
    /// Its id.
    pub id: String,
    /// What it is called now; empty: nothing.
    pub name: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupLine {
    /// `group`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// The same for all messages in it.
    pub conversation: String,
    /// What it is called; empty: nothing.
    pub name: String,
    /// Where its photo is.
    pub photo: Option<String>,
    /// Who is in it, in the order in which they became members.
    pub members: Vec<MemberLine>,
    /// How many changes one behind the other led here.
    pub version: u64,
    /// Stands for all changes that are known here.
    pub hash: String,
    /// Whether this account is in it.
    pub is_member: bool,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberLine {
    /// By which it is written to.
    pub handle: String,
    /// Its account.
    pub account: String,
    /// Whether it is this account.
    pub own: bool,
}

/// A change of a group: one that arrived, or was made on an own device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupChangeLine {
    /// Its own id.
    pub id: String,
    /// Its own number, among those of the messages.
    pub number: u64,
    /// The conversation.
    pub conversation: String,
    /// The group.
    pub group: GroupNameLine,
    /// `here`, `own-device` or `peer`.
    pub origin: &'static str,
    /// Who changed it.
    pub sender: String,
    /// On which device, as it says.
    pub sender_device: String,
    /// Its name, if known.
    pub sender_device_name: Option<String>,
    /// By the sender's clock.
    pub sent_ms: u64,
    /// By this device's clock.
    pub stored_ms: u64,
    /// `created`, `added`, `removed`, `left`, `renamed`, `photo` or `other`.
    pub change: &'static str,
    /// What it was called then, where it was created or renamed.
    pub name: Option<String>,
    /// Whom it is about.
    pub members: Vec<String>,
    /// Where the photo is.
    pub photo: Option<String>,
    /// Whether it has an effect, by all that is known now.
    pub counts: bool,
}

impl From<&ShownGroupName> for GroupNameLine {
    fn from(group: &ShownGroupName) -> Self {
        Self { id: group.id.to_hex(), name: group.name.as_str().to_owned() }
    }
}

impl GroupNameLine {
    /// Returns what a person calls it.
    #[must_use]
    pub fn words(&self) -> String {
        called(&self.name, &self.id)
    }
}

impl From<&ShownGroup> for GroupLine {
    fn from(group: &ShownGroup) -> Self {
        let member = |member: &halcyon_client::ShownMember| MemberLine {
            handle: member.handle.to_string(),
            account: member.account.to_hex(),
            own: member.own,
        };
        Self {
            kind: "group",
            id: group.id.to_hex(),
            conversation: group.conversation.to_hex(),
            name: group.name.as_str().to_owned(),
            photo: group.photo.as_ref().map(|photo| photo.as_str().to_owned()),
            members: group.members.iter().map(member).collect(),
            version: group.version,
            hash: group.hash.to_hex(),
            is_member: group.is_member,
        }
    }
}

impl GroupLine {
    /// Returns what a person calls it.
    #[must_use]
    pub fn called(&self) -> String {
        called(&self.name, &self.id)
    }

    /// Returns the group in words.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let name = output.styled(Style::Strong, self.called());
        let member = |member: &MemberLine| match member.own {
            true => format!("{} (you)", address(&member.handle)),
            false => address(&member.handle),
        };
        let members: Vec<String> = self.members.iter().map(member).collect();
        let left = if self.is_member { "" } else { "  (you are not in it any more)" };
        let mut words = format!("{name}{left}\n    {}", members.join(", "));
        if let Some(photo) = &self.photo {
            words.push_str(&format!("\n    photo: {}", one_line(photo)));
        }
        words.push_str(&output.styled(Style::Faint, format!("\n    id {}, version {}", self.id, self.version)));
        words
    }
}

impl GroupChangeLine {
    /// Returns the line of a change; none if the message changes no group that is known.
    #[must_use]
    pub fn new(shown: &ShownMessage) -> Option<Self> {
        let (group, ShownChange { deed, counts }) = (shown.group.as_ref()?, shown.change.as_ref()?);
        let handles = |handles: &[Handle]| handles.iter().map(ToString::to_string).collect();
        let (mut name, mut members, mut photo) = (None, Vec::new(), None);
        let change = match deed {
            ShownDeed::Created(to, others) => {
                (name, members) = (Some(to.as_str().to_owned()), handles(others));
                "created"
            }
            ShownDeed::Added(others) => {
                members = handles(others);
                "added"
            }
            ShownDeed::Removed(others) => {
                members = handles(others);
                "removed"
            }
            ShownDeed::Left => "left",
            ShownDeed::Renamed(to) => {
                name = Some(to.as_str().to_owned());
                "renamed"
            }
            ShownDeed::Photo(to) => {
                photo = to.as_ref().map(|photo| photo.as_str().to_owned());
                "photo"
            }
            ShownDeed::Other => "other",
        };
        Some(Self {
            id: shown.id.to_hex(),
            number: shown.number,
            conversation: shown.conversation.to_hex(),
            group: group.into(),
            origin: origin(shown.origin),
            sender: shown.sender.to_string(),
            sender_device: shown.sender_device.to_hex(),
            sender_device_name: shown.sender_device_name.clone(),
            sent_ms: shown.sent.as_millis(),
            stored_ms: shown.stored.as_millis(),
            change,
            name,
            members,
            photo,
            counts: *counts,
        })
    }

    /// Returns the change in words.
    #[must_use]
    pub fn words(&self, output: &Output) -> String {
        let people = || self.members.iter().map(|member| address(member)).collect::<Vec<_>>().join(", ");
        let group = self.group.words();
        let did = match (self.change, &self.name, &self.photo) {
            ("created", Some(name), _) => format!("began {} with {}", called(name, &self.group.id), people()),
            ("added", ..) => format!("added {} to {group}", people()),
            ("removed", ..) => format!("removed {} from {group}", people()),
            ("left", ..) => format!("left {group}"),
            ("renamed", Some(name), _) if name.is_empty() => "took the group's name away".to_owned(),
            ("renamed", Some(name), _) => format!("called the group {}", one_line(name)),
            ("photo", _, Some(photo)) => format!("gave {group} a photo: {}", one_line(photo)),
            ("photo", ..) => format!("took the photo of {group} away"),
            _ => format!("changed {group} in a way that this version does not know"),
        };
        let idle = if self.counts { "" } else { " (without effect)" };
        let at = output.styled(Style::Faint, format!("[{} #{}]", time(self.sent_ms), self.number));
        let sender = output.styled(Style::Strong, address(&self.sender));
        format!("{at} {sender} {}", output.styled(Style::Faint, format!("{did}{idle}")))
    }
}

fn called(name: &str, id: &str) -> String {
    if name.is_empty() { format!("a group without a name ({})", short(id)) } else { one_line(name) }
}
