//! Load that comes whether or not the server keeps up, as people's does.
//!
//! - Every send has a time at which it is meant to happen, and all its latencies count from then: a server that stalls is
//!   charged for what waited before it could even be sent (no coordinated omission).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::Arguments;
use super::clients::{Clients, Device};
use super::course::{Course, Measured, histogram};
use super::load::{Template, answered, receivers};
use super::people::Person;

/// Loads the courier with so many sends a second, spread evenly over the senders.
pub(crate) async fn courier(
    clients: &Clients,
    arguments: &Arguments,
    sends_per_s: f64,
    length: Duration,
) -> Result<Measured> {
    let course = Arc::new(Course::new());
    let receivers = receivers(clients, arguments, &course).await?;
    let interval = Duration::from_secs_f64(f64::from(arguments.senders) / sends_per_s);
    let mut senders = JoinSet::new();
    for number in 0..arguments.senders {
        let (me, peer) =
            (Person::numbered(arguments.receivers + number), Person::numbered(number % arguments.receivers));
        let device = clients.connect(me).await?;
        let template = Template::new(me, peer, arguments.payload)?;
        // Nobody keeps step with anybody.
        let offset = interval.mul_f64(f64::from(number) / f64::from(arguments.senders));
        senders.spawn(send(device, template, interval, offset, course.clone()));
    }
    let seconds = course.run(length).await;
    let mut latency = histogram()?;
    while let Some(sender) = senders.join_next().await {
        latency.add(sender??)?;
    }
    Ok(course.measured(seconds, latency, receivers.end().await?))
}

async fn send(
    mut device: Device,
    mut template: Template,
    interval: Duration,
    offset: Duration,
    course: Arc<Course>,
) -> Result<Histogram<u64>> {
    let mut latency = histogram()?;
    let mut under_way = VecDeque::new();
    let mut meant = Instant::now() + offset;
    let mut id = 0;
    while !course.is_over() || !under_way.is_empty() {
        // More waits here than the server takes of one connection: it does not refuse, it stops reading (COU-45).
        while !course.is_over() && meant <= Instant::now() && under_way.len() < UNDER_WAY_MAX {
            id += 1;
            device.queue(template.send(id, meant));
            under_way.push_back((id, meant));
            meant += interval;
        }
        device.flush().await?;
        let due = tokio::time::Instant::from_std(meant).max(tokio::time::Instant::now() + TICK);
        tokio::select! {
            filled = device.fill() => filled?,
            () = tokio::time::sleep_until(due) => {}
        }
        while let Some(frame) = device.received()? {
            course.note(answered(frame, &mut under_way)?, &mut latency);
        }
    }
    Ok(latency)
}

/// Sends that one device has under way at most; what is meant to be sent meanwhile is late, and is charged for it.
const UNDER_WAY_MAX: usize = 256;

/// The runtime's timers are no finer.
const TICK: Duration = Duration::from_millis(1);
