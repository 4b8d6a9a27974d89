//! The end of a world: all is well again, everybody is online, and after a while everything that was accepted was shown, once, and
//! nothing waits anywhere.
//!
//! Owns what must be true then (I3, I10), and how long it may take.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use halcyon_client::{Client, ShownGap, ShownPart};
use halcyon_types::{DeviceId, MessageId};
use rand::Rng;
use tokio::time::Instant;

use crate::device::{Device, number};
use crate::ledger::COUNTED_FOR;
use crate::net::Weather;
use crate::world::World;
use crate::{acts, damage};

/// How long a world may need to come to rest: the longest pause between two tries is five minutes, and a silent connection is found
/// out after an interval of at most 30.
const REST_MAX: Duration = Duration::from_secs(4 * 3600);
/// The same where there is something to repair: who was asked for long without an answer is asked once a day (REP-11), and what it
/// sends may be lost once more.
const REPAIR_MAX: Duration = Duration::from_secs(4 * 86_400);
/// From then on it is looked at less often: what is waited for are the long pauses of repairs.
const SOON: Duration = Duration::from_secs(20 * 60);
/// How often then.
const LOOK_LATER_EVERY: Duration = Duration::from_secs(5 * 60);
/// Whoever goes back to a time before they knew somebody hears of them when they write, as they do in one of so many worlds anyway.
const WORLDS_PER_LAST_WORD: u32 = 2;
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How often, in looks, it is seen whether somebody still has to be removed.
const REMOVE_EVERY: u32 = 6;

/// Mends everything, waits, and checks.
pub async fn end(world: &Rc<World>) {
    heal(world).await;
    if world.options.has_repairs {
        let anyway = world.draw(|rng| rng.gen_ratio(1, WORLDS_PER_LAST_WORD));
        if anyway || !world.ledger.state().trouble.restored.is_empty() {
            damage::last_words(world);
        }
    }
    let began = Instant::now();
    let rest_max = if world.options.has_repairs { REPAIR_MAX } else { REST_MAX };
    let (mut unrest, mut looks) = (Vec::new(), 0);
    while began.elapsed() < rest_max {
        tokio::time::sleep(if began.elapsed() < SOON { LOOK_EVERY } else { LOOK_LATER_EVERY }).await;
        if world.ledger.has_violations() {
            return;
        }
        if looks % REMOVE_EVERY == 0 {
            finish_removals(world).await;
        }
        looks += 1;
        unrest = unrest_of(world).await;
        if unrest.is_empty() {
            break;
        }
    }
    count_open(world);
    for what in unrest {
        world.ledger.violated("I3", &format!("hours after all was well, {what}"));
    }
    if !world.ledger.has_violations() {
        check(world);
    }
}

async fn heal(world: &Rc<World>) {
    world.ledger.say("all is well from now on");
    world.heal();
    world.server_disk().leave_room(None);
    // Whoever is about to die does so, and everybody comes back.
    let devices = world.devices.borrow().clone();
    for device in &devices {
        world.net.set_weather(device.index, Weather::FAIR);
        device.clock.set_ahead(0);
    }
    tokio::time::sleep(Duration::from_secs(200)).await;
    for device in devices {
        device.disk.borrow().unlight();
        device.wants_online.set(true);
        if let (false, Some(_), Some(client)) = (device.is_gone.get(), device.id.get(), device.client()) {
            client.go_online();
        }
    }
    world.server_disk().unlight();
    world.server_disk().do_not_fail();
}

