//! Searching what was said, in the profile alone. Nobody else learns what is looked for.
//!
//! Owns what can be found: subjects and texts, before and after edits, names of places, cards, links, but nothing that was unsent. Does not know how the index works.

use halcyon_content::{Content, Deed, Kind, Message, Part};
use halcyon_types::Timestamp;

use crate::{
    client::Client,
    error::ProfileError,
    event::ShownMessage,
    history,
    ports::{
        Change, Commit,
        store::{MessageKind, MessageRecord},
    },
    state::State,
};

/// Messages put into the index in one commit. Others may use the profile between two commits.
const INDEX_PAGE: usize = 2_000;
/// Numbers asked of the index at once.
const FOUND_PAGE: usize = 64;
/// Words that are looked for; what is typed beyond them is passed over.
const WORDS_MAX: usize = 16;

impl Client {
    /// Returns up to `limit` messages in whose subject or text, as it is or was before it was edited, every word occurs, newest
    /// first. Words are runs of letters and digits; case and accents do not count, and of the last one a beginning is enough.
    ///
    /// The first search of a profile reads all of it, later ones what is new.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn search(&self, typed: &str, limit: usize) -> Result<Vec<ShownMessage>, ProfileError> {
        let words: Vec<String> = typed
            .split(|one: char| !one.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(WORDS_MAX)
            .map(str::to_owned)
            .collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        while self.inner.state().index_page()? {}
        self.inner.state().find(&words, limit)
    }
}

impl State {
    /// Puts the next messages into the index; returns whether there may be more.
    fn index_page(&mut self) -> Result<bool, ProfileError> {
        let after = self.store().words().indexed()?;
        let page = self.store().repairs().stored_since(Timestamp::from_millis(0), after, INDEX_PAGE)?;
        let Some(last) = page.last() else { return Ok(false) };
        let up_to = last.number;
        let mut entries = Vec::new();
        for record in &page {
            if let Some(words) = words_of(record).filter(|_| record.deleted.is_none())
                && !self.is_about_deleted(record)?
            {
                entries.push((record.number, words));
            }
        }
        self.commit(&Commit::new().with(Change::IndexWords { entries, up_to }))?;
        Ok(page.len() == INDEX_PAGE)
    }

    fn find(&mut self, words: &[String], limit: usize) -> Result<Vec<ShownMessage>, ProfileError> {
        let gaps = self.store().repairs().gaps()?;
        let mut found: Vec<ShownMessage> = Vec::new();
        let mut before = u64::MAX;
        loop {
            let numbers = self.store().words().having(words, before, FOUND_PAGE)?;
            let Some(last) = numbers.last() else { return Ok(found) };
            before = *last;
            for number in numbers {
                let Some(record) = self.said_at(number)? else { continue };
                if found.iter().any(|shown| shown.number == record.number) {
                    continue;
                }
                let shown = history::shown(self, record, &gaps)?;
                if !shown.is_unsent() && shown.deleted.is_none() {
                    found.push(shown);
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
    }

    /// Whether something was done to a message that was deleted: it says what the message said, or what it said next.
    fn is_about_deleted(&self, record: &MessageRecord) -> Result<bool, ProfileError> {
        let Some(target) = record.message.target else { return Ok(false) };
        let targets = self.store().messages_with(target)?;
        let here = |target: &MessageRecord| target.message.conversation == record.message.conversation;
        Ok(targets.iter().any(|target| here(target) && target.deleted.is_some()))
    }

    /// Returns the message with a number, or that which the act with this number changed.
    fn said_at(&self, number: u64) -> Result<Option<MessageRecord>, ProfileError> {
        let after = number.saturating_sub(1);
        let found = self.store().repairs().stored_since(Timestamp::from_millis(0), after, 1)?;
        let Some(record) = found.into_iter().find(|record| record.number == number) else { return Ok(None) };
        if record.message.kind != MessageKind::Act {
            return Ok(Some(record));
        }
        let Ok(Content { kind: Kind::Act(act), .. }) = halcyon_content::decode(&record.message.content) else {
            return Ok(None);
        };
        let Some(original) = self.original(&act)?.filter(|one| one.message.conversation == record.message.conversation)
        else {
            return Ok(None);
        };
        // An edit that does not count said nothing.
        let Ok(Content { kind: Kind::Message(said), .. }) = halcyon_content::decode(&original.message.content) else {
            return Ok(None);
        };
        let Deed::Edit(text) = &act.deed else { return Ok(None) };
        let parts = self.shown_parts(&original.message, &said)?;
        let counts = parts.iter().any(|part| {
            part.text.as_ref() == Some(text) || part.earlier.iter().any(|earlier| earlier.text == text.text)
        });
        Ok(counts.then_some(original))
    }
}

/// Adds to a commit that a message is found again that was deleted, with what was done to it (OWN-20).
pub(crate) fn index_again(state: &State, record: MessageRecord, commit: &mut Commit) -> Result<(), ProfileError> {
    let up_to = state.store().words().indexed()?;
    let mut records = state.store().acts_on(record.message.id)?;
    records.retain(|act| act.message.conversation == record.message.conversation);
    records.push(record);
    records.sort_by_key(|record| record.number);
    let indexed = records.iter().filter(|record| record.number <= up_to);
    let entries: Vec<_> = indexed.filter_map(|record| Some((record.number, words_of(record)?))).collect();
    if !entries.is_empty() {
        commit.push(Change::IndexWords { entries, up_to });
    }
    Ok(())
}

/// Returns what can be found of a message or edit.
fn words_of(record: &MessageRecord) -> Option<String> {
    let content = halcyon_content::decode(&record.message.content).ok()?;
    match content.kind {
        Kind::Message(Message { parts, subject, .. }) => {
            let subject = subject.iter().map(|subject| subject.as_str().to_owned());
            let lines: Vec<String> = subject.chain(parts.iter().map(words_of_part)).collect();
            Some(lines.join("\n"))
        }
        Kind::Act(act) => match act.deed {
            Deed::Edit(text) => Some(text.text),
            _ => None,
        },
        _ => None,
    }
}

fn words_of_part(part: &Part) -> String {
    match part {
        Part::Text(text) => text.text.clone(),
        Part::Location(location) => location.name().unwrap_or_default().to_owned(),
        Part::Contact(contact) => {
            let card = contact.card();
            let addresses = card.addresses.iter().map(|address| address.text.as_str());
            [card.name.as_str()]
                .into_iter()
                .chain(card.organization.as_deref())
                .chain(addresses)
                .collect::<Vec<_>>()
                .join(" ")
        }
        Part::Link(link) => {
            let said = [link.title(), link.summary()].into_iter().flatten();
            said.chain([link.address().as_str()]).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}
