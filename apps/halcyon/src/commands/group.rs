//! `group`: who talks with whom under which name, and how that changes.
//!
//! Owns how a group is named on the command line. What may be changed is the client's to say.

use halcyon_client::{Draft, GroupDeed, GroupName, PhotoReference, ShownGroup};
use halcyon_types::Handle;

use super::{Context, send};
use crate::args::{Addressee, Group, GroupAction, GroupCalled};
use crate::failure::Failure;
use crate::line::GroupLine;
use crate::session::Session;

/// Digits of a group's id by which it can be named: with fewer, a short name is what is meant.
const ID_DIGITS_MIN: usize = 6;

/// Whom something is for, found.
pub(super) enum With {
    /// People, by their addresses.
    People(Vec<Handle>),
    /// A group.
    Group(ShownGroup),
}

impl With {
    /// Finds whom somebody named.
    ///
    /// # Errors
    /// [`Failure`] if there is no such group, or a group is named beside others.
    pub(super) fn find(session: &Session, named: &[Addressee]) -> Result<Self, Failure> {
        if let [Addressee::Group(called)] = named {
            return Ok(Self::Group(find(session, called)?));
        }
        let person = |one: &Addressee| match one {
            Addressee::Person(handle) => Ok(handle.clone()),
            Addressee::Group(_) => Err(Failure::user("a group is named alone")
                .next("add people to it with `halcyon group add`, or name people only")),
        };
        Ok(Self::People(named.iter().map(person).collect::<Result<_, _>>()?))
    }

    /// Returns the people, as they were named; nobody of a group.
    pub(super) fn people(&self) -> &[Handle] {
        match self {
            Self::People(people) => people,
            Self::Group(_) => &[],
        }
    }

    /// Returns a draft for them.
    pub(super) fn draft(&self) -> Draft {
        let group = match self {
            Self::People(_) => None,
            Self::Group(group) => Some(group.id),
        };
        Draft { recipients: self.people().to_vec(), group, ..Draft::default() }
    }
}

/// Returns the group that somebody named.
///
/// # Errors
/// [`Failure`] if there is none, or more than one.
fn find(session: &Session, called: &GroupCalled) -> Result<ShownGroup, Failure> {
    let groups = session.client().groups()?;
    let starts = called.0.len() >= ID_DIGITS_MIN;
    let is_it =
        |group: &&ShownGroup| group.name.as_str() == called.0 || starts && group.id.to_hex().starts_with(&called.0);
    let mut found = groups.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(group), None) => Ok(group.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::user("several groups are called so")
                .next("name it by its id instead: `halcyon group` lists them"))
        }
        (None, _) => Err(Failure::user("there is no such group").next("`halcyon group` lists them")),
    }
}

pub(super) async fn run(context: &mut Context, options: Group) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = group(context, &session, options.action.unwrap_or(GroupAction::List)).await;
    session.close().await;
    result
}

async fn group(context: &Context, session: &Session, action: GroupAction) -> Result<(), Failure> {
    let (called, deed, people) = match action {
        GroupAction::List => return session.client().groups()?.iter().try_for_each(|group| show(context, group)),
        GroupAction::Show { group } => return show(context, &find(session, &group)?),
        GroupAction::Create { name, members, from } => {
            return create(context, session, named(&name)?, &members, from.as_ref()).await;
        }
        GroupAction::Add { group, members } => (group, GroupDeed::Add(members.clone()), members),
        GroupAction::Remove { group, members } => (group, GroupDeed::Remove(members.clone()), members),
        GroupAction::Leave { group } => (group, GroupDeed::Leave, Vec::new()),
        GroupAction::Rename { group, name } => (group, GroupDeed::Rename(named(&name)?), Vec::new()),
        GroupAction::Photo { group, reference } => {
            (group, GroupDeed::Photo(reference.as_deref().map(photo).transpose()?), Vec::new())
        }
    };
    let group = find(session, &called)?;
    session.client().go_online();
    let changed = session.client().change_group(group.id, deed).await;
    let sent = changed.map_err(|error| send::refused(&error, &people))?;
    send::wait_and_show(context, session, &sent, false, None).await
}

async fn create(
    context: &Context,
    session: &Session,
    name: GroupName,
    members: &[Handle],
    from: Option<&Handle>,
) -> Result<(), Failure> {
    session.client().go_online();
    let created = session.client().create_group(name, members, from).await;
    let (id, sent) = created.map_err(|error| send::refused(&error, members))?;
    if let Some(group) = session.client().group(id)? {
        show(context, &group)?;
    }
    send::wait_and_show(context, session, &sent, false, None).await
}

fn named(name: &str) -> Result<GroupName, Failure> {
    GroupName::new(name).ok_or_else(|| Failure::user("a group's name is one line of at most 256 bytes"))
}

fn photo(reference: &str) -> Result<PhotoReference, Failure> {
    PhotoReference::new(reference)
        .ok_or_else(|| Failure::user("a photo's reference is one line of 1 to 512 bytes, as an address of the web"))
}

fn show(context: &Context, group: &ShownGroup) -> Result<(), Failure> {
    let line = GroupLine::from(group);
    context.output.result(&line, |output| line.words(output))
}
