//! Mails to a relay, over TLS.

use halcyon_server::ports::{MailError, Mailer, OutgoingMail};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::settings::{SmtpSecurity, SmtpSettings};

/// A relay that does not answer is given up after this; the queue tries again.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Hands mails to a relay.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why the settings of a relay are not usable. The operator's move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpError {
    /// The sender's address.
    #[error("mail sender `{0}` is not an address; write Halcyon <halcyon@example.org>")]
    From(String),
    /// The relay's name, or the certificates to check it with.
    #[error("mail relay is not usable: {0}")]
    Relay(#[source] lettre::transport::smtp::Error),
    /// The password is not text.
    #[error("the password of the mail relay is not UTF-8")]
    Password,
}

impl SmtpMailer {
    /// Prepares for a relay; connects when there is a mail.
    ///
    /// # Errors
    /// [`SmtpError`]
    pub fn new(settings: &SmtpSettings) -> Result<Self, SmtpError> {
        let from = settings.from.parse().map_err(|_| SmtpError::From(settings.from.clone()))?;
        let relay = settings.relay.as_str();
        let builder = match settings.security {
            SmtpSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(relay).map_err(SmtpError::Relay)?,
            SmtpSecurity::StartTls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(relay).map_err(SmtpError::Relay)?
            }
            SmtpSecurity::DangerousPlaintext => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(relay),
        };
        let mut builder = builder.port(settings.port).timeout(Some(TIMEOUT));
        if let Some((user, password)) = &settings.credentials {
            let password = std::str::from_utf8(password.expose()).map_err(|_| SmtpError::Password)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }
}

impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpMailer(credentials redacted)")
    }
}

#[async_trait::async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        let message = super::compose(mail, &self.from)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(MailError::Unavailable { reason: kind(&error) }),
        }
    }
}

/// A relay's own words often repeat the address, so only what kind of answer it was is passed on.
fn kind(error: &lettre::transport::smtp::Error) -> String {
    let kind = if error.is_timeout() {
        "the relay did not answer in time"
    } else if error.is_tls() {
        "TLS with the relay failed"
    } else if error.is_permanent() {
        "the relay refused the mail"
    } else if error.is_transient() {
        "the relay asks to try later"
    } else {
        "the relay cannot be reached or speaks no SMTP"
    };
    error.status().map_or_else(|| kind.to_owned(), |status| format!("{kind} (status {status})"))
}
