//! People who talk all the time, whatever happens to the server.
//!
//! Owns who says what, how often and in which suite. Does not know what became of it: the ledger does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use halcyon_types::{Handle, SuiteId};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;

use crate::device::Device;
use crate::ledger::Ledger;
use crate::town::Town;

/// Pauses of one device between two messages: together some 15 a second, each for three devices or more and answered with receipts,
/// which keeps a slow machine busy and lets it catch up.
const PAUSE_MS: std::ops::Range<u64> = 50..400;
/// Messages and receipts that may wait in an outbox: more would only make the machine slow, which is not on trial here.
pub(crate) const UNHEARD_MAX: usize = 25;
/// How long a message may take to be committed at its sender.
const LAST_WORDS_MAX: Duration = Duration::from_secs(30);
/// Pause between two messages that expire.
const FLEETING_PAUSE: Duration = Duration::from_millis(150);

/// Talk that goes on until it is told to stop.
pub struct Load {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stopping: AtomicBool,
    refused: AtomicU64,
}

impl Load {
    /// Lets every device talk.
    #[must_use]
    pub fn start(town: &Town) -> Self {
        let mut tasks = JoinSet::new();
        let counts = Arc::new(Counts::default());
        for device in &town.devices {
            tasks.spawn(talk(device.clone(), town.others(device), town.ledger.clone(), counts.clone()));
        }
        tasks.spawn(talk_in_vain(town.dora.clone(), town.erin.handle.clone(), town.ledger.clone(), counts.clone()));
        Self { tasks, counts }
    }

    /// Ends it: what is being said is said to the end. Returns how many messages were not even committed at their sender.
    pub async fn stop(mut self) -> u64 {
        self.counts.stopping.store(true, Ordering::Relaxed);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS_MAX, ended).await.is_err() {
            crate::say("somebody does not come to the end of a sentence");
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.counts.refused.load(Ordering::Relaxed)
    }
}

/// Dora writes what expires before erin comes. She cannot use prekeys, which are all from the future for her.
async fn talk_in_vain(dora: Device, erin: Handle, ledger: Ledger, counts: Arc<Counts>) {
    for number in 0_u64.. {
        tokio::time::sleep(FLEETING_PAUSE).await;
        if counts.stopping.load(Ordering::Relaxed) {
            return;
        }
        if !is_heard(&dora) {
            continue;
        }
        let text = format!("{} {number}", dora.name);
        ledger.fleeting(&text);
        match dora.say(std::slice::from_ref(&erin), &text, Some(SuiteId::PAIR)).await {
            Ok(message) => ledger.sent(message, &text),
            Err(error) => {
                crate::say(&format!("dora cannot say \"{text}\": {error:#}"));
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// People who see that nothing leaves stop typing after a while.
pub(crate) fn is_heard(device: &Device) -> bool {
    device.client.outbox_len().is_ok_and(|waiting| waiting < UNHEARD_MAX)
}

async fn talk(device: Device, others: Vec<Handle>, ledger: Ledger, counts: Arc<Counts>) {
    for number in 0_u64.. {
        let pause = rand::thread_rng().gen_range(PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if counts.stopping.load(Ordering::Relaxed) {
            return;
        }
        if !is_heard(&device) {
            continue;
        }
        let text = format!("{} {number}", device.name);
        // To one person, or to both at once; one message in three in the older suite.
        let count = if number.is_multiple_of(4) { others.len() } else { 1 };
        let to: Vec<Handle> = others.choose_multiple(&mut rand::thread_rng(), count).cloned().collect();
        let suite = number.is_multiple_of(3).then_some(SuiteId::PAIR);
        match device.say(&to, &text, suite).await {
            Ok(message) => ledger.sent(message, &text),
            Err(error) => {
                crate::say(&format!("{} cannot say \"{text}\": {error:#}", device.name));
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
