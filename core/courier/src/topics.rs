//! The topics that a connection wants. Spec: 30-courier.md §3 (COU-30, COU-34).
//!
//! Owns their number and order. Does not know how notifications of a topic are stored.

use halcyon_types::Topic;

use crate::limits::TOPICS_MAX;

/// 1 to 16 topics, sorted, none twice (COU-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Box<[Topic]>);

/// None, too many, or one that is malformed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a connection names 1 to {TOPICS_MAX} topics of a-z, 0-9, `.` and `-`")]
pub struct TopicsError;

impl Topics {
    /// Returns the set of these topics.
    ///
    /// # Errors
    /// [`TopicsError`] for none or more than 16.
    pub fn new(topics: impl IntoIterator<Item = Topic>) -> Result<Self, TopicsError> {
        let mut topics: Vec<Topic> = topics.into_iter().take(TOPICS_MAX + 1).collect();
        if topics.is_empty() || topics.len() > TOPICS_MAX {
            return Err(TopicsError);
        }
        topics.sort_unstable();
        topics.dedup();
        Ok(Self(topics.into()))
    }

    /// Returns what an ordinary client wants: messages and alerts.
    #[must_use]
    pub fn messages_and_alerts() -> Self {
        Self([Topic::alert(), Topic::message()].into())
    }

    pub(crate) fn from_wire(names: &[String]) -> Result<Self, TopicsError> {
        if names.len() > TOPICS_MAX {
            return Err(TopicsError);
        }
        let topics: Result<Vec<Topic>, _> = names.iter().map(|name| Topic::parse(name)).collect();
        Self::new(topics.map_err(|_| TopicsError)?)
    }

    pub(crate) fn to_wire(&self) -> Vec<String> {
        self.0.iter().map(|topic| topic.as_str().to_owned()).collect()
    }

    /// Returns the topics in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Topic] {
        &self.0
    }

    /// Says whether a topic is wanted.
    #[must_use]
    pub fn contains(&self, topic: &Topic) -> bool {
        self.0.binary_search(topic).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-11, COU-30: 1 to 16 plain names; order and repetition do not matter.
    #[test]
    fn topics_are_a_small_set() {
        let names =
            |names: &[&str]| Topics::from_wire(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["halcyon.message", "halcyon.alert", "halcyon.message"]), Ok(Topics::messages_and_alerts()));
        assert!(Topics::messages_and_alerts().contains(&Topic::alert()));
        assert_eq!(names(&[]), Err(TopicsError));
        assert_eq!(names(&["Halcyon"]), Err(TopicsError));
        assert_eq!(names(&["a"; 17]), Err(TopicsError));
        assert!(names(&["a"; 16]).is_ok());
    }
}
