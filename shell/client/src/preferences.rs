//! Settings of the account, the same on all of its devices; and what is chosen for one conversation. Spec: 52-own-devices.md (OWN-7,
//! OWN-9).
//!
//! Owns the names, the values, and what goes where nothing was chosen. Does not know what acts upon them.

use halcyon_content::{OwnKey, OwnValue};
use halcyon_types::{ConversationId, Handle};

use crate::{
    client::Client,
    error::{ChooseError, ProfileError},
    handles,
    own::{Choices, people_id},
    ports::Commit,
    state::State,
};

/// A setting of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// Whether people are told when their messages were read.
    ReadReceipts,
    /// Whether links are sent with a preview.
    LinkPreviews,
    /// Whether people are told that something is being typed.
    Typing,
    /// What becomes of messages of those whom this person does not know.
    UnknownSenders,
}

/// What is chosen for one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// It makes no noise.
    Muted,
    /// It comes first.
    Pinned,
}

const ON: &str = "on";
const OFF: &str = "off";
/// Unknown senders are like anybody.
const OPEN: &str = "open";
/// They are kept apart until they were accepted.
const APART: &str = "apart";

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ReadReceipts, Self::LinkPreviews, Self::Typing, Self::UnknownSenders];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadReceipts => "read-receipts",
            Self::LinkPreviews => "link-previews",
            Self::Typing => "typing",
            Self::UnknownSenders => "unknown-senders",
        }
    }

    /// Returns the values that it takes, the one first that goes where none was chosen (OWN-9).
    #[must_use]
    pub const fn values(self) -> [&'static str; 2] {
        match self {
            Self::ReadReceipts => [OFF, ON],
            Self::LinkPreviews | Self::Typing => [ON, OFF],
            Self::UnknownSenders => [OPEN, APART],
        }
    }

    /// Returns the setting of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }
}

impl Client {
    /// Returns what a setting is.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn setting(&self, setting: Setting) -> Result<&'static str, ProfileError> {
        self.inner.state().preference(setting)
    }

    /// Chooses a setting on all devices of the account; without a value, what goes where none was chosen.
    ///
    /// # Errors
    /// [`ChooseError::Value`]
    pub fn set_setting(&self, setting: Setting, value: Option<&str>) -> Result<(), ChooseError> {
        if value.is_some_and(|value| !setting.values().contains(&value)) {
            return Err(ChooseError::Value(setting.values().join(" or ")));
        }
        self.choose([(OwnKey::Setting(setting.name().to_owned()), value.unwrap_or_default().to_owned())])
    }

    /// Returns whether the senders of a conversation are told what was read, and whether that was chosen for it (CON-22).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn read_receipts_in(&self, conversation: ConversationId) -> Result<(bool, bool), ProfileError> {
        let state = self.inner.state();
        let chosen = state.chosen(&OwnKey::ReadReceipts(conversation))?;
        Ok((state.tells_read(conversation)?, chosen.is_some()))
    }

    /// Chooses that for one conversation; none: what goes for all.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn set_read_receipts_in(&self, conversation: ConversationId, on: Option<bool>) -> Result<(), ChooseError> {
        let value = on.map_or("", |on| if on { ON } else { OFF });
        self.choose([(OwnKey::ReadReceipts(conversation), value.to_owned())])
    }

    /// Mutes or pins a conversation, or takes that back.
    ///
    /// # Errors
    /// [`ChooseError`]
    pub fn mark(&self, conversation: ConversationId, mark: Mark, is_on: bool) -> Result<(), ChooseError> {
        self.choose([(mark_key(conversation, mark), if is_on { ON } else { "" }.to_owned())])
    }

    /// Returns the own handle that these people are written from, if one was chosen for them (OWN-7).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn sends_from(&self, people: &[Handle]) -> Result<Option<Handle>, ProfileError> {
        self.inner.state().sends_from(people)
    }

    /// Chooses it; none: the default one.
    ///
    /// # Errors
    /// [`ChooseError::NotOwnHandle`]
    pub fn set_sends_from(&self, people: &[Handle], from: Option<&Handle>) -> Result<(), ChooseError> {
        if let Some(from) = from
            && !handles::own_handles(self.inner.state().store())?.contains(from)
        {
            return Err(ChooseError::NotOwnHandle);
        }
        let Some(id) = people_id(people) else { return Err(ChooseError::NoSuchConversation) };
        self.choose([(OwnKey::SendsFrom(id), from.map(Handle::as_uri).unwrap_or_default().to_owned())])
    }

    /// Commits what was chosen, and has the other devices told.
    pub(crate) fn choose(&self, chosen: impl IntoIterator<Item = (OwnKey, String)>) -> Result<(), ChooseError> {
        let inner = &*self.inner;
        let mut state = inner.state();
        let mut choices = Choices::default();
        for (key, value) in chosen {
            let value = OwnValue::new(value).ok_or_else(|| ChooseError::Value("something shorter".to_owned()))?;
            choices.choose(inner, &state, key, value)?;
        }
        Ok(inner.commit_choices(&mut state, choices, Commit::new())?)
    }
}

fn mark_key(conversation: ConversationId, mark: Mark) -> OwnKey {
    match mark {
        Mark::Muted => OwnKey::Muted(conversation),
        Mark::Pinned => OwnKey::Pinned(conversation),
    }
}

impl State {
    /// OWN-9: what a later version chose and this one does not know is as good as nothing.
    pub(crate) fn preference(&self, setting: Setting) -> Result<&'static str, ProfileError> {
        let chosen = self.chosen(&OwnKey::Setting(setting.name().to_owned()))?;
        let values = setting.values();
        let known = chosen.and_then(|chosen| values.into_iter().find(|value| *value == chosen.as_str()));
        Ok(known.unwrap_or(values[0]))
    }

    pub(crate) fn has_mark(&self, conversation: ConversationId, mark: Mark) -> Result<bool, ProfileError> {
        Ok(self.chosen(&mark_key(conversation, mark))?.is_some())
    }

    /// CON-22
    pub(crate) fn tells_read(&self, conversation: ConversationId) -> Result<bool, ProfileError> {
        Ok(match self.chosen(&OwnKey::ReadReceipts(conversation))? {
            Some(value) => value.as_str() == ON,
            None => self.preference(Setting::ReadReceipts)? == ON,
        })
    }

    pub(crate) fn tells_typing(&self) -> Result<bool, ProfileError> {
        Ok(self.preference(Setting::Typing)? == ON)
    }

    pub(crate) fn keeps_unknown_apart(&self) -> Result<bool, ProfileError> {
        Ok(self.preference(Setting::UnknownSenders)? == APART)
    }

    /// OWN-7: one that is no own handle any more is as good as none.
    pub(crate) fn sends_from(&self, people: &[Handle]) -> Result<Option<Handle>, ProfileError> {
        let Some(id) = people_id(people) else { return Ok(None) };
        let Some(value) = self.chosen(&OwnKey::SendsFrom(id))? else { return Ok(None) };
        Ok(handles::own_handles(self.store())?.into_iter().find(|own| own.as_uri() == value.as_str()))
    }
}
