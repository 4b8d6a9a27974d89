//! What of another device's streams came, and what did not. Spec: 61-repair.md §2 (REP-10).
//!
//! Owns the arithmetic of ranges, and what a copy's place changes in them. The store keeps the result.
//!
//! - Ranges are in order, apart, and at or below the highest number known.

use halcyon_content::{Content, Kind, Place, StreamEnd};
use halcyon_types::Timestamp;

use super::{ASK_MISSING, Peer, Why, answer::new_heard, counter, new_record, schedule};
use crate::{
    client::Inner,
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{Heard, RepairRecord},
    },
    state::State,
};

/// Ranges that are kept of one stream; more than that are joined, and what was between is asked for once more.
const RANGES_MAX: usize = 256;

/// What a number was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// The next.
    Next,
    /// Beyond the next: something is missing now that was not before.
    Ahead,
    /// It was missing.
    Missing,
    /// It was known already.
    Known,
}

/// Takes a number that came.
pub(crate) fn hear(heard: &mut Heard, number: u64, now: Timestamp) -> Was {
    if number > heard.high {
        let next = heard.high.saturating_add(1);
        heard.high = number;
        if number == next {
            return Was::Next;
        }
        miss(heard, next, number - 1, now);
        return Was::Ahead;
    }
    // What comes after all, although it was said to be lost, is welcome.
    let lost = remove(&mut heard.lost, number, number);
    let missing = remove(&mut heard.missing, number, number);
    if missing || lost { Was::Missing } else { Was::Known }
}

/// Takes the count of a stream: everything up to it was sealed. Says whether something is missing now that was not before.
pub(crate) fn hear_of(heard: &mut Heard, last: u64, now: Timestamp) -> bool {
    if last <= heard.high {
        return false;
    }
    let next = heard.high.saturating_add(1);
    heard.high = last;
    miss(heard, next, last, now);
    true
}

/// Takes numbers that cannot be sent again. Says whether one was missing.
pub(crate) fn lose(heard: &mut Heard, first: u64, last: u64) -> bool {
    let parts: Vec<(u64, u64)> = heard
        .missing
        .iter()
        .map(|&(start, end)| (start.max(first), end.min(last)))
        .filter(|(start, end)| start <= end)
        .collect();
    remove(&mut heard.missing, first, last);
    for &(start, end) in &parts {
        heard.lost.push((start, end));
    }
    tidy(&mut heard.lost);
    !parts.is_empty()
}

/// Gives up everything that is missing (REP-14).
pub(crate) fn lose_all(heard: &mut Heard) {
    heard.lost.append(&mut heard.missing);
    tidy(&mut heard.lost);
}

/// Returns the highest number up to which everything came, nothing of it lost.
pub(crate) fn complete_to(heard: &Heard) -> u64 {
    let first = |ranges: &[(u64, u64)]| ranges.first().map_or(heard.high, |(first, _)| first - 1);
    first(&heard.missing).min(first(&heard.lost))
}

/// Numbers in a row that did not come, as ranges.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) missing: Vec<(u64, u64)>,
    pub(crate) lost: Vec<(u64, u64)>,
}

/// Returns the hole that ends directly before a number. Before the number after the highest, that is what the end of the stream lacks.
pub(crate) fn hole_before(heard: &Heard, number: u64) -> Hole {
    let mut hole = Hole::default();
    let mut last = number.saturating_sub(1);
    loop {
        let ends_here = |ranges: &[(u64, u64)]| ranges.iter().find(|(_, end)| *end == last).copied();
        let (first, into) = match (ends_here(&heard.missing), ends_here(&heard.lost)) {
            (Some((first, _)), _) => (first, &mut hole.missing),
            (None, Some((first, _))) => (first, &mut hole.lost),
            (None, None) => break,
        };
        into.insert(0, (first, last));
        last = first.saturating_sub(1);
    }
    hole
}