/// Removes what somebody wanted to remove, or gave up while it was being linked.
async fn finish_removals(world: &Rc<World>) {
    let people = world.people.borrow().len();
    for person in 0..people {
        let Some(device) = world.usable(person) else { continue };
        let Some(client) = device.client() else { continue };
        let Ok(listed) = client.devices().await else { continue };
        for listed in listed {
            let member = world.member(listed.device);
            let stays = member.is_some_and(|member| member.joined.is_some() && member.removed.is_none());
            if !stays {
                let abandoned =
                    world.devices.borrow().iter().find(|other| other.id.get() == Some(listed.device)).cloned();
                if let Some(abandoned) = abandoned {
                    acts::begin_removal(world, &abandoned);
                }
                if client.remove_device(listed.device).await.is_ok() {
                    world.leaving.borrow_mut().push((person, listed.device));
                }
            }
        }
    }
}

fn staying(world: &World) -> Vec<(Rc<Device>, DeviceId)> {
    let devices = world.devices.borrow();
    let staying = devices.iter().filter(|device| !device.is_gone.get());
    staying.filter_map(|device| device.id.get().map(|id| (device.clone(), id))).collect()
}

/// Says what still waits.
async fn unrest_of(world: &Rc<World>) -> Vec<String> {
    let mut unrest = Vec::new();
    let Some(server) = world.server() else { return vec!["the server is not there".to_owned()] };
    for (device, _) in staying(world) {
        unrest.extend(repairs_of(world, &device));
        match device.client().map(|client| client.outbox_len()) {
            Some(Ok(0)) => {}
            Some(Ok(waiting)) => unrest.push(format!("{waiting} jobs are in the outbox of {}", device.name)),
            Some(Err(_)) | None => unrest.push(format!("{} is not there", device.name)),
        }
    }
    let members: Vec<DeviceId> = world.ledger.state().devices.keys().copied().collect();
    for member in members {
        let stored = server.mailboxes.stored(member).await.map_or(1, |stored| stored.len());
        if stored > 0 {
            let name = world.member(member).map(|member| member.name).unwrap_or_default();
            unrest.push(format!("{stored} envelopes are in the mailbox of {name}"));
        }
    }
    unrest
}

/// Says what a device still has to repair.
fn repairs_of(world: &World, device: &Device) -> Vec<String> {
    let mut unrest = Vec::new();
    let Some(client) = device.client() else { return unrest };
    let repairs = client.repairs().map_or(1, |repairs| repairs.len());
    let missing = missing(&client);
    let state = world.ledger.state();
    let unreadable = state.unreadable(device.index).into_iter();
    unrest.extend(unreadable.map(|what| format!("{} keeps {what} unopened", device.name)));
    for (count, what) in [(repairs as u64, "repairs"), (missing, "missing messages")] {
        if count > 0 {
            unrest.push(format!("{} has {count} {what}", device.name));
        }
    }
    if !world.options.has_repairs {
        return unrest;
    }
    let is_due = |(message, _): &&(MessageId, DeviceId)| {
        let sent = state.sends.get(message);
        sent.is_some_and(|sent| sent.from == device.index && sent.at.elapsed() < COUNTED_FOR)
    };
    let mut unconfirmed: BTreeMap<(&str, bool), u32> = BTreeMap::new();
    for (message, to) in state.trouble.unconfirmed.iter().filter(is_due) {
        let Some(member) = state.devices.get(to).filter(|member| member.removed.is_none()) else { continue };
        let has = state.truth(member.client).is_some_and(|truth| truth.messages.contains(message));
        *unconfirmed.entry((&member.name, has)).or_default() += 1;
    }
    for ((to, has), count) in unconfirmed {
        let what = if has { "does not know that it arrived" } else { "did not arrive" };
        unrest.push(format!("{count} messages of {} to {to}: {what}", device.name));
    }
    unrest
}

fn missing(client: &Client) -> u64 {
    client.gaps().map_or(1, |gaps| gaps.iter().map(ShownGap::missing_count).sum())
}

/// Counts what nobody can read, and what did not come, for the report.
fn count_open(world: &World) {
    for (device, _) in staying(world) {
        let missing = device.client().map_or(0, |client| missing(&client));
        let mut state = world.ledger.state();
        let unreadable = state.unreadable(device.index).len() as u64;
        state.totals.unreadable += unreadable;
        state.totals.gaps_open += missing;
    }
}

