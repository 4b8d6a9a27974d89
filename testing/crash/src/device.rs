//! One device of one person: a real client on a real profile folder, over real TLS.
//!
//! Owns the client and what it shows. Does not know whom it talks to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use halcyon_client::ports::Clock;
use halcyon_client::{Client, ConnectionState, Draft, Parts, ServerAddress};
use halcyon_client_net::{Binding, Network, SystemRandom, Trust};
use halcyon_client_store::{Profile, SqliteStore};
use halcyon_crypto::SecretBytes;
use halcyon_crypto::password::PasswordParams;
use halcyon_types::{DeviceId, Handle, MessageId, SuiteId};

use crate::ledger::Ledger;
use crate::server::Setup;

/// Guards profiles that live for minutes.
pub const PASSPHRASE: &[u8] = b"nothing to hide here";
/// Messages asked for at once.
const HISTORY_PAGE: usize = 1_000;
/// A device that does not come online by then never will.
const ONLINE_MAX: Duration = Duration::from_secs(60);

/// A device whose client runs in this process.
#[derive(Clone)]
pub struct Device {
    /// What its person calls it: `alice-phone`.
    pub name: String,
    /// Its person.
    pub handle: Handle,
    /// Its client.
    pub client: Client,
}

/// Opens the profile in a folder, made if need be, and puts a client together that reaches a server.
///
/// # Errors
/// The profile or the authority's file cannot be read.
pub fn open(folder: &Path, server: &str, authority: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Client> {
    let profile = Profile::at(folder, PasswordParams::dangerous_cheap())?;
    let passphrase = SecretBytes::copy_of(PASSPHRASE);
    let random = Box::new(rand::rngs::OsRng);
    let database =
        if profile.exists()? { profile.open(&passphrase, random)? } else { profile.create(&passphrase, random)? };
    let server: ServerAddress = server.parse()?;
    let network = Network::new(server.clone(), &Trust::File(authority.to_owned()), Binding::Native)?;
    let parts = Parts {
        store: Box::new(SqliteStore::new(database)?),
        http: network.http(),
        courier: network.courier(),
        clock,
        random: Arc::new(SystemRandom),
        server,
    };
    Ok(Client::open(parts)?)
}

/// Returns every text of a client, in the order in which it committed them.
///
/// # Errors
/// The profile cannot be read.
pub fn texts(client: &Client) -> anyhow::Result<Vec<String>> {
    let mut messages = Vec::new();
    for conversation in client.conversations()? {
        let mut before = u64::MAX;
        loop {
            let page = client.history(conversation.id, before, HISTORY_PAGE)?;
            let Some(oldest) = page.first() else { break };
            before = oldest.number;
            messages.extend(page);
        }
    }
    messages.sort_by_key(|message| message.number);
    Ok(messages.into_iter().map(|message| message.text.unwrap_or_default()).collect())
}

impl Device {
    /// Opens a device, and has its client's events noted.
    ///
    /// # Errors
    /// As [`open`].
    pub fn new(
        name: &str,
        handle: &Handle,
        folder: &Path,
        setup: &Setup,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let client = open(&folder.join(name), &setup.address(), &setup.authority(), clock)?;
        Ok(Self { name: name.to_owned(), handle: handle.clone(), client })
    }

    /// Writes down what happens from now on. To be called once the device has an account.
    ///
    /// # Errors
    /// It has none.
    pub fn watch(&self, ledger: &Ledger) -> anyhow::Result<()> {
        let (id, ledger, mut events) = (self.id()?, ledger.clone(), self.client.subscribe());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                ledger.note(id, &event);
            }
        });
        Ok(())
    }

    /// Returns its id.
    ///
    /// # Errors
    /// It has no account.
    pub fn id(&self) -> anyhow::Result<DeviceId> {
        Ok(self.client.account()?.with_context(|| format!("{} has no account", self.name))?.device)
    }

    /// Comes online.
    ///
    /// # Errors
    /// It does not.
    pub async fn online(&self) -> anyhow::Result<()> {
        self.client.go_online();
        let state = tokio::time::timeout(ONLINE_MAX, self.client.wait_online()).await;
        let state =
            state.with_context(|| format!("{} does not come online: {:?}", self.name, self.client.connection()))?;
        anyhow::ensure!(matches!(state, ConnectionState::Online { .. }), "{} is not let in: {state:?}", self.name);
        Ok(())
    }

    /// Connects anew at once, as when a person toggles a phone's radio, instead of after the client's own pause.
    pub async fn reconnect(&self) {
        self.client.go_offline().await;
        self.client.go_online();
    }

    /// Writes a message.
    ///
    /// # Errors
    /// It was not committed.
    pub async fn say(&self, to: &[Handle], text: &str, suite: Option<SuiteId>) -> anyhow::Result<MessageId> {
        let draft = Draft { recipients: to.to_vec(), from: None, text: text.to_owned(), suite, ..Draft::default() };
        Ok(self.client.send(draft).await?.message.id)
    }
}
