//! What may happen in a world: people act, and things break.
//!
//! Owns the odds. Does not know what follows; that is the ledger's and the end's to judge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use halcyon_client::error::LinkError;
use halcyon_client::{Account, Act, Client, Deed, Draft, LinkDraft, PendingLink, Tapback, Target, Text};
use halcyon_types::{Handle, LinkId, SuiteId};
use rand::Rng;
use tokio::time::error::Elapsed;

use crate::Options;
use crate::damage;
use crate::device::Device;
use crate::disk::Fuse;
use crate::ledger::Membership;
use crate::net::Weather;
use crate::sabotage::Sabotage;
use crate::watch::TEXT_MARK;
use crate::world::{World, handle, password};

/// Devices that somebody has at most, with those that are gone.
const DEVICES_MAX: usize = 5;
/// Messages on a screen, to which things are done.
const MESSAGES_IN_VIEW: usize = 8;
/// How long somebody tries a thing before giving it up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lets one thing happen.
pub fn one(world: &Rc<World>, options: Options) {
    let dice = world.draw(|rng| rng.gen_range(0..1000));
    let people = world.people.borrow().len();
    let person = world.draw(|rng| rng.gen_range(0..people));
    match dice {
        605.. if options.is_kind => send(world, person),
        0..=519 => send(world, person),
        520..=569 => link(world, person),
        570..=589 => remove(world, person),
        590..=604 => add_handle(world, person),
        605..=659 => rest(world, person),
        660..=719 => bad_weather(world, person),
        720..=769 => break_connection(world, person),
        770..=839 => crash(world, person),
        840..=879 if world.sabotage == Sabotage::FailedSyncIsIgnored => fail_sync(world),
        840..=879 => crash_server(world),
        880..=884 => fail_sync(world),
        885..=889 => fill_disk(world),
        890..=899 => upgrade(world),
        900..=919 => wrong_clock(world, person),
        920..=929 => forced(world, person),
        _ => burst(world, person),
    }
}

fn device(world: &Rc<World>, person: usize, act: impl FnOnce(Rc<Device>)) {
    if let Some(device) = world.usable(person) {
        act(device);
    }
}

/// Somebody writes to one or two others.
fn send(world: &Rc<World>, person: usize) {
    let acts = world.options.has_acts && world.draw(|rng| rng.gen_bool(0.4));
    device(world, person, |device| if acts { act_from(world, &device) } else { send_from(world, &device, None) });
}

/// Somebody does something to one of the last messages that they see; not always what they may.
fn act_from(world: &Rc<World>, device: &Rc<Device>) {
    let Some(client) = device.client() else { return };
    let mut seen = client.history_since(0, usize::MAX).unwrap_or_default();
    seen.retain(|shown| shown.act.is_none() && !shown.parts.is_empty());
    let Some(last) = seen.len().checked_sub(1) else { return };
    let message = &seen[last - world.draw(|rng| rng.gen_range(0..=last.min(MESSAGES_IN_VIEW - 1)))];
    let target = Target { message: message.id, device: message.sender_device, part: 0 };
    let number = world.texts.get() + 1;
    world.texts.set(number);
    let deed = world.draw(|rng| match rng.gen_range(0..6) {
        0..=2 => Deed::Tapback {
            tapback: Tapback::NAMED[rng.gen_range(0..Tapback::NAMED.len())].clone(),
            removed: rng.gen_bool(0.2),
        },
        3 | 4 => Deed::Edit(Text::plain(format!("{TEXT_MARK} text number {number}"))),
        _ => Deed::Unsend,
    });
    let (world, this) = (world.clone(), device.clone());
    world.ledger.say(&format!("{} begins act {number}", this.name));
    device.act(async move {
        match client.act(Act { target, deed }).await {
            Ok(_) => world.ledger.say(&format!("{} has committed act {number}", this.name)),
            Err(error) => world.ledger.say(&format!("{} cannot do act {number}: {error}", this.name)),
        }
    });
}

/// Somebody insists on the legacy suite.
fn forced(world: &Rc<World>, person: usize) {
    device(world, person, |device| send_from(world, &device, Some(SuiteId::PAIR)));
}