/// Returns how many numbers ranges have.
pub(crate) fn count(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().fold(0, |sum: u64, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
}

impl Inner {
    /// Adds to a commit what the place of a copy says: that its number came, that others did not, that it stands for one that did not
    /// open. Says whether something came that was missing.
    pub(crate) fn place(
        &self,
        state: &State,
        content: &Content,
        from: &Peer,
        commit: &mut Commit,
    ) -> Result<bool, ProfileError> {
        let Some(place) = content.place else { return Ok(false) };
        if place.epoch > state.store().repairs().epoch_seen(from.device)? {
            commit.push(Change::RaiseEpochSeen { device: from.device, epoch: place.epoch }); // REP-22
        }
        let mended = mend(state, &place, from, commit)?;
        Ok(self.number(state, content, &place, from, commit)? || mended)
    }

    fn number(
        &self,
        state: &State,
        content: &Content,
        place: &Place,
        from: &Peer,
        commit: &mut Commit,
    ) -> Result<bool, ProfileError> {
        // REP-2: what nobody is shown has no number, whatever it says.
        if place.number == 0 || !is_numbered(&content.kind) {
            return Ok(false);
        }
        let now = self.now();
        let end = StreamEnd { conversation: content.members.id(), stream: place.stream, last: place.number };
        let kept = state.store().repairs().heard_in(from.device, end.conversation, end.stream)?;
        let is_met = kept.is_none() && state.store().repairs().heard(from.device)?.is_empty();
        let mut heard = kept.unwrap_or_else(|| new_heard(from, &end, now));
        match hear(&mut heard, place.number, now) {
            Was::Known => return Ok(false),
            Was::Next => {}
            Was::Ahead => {
                commit.push(Change::CountUp("gaps_total".to_owned()));
                schedule(state, from, Why::Missing, now, commit)?;
            }
            Was::Missing => {
                commit.push(Change::CountUp(counter("gap", "repaired")));
                commit.push(Change::PutHeard(heard));
                return Ok(true);
            }
        }
        if is_met && state.stream()? > 0 {
            ask_counts(state, from, now, commit)?;
        }
        commit.push(Change::PutHeard(heard));
        Ok(false)
    }
}

/// REP-23: this device went back to a time before it knew the other, which may have sealed for it in streams of which nothing more
/// comes.
fn ask_counts(state: &State, from: &Peer, now: Timestamp, commit: &mut Commit) -> Result<(), ProfileError> {
    let due = now.plus(ASK_MISSING);
    let kept = state.store().repairs().repair(from.device)?;
    let record = kept.unwrap_or_else(|| new_record(from, now, due));
    commit.push(Change::PutRepair(RepairRecord {
        counts_wanted: true,
        since: now,
        due: record.due.min(due),
        ..record
    }));
    Ok(())
}

/// REP-12: only the device whose message did not open can say that another stands for it.
fn mend(state: &State, place: &Place, from: &Peer, commit: &mut Commit) -> Result<bool, ProfileError> {
    let Some(id) = place.mends else { return Ok(false) };
    let mended = state.store().repairs().unopened_head(id)?.filter(|head| head.device == Some(from.device));
    let Some(mended) = mended else { return Ok(false) };
    commit.push(Change::RemoveUnopened(id));
    commit.push(Change::CountUp(counter(&mended.cause, "repaired")));
    Ok(true)
}

/// REP-2: says whether something is for people, or what one of them chose, and so has a number.
pub(crate) fn is_numbered(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(_) | Kind::Act(_) | Kind::GroupChange(_) | Kind::Own(_) | Kind::Unsupported)
}

fn miss(heard: &mut Heard, first: u64, last: u64, now: Timestamp) {
    // That of the newest gap: it is not to be given up together with the oldest (REP-14).
    heard.since = now;
    heard.missing.push((first, last));
    tidy(&mut heard.missing);
}

/// Takes numbers out; says whether one was there.
fn remove(ranges: &mut Vec<(u64, u64)>, first: u64, last: u64) -> bool {
    let mut kept = Vec::with_capacity(ranges.len() + 1);
    let mut found = false;
    for &(start, end) in ranges.iter() {
        if end < first || start > last {
            kept.push((start, end));
            continue;
        }
        found = true;
        if start < first {
            kept.push((start, first - 1));
        }
        if end > last {
            kept.push((last + 1, end));
        }
    }
    *ranges = kept;
    tidy(ranges);
    found
}

/// Sorts, joins what touches, and keeps to the bound.
fn tidy(ranges: &mut Vec<(u64, u64)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    while joined.len() > RANGES_MAX {
        let (_, last) = joined.pop().expect("it is longer than its bound");
        joined.last_mut().expect("it is as long as its bound").1 = last;
    }
    *ranges = joined;
}

#[cfg(test)]
mod tests {
    use halcyon_types::{AccountId, ConversationId, DeviceId, Handle};
    use proptest::prelude::*;

    use super::*;

