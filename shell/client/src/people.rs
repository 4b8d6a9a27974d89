//! Who people are to the person of this account: names, whom they know, whom they do not want to hear. Spec: 52-own-devices.md (OWN-8,
//! OWN-11 to OWN-13).
//!
//! Owns what a handle is called, which handles are one person, and who is kept apart. Does not verify anybody: the directory's resolver
//! does, and what is written here is never shown to others.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_content::{OwnKey, OwnValue, address_book};
use halcyon_types::{AccountId, ConversationId, Handle};

use crate::{
    client::Client,
    error::{ChooseError, ProfileError},
    groups::known::Known,
    state::State,
};

/// Somebody who was given a name.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalContact {
    /// What they are called.
    pub name: String,
    /// By what they are reached, sorted.
    pub handles: Vec<Handle>,
}

/// A contact is about a person (I9).
impl std::fmt::Debug for LocalContact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalContact({} handles, redacted)", self.handles.len())
    }
}

/// Contacts of an account: as many as a file may bring (OWN-8), twice.
const CONTACTS_MAX: usize = 2 * address_book::CARDS_MAX;

impl Client {
    /// Returns the contacts, by name.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn contacts(&self) -> Result<Vec<LocalContact>, ProfileError> {
        let state = self.inner.state();
        let mut people: BTreeMap<(String, Handle), Vec<Handle>> = BTreeMap::new();
        for entry in state.all_chosen("contact/")? {
            let OwnKey::Contact(handle) = entry.key else { continue };
            let (name, first) = read_value(&entry.value, &handle);
            people.entry((name, first)).or_default().push(handle);
        }
        let contact = |((name, _), mut handles): ((String, Handle), Vec<Handle>)| {
            handles.sort();
            LocalContact { name, handles }
        };
        Ok(people.into_iter().map(contact).collect())
    }

    /// Gives somebody a name, on all own devices. Several handles are one person.
    ///
    /// # Errors
    /// [`ChooseError::Value`] for a name that is none; [`ChooseError::TooMany`].
    pub fn set_contacts(&self, contacts: &[LocalContact]) -> Result<(), ChooseError> {
        let mut chosen = Vec::new();
        for contact in contacts {
            let name = address_book::name(&contact.name)
                .ok_or_else(|| ChooseError::Value("a name of at least one character".to_owned()))?;
            let Some(first) = contact.handles.iter().min() else { continue };
            for handle in &contact.handles {
                chosen.push((OwnKey::Contact(handle.clone()), value(&name, first, handle)));
            }
        }
        let kept = self.inner.state().store().own().own_entries("contact/")?.len();
        if kept + chosen.len() > CONTACTS_MAX {
            return Err(ChooseError::TooMany(CONTACTS_MAX));
        }
        self.choose(chosen)
    }

    /// Takes somebody's name back, by any of their handles; says whether there was one.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn remove_contact(&self, handle: &Handle) -> Result<bool, ChooseError> {
        let contacts = self.contacts()?;
        let Some(contact) = contacts.into_iter().find(|contact| contact.handles.contains(handle)) else {
            return Ok(false);
        };
        self.choose(contact.handles.into_iter().map(|handle| (OwnKey::Contact(handle), String::new())))?;
        Ok(true)
    }

    /// Shows nothing more of somebody, on no own device, under whatever handle; or shows what comes from now on again (OWN-12).
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn set_blocked(&self, handle: &Handle, is_blocked: bool) -> Result<(), ChooseError> {
        let value = if is_blocked { "on" } else { "" };
        if is_blocked {
            return self.choose([(OwnKey::Blocked(handle.clone()), value.to_owned())]);
        }
        let handles = self.inner.state().handles_of_same(handle)?;
        self.choose(handles.into_iter().map(|handle| (OwnKey::Blocked(handle), String::new())))
    }

    /// Returns who is blocked, as it was chosen.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn blocked(&self) -> Result<Vec<Handle>, ProfileError> {
        let entries = self.inner.state().all_chosen("blocked/")?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| if let OwnKey::Blocked(whom) = entry.key { Some(whom) } else { None })
            .collect())
    }

    /// Lets somebody in who was kept apart as unknown (OWN-13).
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn accept_sender(&self, handle: &Handle) -> Result<(), ChooseError> {
        self.choose([(OwnKey::Accepted(handle.clone()), "on".to_owned())])
    }
}

/// A name, and the handle by which a person with several is known (OWN-8).
fn value(name: &str, first: &Handle, handle: &Handle) -> String {
    if first == handle { name.to_owned() } else { format!("{name}\n{}", first.as_uri()) }
}

fn read_value(value: &OwnValue, handle: &Handle) -> (String, Handle) {
    let (name, first) = value.as_str().split_once('\n').unwrap_or((value.as_str(), ""));
    (name.to_owned(), Handle::parse(first).unwrap_or_else(|_| handle.clone()))
}

/// Who somebody is, as far as known: whoever has the same is the same person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Person {
    Account(AccountId),
    Handle(Handle),
}

impl State {
    /// Returns what somebody is called here, by this handle or another of the same account.
    pub(crate) fn name_of(&self, handle: &Handle) -> Result<Option<String>, ProfileError> {
        for same in self.handles_of_same(handle)? {
            if let Some(value) = self.chosen(&OwnKey::Contact(same.clone()))? {
                return Ok(Some(read_value(&value, &same).0));
            }
        }
        Ok(None)
    }