/// Somebody writes a lot at once.
fn burst(world: &Rc<World>, person: usize) {
    let count = world.draw(|rng| rng.gen_range(2..8));
    device(world, person, |device| (0..count).for_each(|_| send_from(world, &device, None)));
}

fn send_from(world: &Rc<World>, device: &Rc<Device>, suite: Option<SuiteId>) {
    let recipients = world.draw(|rng| {
        let people = world.people.borrow();
        let others: Vec<_> = (0..people.len()).filter(|other| *other != device.person).collect();
        let count = if rng.gen_bool(0.3) { others.len() } else { 1 };
        let first = rng.gen_range(0..others.len());
        let chosen = (0..count).map(|at| &people[others[(first + at) % others.len()]]);
        chosen.map(|person| person.handles[rng.gen_range(0..person.handles.len())].clone()).collect::<Vec<Handle>>()
    });
    send_to(world, device, recipients, None, suite);
}

/// Writes to each conversation of a device.
pub fn send_in_each_conversation(world: &Rc<World>, device: &Rc<Device>) {
    let conversations = device.client().and_then(|client| client.conversations().ok()).unwrap_or_default();
    for conversation in conversations {
        let (own, others): (Vec<Handle>, Vec<Handle>) = {
            let state = world.ledger.state();
            let is_own = |handle: &Handle| state.handles.get(handle) == Some(&device.person);
            conversation.members.into_iter().partition(is_own)
        };
        if let (Some(from), false) = (own.into_iter().next(), others.is_empty()) {
            send_to(world, device, others, Some(from), None);
        }
    }
}

fn send_to(
    world: &Rc<World>,
    device: &Rc<Device>,
    recipients: Vec<Handle>,
    from: Option<Handle>,
    suite: Option<SuiteId>,
) {
    let Some(client) = device.client() else { return };
    let number = world.texts.get() + 1;
    world.texts.set(number);
    let draft =
        Draft { recipients, from, text: format!("{TEXT_MARK} text number {number}"), suite, ..Draft::default() };
    let (world, this) = (world.clone(), device.clone());
    world.ledger.say(&format!("{} writes message {number} to {}", this.name, draft.recipients.len()));
    device.act(async move {
        match client.send(draft).await {
            Ok(_) => world.ledger.say(&format!("{} has committed message {number}", this.name)),
            Err(error) => world.ledger.say(&format!("{} cannot write message {number}: {error}", this.name)),
        }
    });
}

/// Somebody gets a new device and links it.
fn link(world: &Rc<World>, person: usize) {
    let theirs = world.devices.borrow().iter().filter(|device| device.person == person).count();
    let Some(trusted) = world.usable(person).filter(|_| theirs < DEVICES_MAX) else { return };
    let Some(approver) = trusted.client() else { return };
    let newcomer = match world.add_device(person) {
        Ok(newcomer) => newcomer,
        Err(error) => return world.ledger.violated("I2", &format!("a new device does not start: {error:#}")),
    };
    let Some(client) = newcomer.client() else { return };
    newcomer.is_joining.set(true);
    world.ledger.say(&format!("{} is to be linked by {}", newcomer.name, trusted.name));
    let handle = world.people.borrow()[person].handles[0].clone();
    // What the person sees on the new device.
    let seen: Rc<RefCell<(Option<LinkId>, Option<String>)>> = Rc::default();
    {
        let (world, newcomer, seen) = (world.clone(), newcomer.clone(), seen.clone());
        newcomer.clone().act(async move {
            let linked = tokio::time::timeout(PATIENCE, async {
                let draft = LinkDraft { handle, password: password(person), device_name: newcomer.name.clone() };
                let mut pending = client.link_start(draft).await?;
                seen.borrow_mut().0 = Some(pending.id());
                let digits = pending.digits().await?;
                seen.borrow_mut().1 = Some(digits);
                pending.finish().await
            })
            .await;
            ended(&world, &newcomer, &client, linked);
        });
    }
    let (world, this) = (world.clone(), trusted.clone());
    trusted.act(async move {
        let approved = tokio::time::timeout(PATIENCE, async {
            let id = poll(|| seen.borrow().0).await;
            let shown = approver.link_requests().await?.into_iter().find(|shown| shown.id == id);
            let mut approval = approver.approve_start(id).await?;
            let digits = poll(|| seen.borrow().1.clone()).await;
            // From here on the directory may have it, whatever we hear of that.
            if let Some(shown) = shown.filter(|_| world.sabotage != Sabotage::GhostDevice) {
                let member = Membership {
                    person,
                    client: newcomer.index,
                    name: newcomer.name.clone(),
                    joined: None,
                    removed: None,
                };
                world.ledger.state().devices.entry(shown.device).or_insert(member);
            }
            loop {
                match approval.type_digits(&digits).await {
                    Err(halcyon_client::error::ApproveError::Api(_)) => {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                    }
                    ended => break ended.map(drop),
                }
            }
        })
        .await;
        let how = match approved {
            Ok(Ok(())) => "approves".to_owned(),
            Ok(Err(error)) => format!("does not approve ({error})"),
            Err(_) => "does not get to approve".to_owned(),
        };
        world.ledger.say(&format!("{} {how} {}", this.name, newcomer.name));
    });
}