    fn nothing() -> Heard {
        Heard {
            device: DeviceId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            conversation: ConversationId::from_bytes([3; 16]),
            stream: 0,
            handle: Handle::parse("mailto:bob@example.org").unwrap(),
            high: 0,
            missing: Vec::new(),
            lost: Vec::new(),
            since: Timestamp::from_millis(0),
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// REP-31: a hole is shown where it is, with what is asked for apart from what is lost.
    #[test]
    fn a_hole_is_before_what_came_behind_it() {
        let mut heard = nothing();
        for number in [1, 6, 7, 9] {
            hear(&mut heard, number, at(1));
        }
        hear_of(&mut heard, 11, at(2));
        lose(&mut heard, 3, 4);
        let missing = |missing: &[(u64, u64)]| Hole { missing: missing.to_vec(), lost: Vec::new() };
        assert_eq!(hole_before(&heard, 6), Hole { lost: vec![(3, 4)], ..missing(&[(2, 2), (5, 5)]) });
        assert_eq!(hole_before(&heard, 9), missing(&[(8, 8)]));
        assert_eq!(hole_before(&heard, 12), missing(&[(10, 11)]), "the end of the stream");
        for number in [0, 1, 7] {
            assert_eq!(hole_before(&heard, number), Hole::default(), "{number}");
        }
    }

    /// REP-10: a hole is seen by what comes behind it, and closed by what belongs there, once.
    #[test]
    fn a_hole_is_seen_and_closed() {
        let mut heard = nothing();
        assert_eq!(hear(&mut heard, 1, at(1)), Was::Next);
        assert_eq!(hear(&mut heard, 5, at(2)), Was::Ahead);
        assert_eq!((&heard.missing[..], heard.since, complete_to(&heard)), (&[(2, 4)][..], at(2), 1));
        assert_eq!(hear(&mut heard, 3, at(3)), Was::Missing);
        assert_eq!(hear(&mut heard, 3, at(3)), Was::Known);
        assert_eq!(hear(&mut heard, 8, at(4)), Was::Ahead);
        assert_eq!((&heard.missing[..], heard.since), (&[(2, 2), (4, 4), (6, 7)][..], at(4)));
        assert!(lose(&mut heard, 4, 6) && !lose(&mut heard, 4, 6));
        assert_eq!((&heard.missing[..], &heard.lost[..]), (&[(2, 2), (7, 7)][..], &[(4, 4), (6, 6)][..]));
        assert_eq!((count(&heard.missing), count(&heard.lost)), (2, 2));
        assert_eq!(hear(&mut heard, 4, at(5)), Was::Missing, "lost, and found again");
        assert!(!hear_of(&mut heard, 8, at(6)) && hear_of(&mut heard, 9, at(6)));
        assert_eq!(heard.missing, [(2, 2), (7, 7), (9, 9)]);
        lose_all(&mut heard);
        assert_eq!((&heard.missing[..], &heard.lost[..]), (&[][..], &[(2, 2), (6, 7), (9, 9)][..]));
    }

    /// REP-10: a hostile sender's numbers cost no memory.
    #[test]
    fn ranges_are_bounded() {
        let mut heard = nothing();
        for number in 1..10_000 {
            hear(&mut heard, number * 2, at(1));
        }
        assert!(heard.missing.len() <= RANGES_MAX);
        hear(&mut heard, u64::MAX, at(1));
        hear(&mut heard, u64::MAX, at(1));
        hear_of(&mut heard, u64::MAX, at(1));
        assert_eq!(complete_to(&heard), 0);
        assert!(count(&heard.missing) > 1 << 60);
        lose(&mut heard, 1, u64::MAX);
        assert!(heard.missing.is_empty());
    }

    proptest! {
        /// REP-10: whatever the order, what is missing is what did not come.
        #[test]
        fn what_is_missing_did_not_come(numbers in proptest::collection::vec(1_u64..60, 0..80)) {
            let mut heard = nothing();
            let mut came = std::collections::BTreeSet::new();
            for number in numbers {
                let was = hear(&mut heard, number, at(1));
                prop_assert_eq!(was == Was::Known, !came.insert(number));
                let high = came.last().copied().unwrap_or(0);
                let missing: Vec<u64> = (1..=high).filter(|number| !came.contains(number)).collect();
                let ranges: Vec<u64> = heard.missing.iter().flat_map(|&(first, last)| first..=last).collect();
                prop_assert_eq!(ranges, missing);
                prop_assert_eq!(heard.high, high);
            }
        }
    }
}
