//! Time, randomness, mail.

use halcyon_crypto::rng::{CryptoRng, RngCore, RngError};
use halcyon_types::{Handle, Timestamp};

/// What time it is. Timers are tokio's, which a simulation pauses.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// Where randomness comes from: the operating system, or a simulation's seed.
pub trait Random: Send + Sync {
    /// Fills a buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// A [`Random`] as the generator that key-making functions ask for.
pub struct RandomRng<'a>(pub &'a dyn Random);

impl RngCore for RandomRng<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), RngError> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl CryptoRng for RandomRng<'_> {}

/// One mail to one person.
#[derive(Clone)]
pub struct OutgoingMail {
    /// The recipient, always of kind email.
    pub to: Handle,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// The relay or folder could not be reached now; trying again may help.
    #[error("the mail could not be handed over: {reason}")]
    Unavailable {
        /// What the relay or the operating system said; holds no address.
        reason: String,
    },
}

/// Hands mail over to a relay, or to a folder in development.
#[async_trait::async_trait]
pub trait Mailer: Send + Sync {
    /// Hands one mail over.
    ///
    /// # Errors
    /// [`MailError`]; nothing was handed over.
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError>;
}