/// I3, I10: what was accepted was shown, once.
fn check(world: &Rc<World>) {
    let mut shown: BTreeMap<DeviceId, BTreeMap<MessageId, u32>> = BTreeMap::new();
    let mut parts: BTreeMap<MessageId, Vec<(String, Vec<ShownPart>)>> = BTreeMap::new();
    for (device, id) in staying(world) {
        let Some(client) = device.client() else {
            world.ledger.violated("I3", &format!("{} is not there at the end", device.name));
            continue;
        };
        let mut texts: BTreeMap<String, u32> = BTreeMap::new();
        let shows = client.conversations().and_then(|conversations| {
            let history = |conversation: halcyon_client::ports::store::Conversation| {
                client.history(conversation.id, u64::MAX, 1 << 20)
            };
            conversations.into_iter().map(history).collect::<Result<Vec<_>, _>>()
        });
        let shows = match shows {
            Ok(shows) => shows,
            Err(error) => {
                world.ledger.violated("I2", &format!("the profile of {} cannot be read: {error}", device.name));
                continue;
            }
        };
        for message in shows.into_iter().flatten() {
            if let Some(text) = message.text.as_deref() {
                *texts.entry(number(text)).or_default() += 1;
            }
            *shown.entry(id).or_default().entry(message.id).or_default() += 1;
            parts.entry(message.id).or_default().push((device.name.clone(), message.parts));
        }
        // CON-11: what was done is no message of its own.
        for act in client.history_since(0, usize::MAX).unwrap_or_default().into_iter().filter(|one| one.act.is_some()) {
            shown.entry(id).or_default().insert(act.id, 1);
        }
        for (text, count) in texts.iter().filter(|(_, count)| **count > 1) {
            world.ledger.violated("I3", &format!("{} shows message {text} {count} times", device.name));
        }
    }
    let mut state = world.ledger.state();
    let state = &mut *state;
    let mut missing = Vec::new();
    let mut excused = false;
    for (message, sent) in &state.sends {
        let sender = world.devices.borrow()[sent.from].clone();
        for device in &sent.entitled {
            let Some(member) = state.devices.get(device) else { continue };
            let key = (*message, *device);
            let has = shown.get(device).is_some_and(|shown| shown.contains_key(message));
            if has || member.removed.is_some() {
                continue;
            }
            let accepted = state.accepted.contains_key(&key);
            // What a removed device left behind cannot be verified any more, or never left it. What expired was seen to, and what was
            // given up was said to the sender.
            let is_told = state.expired.contains(&key) || state.is_given_up(*message, *device) && !accepted;
            let is_lost = state.trouble.may_be_missing(*message, *device, member.client, accepted)
                || state.is_dropped_unnoticed(*message, *device);
            if sender.is_gone.get() || is_told || is_lost {
                excused = true;
                continue;
            }
            let so_far = if accepted { "was accepted by the server" } else { "was committed, not given up" };
            missing.push(format!("a message from {} {so_far} and is not shown on {}", sender.name, member.name));
        }
    }
    // CON-11: whoever has the same acts shows the same. Where somebody need not have all of them, that says nothing; nor of a device
    // that lost its own with its disk.
    let lost = state.trouble.lost_at_source.iter().filter_map(|message| state.sends.get(message));
    let went_back: BTreeSet<String> = lost.map(|sent| world.devices.borrow()[sent.from].name.clone()).collect();
    for mut shows in parts.into_values().filter(|_| !excused) {
        shows.retain(|(name, _)| !went_back.contains(name));
        let differs = shows.iter().find(|(_, shown)| *shown != shows[0].1);
        missing.extend(differs.map(|(name, _)| format!("a message is not the same on {name} and on {}", shows[0].0)));
    }
    for missing in missing {
        state.violated("I3, I10", &missing);
    }
}
