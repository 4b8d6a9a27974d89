//! How long it takes from the call until the server accepted what is said to a group of 32 people with five devices each.
//!
//! `cargo bench -p halcyon-client-net`. A real server in this process, reached over TLS. One sender keeps its profile in the encrypted
//! store on disk, another one in memory; both speak to the same 159 devices. First while nobody else is online, then while all of them
//! receive in this process, too, so that what everybody does shares the processors.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use halcyon_client::{Client, Draft, GroupName, Parts, Until};
use halcyon_client_net::{Binding, Network, SystemRandom};
use halcyon_client_store::{Profile, SqliteStore};
use halcyon_crypto::{SecretBytes, password::PasswordParams};
use halcyon_types::GroupId;
use rand::rngs::OsRng;

use crate::world::{Device, World, until};

#[allow(dead_code, reason = "the stories of the tests need more of it")]
#[path = "../tests/it/world.rs"]
mod world;

const PEOPLE: usize = 32;
const DEVICES: usize = 5;
/// Sends of each kind; the median is printed, and the slowest.
const TURNS: usize = 15;

/// How long a send took.
#[derive(Clone, Copy)]
struct Took {
    /// Until it was sealed for everybody, and committed.
    committed: Duration,
    /// Until the server had accepted all of it.
    accepted: Duration,
}

#[tokio::main]
async fn main() {
    // `cargo test` runs it so that it cannot rot, and has not the time for all of them.
    let (people, turns) = if std::env::args().any(|arg| arg == "--bench") { (PEOPLE, TURNS) } else { (3, 2) };
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let all = everybody(&world, people, folder.path()).await;
    let devices: Vec<&Device> = all.iter().flatten().collect();
    let (on_disk, in_memory) = (&all[0][0], &all[1][0]);

    let others: Vec<_> = all[1..].iter().map(|devices| devices[0].handle.clone()).collect();
    let name = GroupName::new("everybody").unwrap();
    let (group, _) = on_disk.client.create_group(name, &others, None).await.unwrap();
    // What is said first begins the sessions.
    for sender in [on_disk, in_memory] {
        until("the group", || sender.client.group(group).unwrap().is_some()).await;
        say(sender, group, "hello").await;
        everybody_has(&devices, group, "hello").await;
    }

    println!("{} devices besides the sender's", devices.len() - 1);
    for device in &devices {
        device.offline().await;
    }
    for (sender, store) in [(on_disk, "encrypted"), (in_memory, "memory")] {
        sender.online().await;
        let mut took = Vec::new();
        for turn in 0..turns {
            took.push(say(sender, group, &format!("nobody there? {turn}")).await);
        }
        report(&format!("others=away store={store}"), took);
        sender.offline().await;
    }
    for device in &devices {
        device.online().await;
    }
    for (sender, store) in [(on_disk, "encrypted"), (in_memory, "memory")] {
        let mut took = Vec::new();
        for turn in 0..turns {
            let text = format!("from {store}: {turn}");
            took.push(say(sender, group, &text).await);
            everybody_has(&devices, group, &text).await;
        }
        report(&format!("others=online store={store}"), took);
    }
}

/// Everybody's devices, online. The very first one keeps its profile in the encrypted store.
async fn everybody(world: &World, people: usize, folder: &Path) -> Vec<Vec<Device>> {
    let mut all = Vec::new();
    for person in 0..people {
        let mut first = world.device(&format!("person{person}"), "device 0");
        if person == 0 {
            first.client = in_the_encrypted_store(world, folder);
        }
        world.register_on(&first).await;
        let mut devices = vec![first];
        for number in 1..DEVICES {
            let linked = world.link(&devices[0], &format!("device {number}")).await;
            devices.push(linked);
        }
        all.push(devices);
    }
    all
}

fn in_the_encrypted_store(world: &World, folder: &Path) -> Client {
    let network = Network::new(world.address(), &world.trust(), Binding::Native).unwrap();
    let profile = Profile::at(folder, PasswordParams::dangerous_cheap()).unwrap();
    let database = profile.create(&SecretBytes::copy_of(b"bench"), Box::new(OsRng)).unwrap();
    let parts = Parts {
        store: Box::new(SqliteStore::new(database).unwrap()),
        http: network.http(),
        courier: network.courier(),
        clock: world.clock.clone(),
        random: Arc::new(SystemRandom),
        server: world.address(),
    };
    Client::open(parts).unwrap()
}

async fn say(sender: &Device, group: GroupId, text: &str) -> Took {
    let begun = Instant::now();
    let draft = Draft { group: Some(group), text: text.to_owned(), ..Draft::default() };
    let sent = sender.client.send(draft).await.unwrap();
    let committed = begun.elapsed();
    sender.wait(&sent, Until::Accepted).await;
    Took { committed, accepted: begun.elapsed() }
}

/// Waits until everybody has it, and nobody has anything more to say of it.
async fn everybody_has(devices: &[&Device], group: GroupId, text: &str) {
    let conversation = halcyon_content::group::group_conversation(group);
    let has = |device: &Device| {
        let last = device.client.history(conversation, u64::MAX, 1).unwrap();
        last.last().is_some_and(|last| last.text.as_deref() == Some(text))
    };
    for device in devices {
        until(text, || has(device) && device.client.outbox_len().unwrap() == 0).await;
    }
}

fn report(what: &str, mut took: Vec<Took>) {
    took.sort_by_key(|took| took.accepted);
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{what} committed_ms={:.1} accepted_ms={:.1} slowest_ms={:.1}",
        ms(median.committed),
        ms(median.accepted),
        ms(slowest.accepted)
    );
}