/// A device that died over being linked goes on with it (LNK-11).
pub fn link_again(world: &Rc<World>, newcomer: &Rc<Device>, client: Client, pending: PendingLink) {
    newcomer.is_joining.set(true);
    world.ledger.say(&format!("{} goes on with being linked", newcomer.name));
    let (world, this) = (world.clone(), newcomer.clone());
    newcomer.act(async move {
        let linked = tokio::time::timeout(PATIENCE, pending.finish()).await;
        ended(&world, &this, &client, linked);
    });
}

fn ended(world: &World, newcomer: &Device, client: &Client, linked: Result<Result<Account, LinkError>, Elapsed>) {
    newcomer.is_joining.set(false);
    match linked {
        // What somebody else linked behind the person's back.
        Ok(Ok(_)) if world.sabotage == Sabotage::GhostDevice => newcomer.is_gone.set(true),
        Ok(Ok(account)) => {
            world.joined(newcomer, account.device);
            world.ledger.say(&format!("{} is linked", newcomer.name));
            client.go_online();
        }
        ended => {
            let why = ended.map_or("it took too long".to_owned(), |linked| {
                linked.map_or_else(|error| error.to_string(), |_| String::new())
            });
            world.ledger.say(&format!("{} is not linked: {why}", newcomer.name));
            // One that just died may find on its disk that it was linked, or how to go on.
            newcomer.is_gone.set(!newcomer.disk.borrow().is_dark());
        }
    }
}

async fn poll<T>(look: impl Fn() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Somebody removes one of their devices, with another.
fn remove(world: &Rc<World>, person: usize) {
    let Some(remover) = world.usable(person) else { return };
    let Some(leaver) = world.usable(person).filter(|leaver| leaver.index != remover.index) else { return };
    let (Some(client), Some(id)) = (remover.client(), leaver.id.get()) else { return };
    begin_removal(world, &leaver);
    world.ledger.say(&format!("{} removes {}", remover.name, leaver.name));
    let world = world.clone();
    remover.clone().act(async move {
        match client.remove_device(id).await {
            Ok(()) => world.ledger.say(&format!("{} removed {}", remover.name, leaver.name)),
            Err(error) => world.ledger.say(&format!("{} could not remove {}: {error}", remover.name, leaver.name)),
        }
    });
}

/// From here on nothing is expected of a device.
pub fn begin_removal(world: &World, leaver: &Device) {
    leaver.is_gone.set(true);
    if let Some(id) = leaver.id.get() {
        if let Some(member) = world.ledger.state().devices.get_mut(&id) {
            member.removed.get_or_insert_with(tokio::time::Instant::now);
        }
        world.leaving.borrow_mut().push((leaver.person, id));
    }
}

/// Somebody gets another address.
fn add_handle(world: &Rc<World>, person: usize) {
    let count = world.people.borrow()[person].handles.len();
    let (Some(new), Some(device)) = (handle(person, count), world.usable(person).filter(|_| count < 3)) else { return };
    let Some(client) = device.client() else { return };
    world.ledger.state().handles.insert(new.clone(), person);
    let (world, this) = (world.clone(), device.clone());
    device.act(async move {
        let added = tokio::time::timeout(PATIENCE, async {
            let verification = client.add_handle(&new).await.map_err(|error| error.to_string())?;
            let code = world.await_code(&new).await.ok_or_else(|| "the mail was lost".to_owned())?;
            client.verify_code(&verification, &code).await.map_err(|error| error.to_string())
        })
        .await;
        match added {
            Ok(Ok(())) => {
                let mut people = world.people.borrow_mut();
                let handles = &mut people[person].handles;
                if !handles.contains(&new) {
                    handles.push(new);
                }
                world.ledger.say(&format!("{} added an address", this.name));
            }
            Ok(Err(error)) => world.ledger.say(&format!("{} could not add an address: {error}", this.name)),
            Err(_) => world.ledger.say(&format!("{} gave up adding an address", this.name)),
        }
    });
}

/// A device is off for a while.
fn rest(world: &Rc<World>, person: usize) {
    device(world, person, |device| {
        let span = world.draw(|rng| Duration::from_secs(rng.gen_range(1..3600)));
        rest_for(world, &device, span);
    });
}

/// A device is off for so long.
pub fn rest_for(world: &Rc<World>, device: &Rc<Device>, span: Duration) {
    if !device.wants_online.replace(false) {
        return;
    }
    world.ledger.say(&format!("{} goes offline for {} s", device.name, span.as_secs()));
    if let Some(client) = device.client() {
        device.act(async move { client.go_offline().await });
    }
    let device = device.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(span).await;
        device.wants_online.set(true);
        if device.is_usable()
            && let Some(client) = device.client()
        {
            client.go_online();
        }
    });
}

