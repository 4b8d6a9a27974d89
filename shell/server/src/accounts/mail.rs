//! Mails on their way out. Spec: 20-accounts.md §2 (ACC-20, ACC-22, ACC-24).
//!
//! Owns the texts and a bounded queue between answers and the relay. Does not know SMTP.
//!
//! - A request is answered before its mail leaves, so a slow relay tells nobody which handles exist (ACC-20).
//! - The queue is in memory: a code on disk would be a code in backups (ACC-24). A crash loses what waited, and the
//!   person asks again.

use std::sync::Arc;
use std::time::Duration;

use halcyon_types::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::ports::{Mailer, OutgoingMail};

/// Mails that wait for the relay; the ones after that are dropped and counted.
const QUEUE_MAX: usize = 1000;
/// Mails handed over at the same time, so that one slow conversation does not hold up all.
const CONCURRENT_MAX: usize = 8;
/// Pauses between tries. A code lives 15 minutes, so there is no point in trying for days.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(20)];

/// Where services put mails.
#[derive(Clone)]
pub struct MailQueue(mpsc::Sender<OutgoingMail>);

/// The other end, for [`deliver`].
pub struct MailBag(mpsc::Receiver<OutgoingMail>);

/// Returns both ends of a new queue.
#[must_use]
pub fn queue() -> (MailQueue, MailBag) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    (MailQueue(sender), MailBag(receiver))
}

impl MailQueue {
    /// Takes a mail; it leaves later, or is counted as lost.
    pub fn put(&self, mail: OutgoingMail) {
        if self.0.try_send(mail).is_err() {
            metrics::counter!("halcyon_mails_total", "outcome" => "dropped").increment(1);
            tracing::warn!("a mail was dropped because the queue is full or closed");
        }
    }
}

/// Hands mails over until every [`MailQueue`] is gone and the queue is empty.
pub async fn deliver(mut bag: MailBag, mailer: Arc<dyn Mailer>) {
    let turns = Arc::new(Semaphore::new(CONCURRENT_MAX));
    while let Some(mail) = bag.0.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let mailer = Arc::clone(&mailer);
        tokio::spawn(async move {
            hand_over(&*mailer, mail).await;
            drop(turn);
        });
    }
    // Every turn back means that every mail was handed over or given up.
    let _ = turns.acquire_many(CONCURRENT_MAX as u32).await;
}

async fn hand_over(mailer: &dyn Mailer, mail: OutgoingMail) {
    let mut pauses = RETRY_AFTER.iter();
    loop {
        let outcome = mailer.send(mail.clone()).await;
        let Err(error) = outcome else {
            metrics::counter!("halcyon_mails_total", "outcome" => "sent").increment(1);
            return;
        };
        let Some(pause) = pauses.next() else {
            metrics::counter!("halcyon_mails_total", "outcome" => "failed").increment(1);
            tracing::error!(%error, "a mail was given up");
            return;
        };
        tracing::warn!(%error, retry_s = pause.as_secs(), "a mail could not be handed over");
        tokio::time::sleep(*pause).await;
    }
}

/// The mail with code and link (ACC-20). The line `Code: ` and the line with the link are read by programs, too.
#[must_use]
pub fn verification(to: &Handle, host: &str, code: &str, link: &str) -> OutgoingMail {
    let text = format!(
        "Somebody, probably you, wants to use this address with Halcyon on {host}.\n\
         \n\
         Code: {code}\n\
         \n\
         Type it where you were asked for it, or open this link and press the button:\n\
         \n\
         {link}\n\
         \n\
         Code and link work once, for 15 minutes. If this was not you, do nothing: without\n\
         the code nothing happens.\n"
    );
    OutgoingMail { to: to.clone(), subject: "Your Halcyon code".to_owned(), text }
}

/// The mail for an address that an account has already (ACC-20).
#[must_use]
pub fn taken(to: &Handle, host: &str) -> OutgoingMail {
    let text = format!(
        "Somebody wants to use this address with Halcyon on {host}, but it belongs to an\n\
         account already. Nothing was changed.\n\
         \n\
         If this was you, and you have a new device: link it to your account instead\n\
         (`halcyon link`). It takes your password, and the approval of a device that you\n\
         have already.\n\
         \n\
         If this was not you, do nothing.\n"
    );
    OutgoingMail { to: to.clone(), subject: "Your address is in use with Halcyon already".to_owned(), text }
}