    /// Returns a handle, and after it the others that stand for the same account.
    pub(crate) fn handles_of_same(&self, handle: &Handle) -> Result<Vec<Handle>, ProfileError> {
        let mut handles = vec![handle.clone()];
        if let Some(pin) = self.known_handle(handle)? {
            let others = self.store().own().handles_of(pin.account())?;
            handles.extend(others.into_iter().filter(|other| other != handle));
        }
        Ok(handles)
    }

    /// OWN-11: the account that a handle stands for; else, of those of one contact, the first one's; else the handle itself.
    pub(crate) fn person(&self, handle: &Handle) -> Result<Person, ProfileError> {
        if let Some(pin) = self.known_handle(handle)? {
            return Ok(Person::Account(pin.account()));
        }
        let Some(value) = self.chosen(&OwnKey::Contact(handle.clone()))? else {
            return Ok(Person::Handle(handle.clone()));
        };
        let first = read_value(&value, handle).1;
        Ok(self.known_handle(&first)?.map_or(Person::Handle(first), |pin| Person::Account(pin.account())))
    }

    /// Returns which people, contacts taken into account, these handles are: handles of one contact are one person, whatever their
    /// accounts are (OWN-11).
    pub(crate) fn people(&self, handles: &[Handle]) -> Result<BTreeSet<Person>, ProfileError> {
        let mut people = BTreeSet::new();
        for handle in handles {
            let first = match self.contact_of(handle)? {
                Some(first) => first,
                None => handle.clone(),
            };
            people.insert(self.person(&first)?);
        }
        Ok(people)
    }

    /// Returns the handle by which the contact is known that has this handle, or another of its account.
    fn contact_of(&self, handle: &Handle) -> Result<Option<Handle>, ProfileError> {
        for same in self.handles_of_same(handle)? {
            if let Some(value) = self.chosen(&OwnKey::Contact(same.clone()))? {
                return Ok(Some(read_value(&value, &same).1));
            }
        }
        Ok(None)
    }

    /// OWN-12: under whatever handle.
    pub(crate) fn is_blocked(&self, account: AccountId, handle: &Handle) -> Result<bool, ProfileError> {
        if self.store().own().own_entries("blocked/")?.is_empty() {
            return Ok(false);
        }
        let mut handles = self.store().own().handles_of(account)?;
        handles.push(handle.clone());
        for handle in handles {
            if self.chosen(&OwnKey::Blocked(handle))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody is to learn nothing of this device, and nothing is wanted of them (OWN-12, OWN-13).
    pub(crate) fn tells_nothing(&self, account: AccountId, handle: &Handle) -> Result<bool, ProfileError> {
        Ok(self.is_blocked(account, handle)? || self.is_apart(account, handle)?)
    }

    /// OWN-13: whether somebody is unknown: nobody knows them, nobody wrote to them, nobody let them in.
    pub(crate) fn is_apart(&self, account: AccountId, handle: &Handle) -> Result<bool, ProfileError> {
        if !self.keeps_unknown_apart()? || self.is_known(account, handle)? {
            return Ok(false);
        }
        for conversation in self.store().conversations()? {
            if let Some(group) = self.group_in(conversation.id)?
                && group.state.member(account).is_some()
                && self.is_let_in(&group)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether somebody is known by themself, whatever groups they are in.
    fn is_known(&self, account: AccountId, handle: &Handle) -> Result<bool, ProfileError> {
        if self.own()?.account == account {
            return Ok(true);
        }
        let mut handles: BTreeSet<Handle> = self.store().own().handles_of(account)?.into_iter().collect();
        handles.insert(handle.clone());
        for handle in &handles {
            if self.is_accepted(handle)? {
                return Ok(true);
            }
        }
        for conversation in self.store().conversations()? {
            if conversation.members.iter().any(|member| handles.contains(member))
                && self.store().own().has_written(conversation.id)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// GRP-15: a group is let in by whoever made this account a member, if that is somebody known: whom else it has is theirs to say.
    fn is_let_in(&self, group: &Known) -> Result<bool, ProfileError> {
        let Some(change) = group.state.joined_by(&group.log, self.own()?.account) else { return Ok(false) };
        self.is_known(change.author(), &change.change().author)
    }

    fn is_accepted(&self, handle: &Handle) -> Result<bool, ProfileError> {
        let keys = [OwnKey::Accepted(handle.clone()), OwnKey::Contact(handle.clone())];
        for key in keys {
            if self.chosen(&key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// OWN-13: whether a conversation is apart: nobody of this account wrote in it, and none of its other members is known.
    pub(crate) fn is_conversation_apart(&self, id: ConversationId, others: &[Handle]) -> Result<bool, ProfileError> {
        if !self.keeps_unknown_apart()? || self.store().own().has_written(id)? {
            return Ok(false);
        }
        if let Some(group) = self.group_in(id)? {
            return Ok(!self.is_let_in(&group)?);
        }
        for handle in others {
            let apart = match self.known_handle(handle)? {
                Some(pin) => self.is_apart(pin.account(), handle)?,
                None => !self.is_accepted(handle)?,
            };
            if !apart {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