/// Weeks in which little happens: many are away, some longer than anything is kept, with what they wrote before, or switched off.
pub async fn holiday(world: &Rc<World>, options: Options) {
    world.ledger.state().totals.holidays += 1;
    let span = world.draw(|rng| Duration::from_secs(rng.gen_range(7 * DAY_S..45 * DAY_S)));
    world.ledger.say(&format!("a holiday of {} days begins", span.as_secs() / DAY_S));
    let devices = world.devices.borrow().clone();
    for device in devices.into_iter().filter(|device| device.is_usable()) {
        let (is_away, away, is_off) = world.draw(|rng| {
            // Some are away for nearly all of it.
            let part = if rng.gen_bool(0.4) { 0.95 } else { rng.gen_range(0.2..0.95) };
            (rng.gen_bool(0.75), span.mul_f64(part), rng.gen_bool(0.3))
        });
        if is_away && is_off {
            world.ledger.say(&format!("{} is switched off for {} days", device.name, away.as_secs() / DAY_S));
            device.off_for.set(Some(away));
            device.disk.borrow().cut_power();
        } else if is_away {
            rest_for(world, &device, away);
        }
    }
    // Some find out only now that they are offline: what they write waits for their return.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let devices = world.devices.borrow().clone();
    for device in devices.into_iter().filter(|device| device.is_usable()) {
        if world.draw(|rng| rng.gen_bool(0.6)) {
            send_from(world, &device, None);
        }
    }
    let over = tokio::time::Instant::now() + span;
    while !world.ledger.has_violations() {
        let pause = world.draw(|rng| Duration::from_secs(rng.gen_range(6 * 3600..3 * DAY_S)));
        if tokio::time::Instant::now() + pause >= over {
            break;
        }
        tokio::time::sleep(pause).await;
        if world.draw(|rng| rng.gen_bool(0.02)) {
            let off = world.draw(|rng| Duration::from_secs(rng.gen_range(DAY_S / 4..3 * DAY_S)));
            world.ledger.say(&format!("the server is switched off for {} hours", off.as_secs() / 3600));
            world.server_off_for.set(Some(off));
            world.kill_server();
        } else {
            if options.has_repairs {
                damage::maybe(world);
            }
            one(world, options);
        }
    }
    tokio::time::sleep_until(over).await;
    world.ledger.say("the holiday is over");
}

/// Seconds of a day.
const DAY_S: u64 = 86_400;

