//! What breaks so that it has to be repaired: sessions, disks that go back, a server that drops (spec: 61-repair.md).
//!
//! Owns the odds. Draws nothing in worlds without it, so that those stay as they were.

use std::rc::Rc;

use rand::Rng;

use crate::acts;
use crate::device::Device;
use crate::sabotage::Sabotage;
use crate::world::World;

/// In one of so many acts something breaks.
const ACTS_PER_DAMAGE: u32 = 7;
/// In one of so many acts somebody makes a copy of a disk.
const ACTS_PER_COPY: u32 = 5;
/// Envelopes that the server drops in a row.
const DROPS_MAX: u32 = 4;

/// Lets something break, now and then.
pub fn maybe(world: &Rc<World>) {
    let people = world.people.borrow().len();
    let (copies, damages, person) = world
        .draw(|rng| (rng.gen_ratio(1, ACTS_PER_COPY), rng.gen_ratio(1, ACTS_PER_DAMAGE), rng.gen_range(0..people)));
    let Some(device) = world.usable(person) else { return };
    if copies {
        world.ledger.say(&format!("{}'s disk is copied", device.name));
        *device.copy.borrow_mut() = Some(device.disk.borrow().copy());
    }
    if !damages {
        return;
    }
    let dice = world.draw(|rng| rng.gen_range(0..100));
    match dice {
        _ if world.sabotage == Sabotage::EpochIsHidden => restore(world, &device),
        0..=19 => lose_sessions(world, &device),
        20..=34 => damage_session(world, &device),
        35..=54 => restore(world, &device),
        55..=79 => drop_next(world, &device),
        _ => drop_stored(world, &device),
    }
}

fn note(world: &World, device: &Device) {
    let mut state = world.ledger.state();
    state.totals.damages += 1;
    state.trouble.damaged.insert(device.index);
}

fn lose_sessions(world: &Rc<World>, device: &Rc<Device>) {
    let Some(client) = device.client() else { return };
    note(world, device);
    // The disk may fail over it; then they are there still.
    let lost = client.dangerous_lose_sessions().is_ok();
    if lost {
        world.ledger.say(&format!("{} loses its sessions", device.name));
    }
}

/// One session is nonsense when the device starts again.
fn damage_session(world: &Rc<World>, device: &Rc<Device>) {
    note(world, device);
    device.is_to_damage.set(true);
    device.disk.borrow().cut_power();
}

/// The device is as it was when it was copied, whatever it did since.
fn restore(world: &Rc<World>, device: &Rc<Device>) {
    let Some(copy) = device.copy.borrow().as_ref().map(crate::disk::SimDisk::copy) else { return };
    note(world, device);
    *device.replacement.borrow_mut() = Some(copy);
    device.disk.borrow().cut_power();
}

/// The server drops the next envelopes for a device, and says that it accepted them.
fn drop_next(world: &Rc<World>, device: &Rc<Device>) {
    let Some(id) = device.id.get() else { return };
    let count = world.draw(|rng| rng.gen_range(1..=DROPS_MAX));
    world.ledger.state().trouble.drops.insert(id, count);
}

/// The server drops something that waits for a device.
fn drop_stored(world: &Rc<World>, device: &Rc<Device>) {
    let (Some(id), Some(server)) = (device.id.get(), world.server()) else { return };
    let which = world.draw(|rng| rng.gen_range(0..1000));
    tokio::task::spawn_local(async move { server.mailboxes.drop_one(id, which).await });
}

/// Everybody who is there says a last word in each conversation, so that whoever went back to a time before it learns of it.
pub fn last_words(world: &Rc<World>) {
    let devices = world.devices.borrow().clone();
    for device in devices.into_iter().filter(|device| device.is_usable()) {
        acts::send_in_each_conversation(world, &device);
    }
}