fn bad_weather(world: &Rc<World>, person: usize) {
    device(world, person, |device| {
        let (weather, span) = world.draw(|rng| {
            let cut = rng.gen_bool(0.4);
            let latency_ms = *[80, 400, 4000].get(rng.gen_range(0..3)).unwrap_or(&80);
            let weather = Weather { cut, loss: rng.gen_range(0..50), latency_ms };
            (weather, Duration::from_secs(rng.gen_range(1..600)))
        });
        if weather.cut {
            // What is cut off does not even learn that its connections are gone.
            world.net.stall(device.index);
        }
        world.ledger.say(&format!(
            "{}'s network is bad for {} s: {}loss {} %, up to {} ms",
            device.name,
            span.as_secs(),
            if weather.cut { "cut off, " } else { "" },
            weather.loss,
            weather.latency_ms
        ));
        world.ledger.state().totals.faults += 1;
        world.net.set_weather(device.index, weather);
        let net = world.net.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(span).await;
            net.set_weather(device.index, Weather::FAIR);
        });
    });
}

fn break_connection(world: &Rc<World>, person: usize) {
    device(world, person, |device| {
        world.ledger.state().totals.faults += 1;
        if world.draw(|rng| rng.gen_bool(0.5)) {
            world.ledger.say(&format!("{}'s connection breaks", device.name));
            world.net.reset(device.index);
        } else {
            world.ledger.say(&format!("{}'s connection goes silent", device.name));
            world.net.stall(device.index);
        }
    });
}

fn fuse(world: &World) -> Option<Fuse> {
    world.draw(|rng| match rng.gen_range(0..5) {
        0 | 1 => Some(Fuse::BeforeSync),
        2 | 3 => Some(Fuse::AfterSync),
        _ => None,
    })
}

/// A device dies, now or at its next commit. Those that are being linked, too.
fn crash(world: &Rc<World>, person: usize) {
    let joining = world.devices.borrow().iter().find(|device| device.is_joining.get()).cloned();
    let Some(device) = joining.filter(|_| world.draw(|rng| rng.gen_bool(0.5))).or_else(|| world.usable(person)) else {
        return;
    };
    let disk = device.disk.borrow().clone();
    match fuse(world) {
        Some(fuse) => {
            world.ledger.say(&format!("{} is about to die ({fuse:?})", device.name));
            disk.light(fuse);
        }
        None => disk.cut_power(),
    }
}

fn crash_server(world: &Rc<World>) {
    match fuse(world) {
        Some(fuse) => {
            world.ledger.say(&format!("the server is about to die ({fuse:?})"));
            world.server_disk().light(fuse);
        }
        None => world.kill_server(),
    }
}

/// A sync of one of the server's databases is about to fail.
fn fail_sync(world: &Rc<World>) {
    let file = world.draw(|rng| if rng.gen_bool(0.7) { "mailboxes.db-wal" } else { "directory.db-wal" });
    world.ledger.say(&format!("the server's disk is about to fail a sync of {file}"));
    tokio::task::spawn_local(world.clone().fail_sync(file));
}

/// The server's disk is full for a while.
fn fill_disk(world: &Rc<World>) {
    let (room, span) = world.draw(|rng| {
        let span = if rng.gen_bool(0.2) { rng.gen_range(900..DAY_S / 2) } else { rng.gen_range(1..900) };
        (rng.gen_range(0..32 * 1024), Duration::from_secs(span))
    });
    world.ledger.say(&format!("the server's disk has room for {room} bytes, for {} s", span.as_secs()));
    world.ledger.state().totals.disk_faults += 1;
    world.server_disk().leave_room(Some(room));
    let world = world.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(span).await;
        if world.server_disk().is_limited() {
            world.server_disk().leave_room(None);
            world.ledger.say("the server's disk has room again");
        }
    });
}

fn upgrade(world: &Rc<World>) {
    tokio::task::spawn_local(world.clone().upgrade_server());
}

fn wrong_clock(world: &Rc<World>, person: usize) {
    device(world, person, |device| {
        let ahead =
            world.draw(|rng| if rng.gen_bool(0.2) { 7_200_000 } else { 200_000 } * rng.gen_range(-100..=100) / 100);
        world.ledger.say(&format!("{}'s clock is {ahead} ms ahead", device.name));
        device.clock.set_ahead(ahead);
    });
}
