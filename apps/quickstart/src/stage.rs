//! The stage: a server on loopback and four agents, all for real and in this process.
//!
//! Owns bringing everybody on, through the interfaces that everybody else uses: verification mail, password, six digits. Does not
//! know what they say to each other.
//!
//! - The clients reach the server through TLS on loopback only; nothing is passed around it.
//! - The server's ports may change between starts: a client is told the present ones when its profile is opened.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use halcyon::failure::Failure;
use halcyon::hosted::Hosted;
use halcyon::native::{self, DeviceSecretChoice};
use halcyon_client::{Client, ConnectionState, Event, LinkDraft, Registration, ServerAddress};
use halcyon_crypto::SecretBytes;
use halcyon_server_net::serve::{self, RunningServer};
use halcyon_server_net::settings::Settings;
use halcyon_types::{DeviceId, Handle};
use tokio::sync::mpsc;

use crate::cast::{Device, Person};
use crate::folder::{DataFolder, Found};
use crate::mails;

/// Protects the profiles of the quickstart's people. It is no secret: they have none.
const DEMO_PASSPHRASE: &[u8] = b"quickstart passphrase, known to everybody";
/// The accounts' password, no secret either.
const DEMO_PASSWORD: &[u8] = b"quickstart password, known to everybody";
/// On loopback, everybody is online within a moment; a machine that swaps may take longer.
const ONLINE_PATIENCE: Duration = Duration::from_secs(20);
/// Events of all devices together that wait to be shown.
const EVENTS_MAX: usize = 1024;

/// Everybody on stage.
pub(crate) struct Stage {
    server: RunningServer,
    agents: HashMap<Device, Hosted>,
    ids: HashMap<DeviceId, Device>,
    events: mpsc::Receiver<(Device, Event)>,
}

/// Who and where the server is, for clients.
#[derive(Clone)]
struct Place {
    server: ServerAddress,
    authority: String,
}

impl Stage {
    /// Starts the server, brings everybody on, and returns when all four are online.
    ///
    /// # Errors
    /// [`Failure`]; nothing is left running.
    pub(crate) async fn open(folder: &mut DataFolder, found: Found) -> Result<Self, Failure> {
        let settings = Settings::loopback(folder.server());
        let authority_path = folder.server().join("authority").join("authority.pem");
        let mails = folder.server().join("mail");
        let server = serve::start(settings).await.map_err(|error| {
            let causes = error.to_string();
            Failure::network(format!("the server does not start: {causes}"))
                .next("another folder with --data FOLDER, or a new start with --fresh")
        })?;
        let place = Place {
            server: format!("https://localhost:{}", server.addresses().https.port())
                .parse()
                .map_err(|error| Failure::unexpected(format!("the server's own address: {error}")))?,
            authority: std::fs::read_to_string(&authority_path)
                .map_err(|error| Failure::network(format!("{}: {error}", authority_path.display())))?,
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut agents = HashMap::new();
        let (alice, bob) = tokio::try_join!(
            bring_on(Person::Alice, folder, found, &place, &mails),
            bring_on(Person::Bob, folder, found, &place, &mails),
        )?;
        if found == Found::New {
            folder.set_complete().map_err(|error| Failure::network(error.to_string()))?;
        }
        let mut ids = HashMap::new();
        for (device, agent) in alice.into_iter().chain(bob) {
            let client = agent.client();
            let account = client.account()?.ok_or_else(|| Failure::unexpected(format!("{device} has no account")))?;
            ids.insert(account.device, device);
            forward(device, client, sender.clone());
            client.go_online();
            agents.insert(device, agent);
        }
        let mut stage = Self { server, agents, ids, events };
        for device in Device::ALL {
            stage.wait_online(device).await?;
        }
        stage.serve(folder);
        Ok(stage)
    }

    /// Lets the commands of `halcyon` at everybody, from another terminal.
    fn serve(&mut self, folder: &DataFolder) {
        #[cfg(unix)]
        for (device, agent) in &mut self.agents {
            if let Err(failure) = agent.serve(&folder.profile(*device)) {
                // The talk needs none of it.
                tracing::warn!(%device, %failure, "commands cannot reach this device");
            }
        }
        #[cfg(not(unix))]
        let _ = folder;
    }

    /// Returns where the server listens.
    pub(crate) fn server(&self) -> &RunningServer {
        &self.server
    }

    /// Returns a device's client.
    pub(crate) fn client(&self, device: Device) -> &Client {
        self.agents[&device].client()
    }

    /// Returns which device has an id.
    pub(crate) fn device(&self, id: DeviceId) -> Option<Device> {
        self.ids.get(&id).copied()
    }

    /// Returns a device's id.
    pub(crate) fn id(&self, device: Device) -> Option<DeviceId> {
        self.ids.iter().find(|(_, known)| **known == device).map(|(id, _)| *id)
    }

    /// Waits for what happens next on any device. Safe to cancel.
    pub(crate) async fn next_event(&mut self) -> Option<(Device, Event)> {
        self.events.recv().await
    }

    /// Connects a device and waits until it is.
    ///
    /// # Errors
    /// [`Failure`] if the server does not take it.
    pub(crate) async fn go_online(&self, device: Device) -> Result<(), Failure> {
        self.client(device).go_online();
        self.wait_online(device).await
    }

    async fn wait_online(&self, device: Device) -> Result<(), Failure> {
        let waited = tokio::time::timeout(ONLINE_PATIENCE, self.client(device).wait_online()).await;
        match waited {
            Ok(ConnectionState::Online { .. }) => Ok(()),
            Ok(other) => Err(Failure::network(format!("{device} does not come online: {other:?}"))),
            Err(_) => {
                Err(Failure::network(format!("{device} was not online within {} seconds", ONLINE_PATIENCE.as_secs())))
            }
        }
    }

    /// Ends everybody's work in good order; the server last.
    pub(crate) async fn close(self) {
        let Self { server, agents, .. } = self;
        for agent in agents.into_values() {
            agent.close().await;
        }
        server.shutdown().await;
    }
}

/// A task a device, so that a slow screen slows nobody but itself: whoever falls behind is told so.
fn forward(device: Device, client: &Client, sender: mpsc::Sender<(Device, Event)>) {
    let mut events = client.subscribe();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if sender.send((device, event)).await.is_err() {
                break;
            }
        }
    });
}

async fn bring_on(
    person: Person,
    folder: &DataFolder,
    found: Found,
    place: &Place,
    mails: &Path,
) -> Result<Vec<(Device, Hosted)>, Failure> {
    let [first, second] = person.devices();
    let (first_agent, second_agent) =
        tokio::try_join!(agent(folder, first, found, place), agent(folder, second, found, place))?;
    if found == Found::New {
        register(person, first, first_agent.client(), mails).await?;
        link(person, second, first_agent.client(), second_agent.client()).await?;
    }
    Ok(vec![(first, first_agent), (second, second_agent)])
}

async fn agent(folder: &DataFolder, device: Device, found: Found, place: &Place) -> Result<Hosted, Failure> {
    let path = folder.profile(device);
    let passphrase = SecretBytes::copy_of(DEMO_PASSPHRASE);
    let (server, authority) = (place.server.clone(), place.authority.clone());
    // Stretching the passphrase takes a tenth of a second of one core, so the four are opened beside each other.
    let opened = tokio::task::spawn_blocking(move || match found {
        // The person's own keyring is not for people of a demonstration.
        Found::New => native::create_store(&path, &passphrase, DeviceSecretChoice::File),
        Found::Complete => native::open_store(&path, &passphrase),
    });
    let store =
        opened.await.map_err(|error| Failure::unexpected(format!("{device} could not be opened: {error}")))??;
    Hosted::open(store, server, authority).await
}

/// ACC-20 to ACC-32, as a person does it: ask, read the mail, type the code.
async fn register(person: Person, device: Device, client: &Client, mails: &Path) -> Result<(), Failure> {
    let verification = client.request_verification(&handle(person)?).await?;
    let code = mails::code(mails, &person.handle()).await?;
    client.verify_code(&verification, &code).await?;
    let password = SecretBytes::copy_of(DEMO_PASSWORD);
    client.register(Registration { verification, password, device_name: device.name().to_owned() }).await?;
    Ok(())
}

/// LNK-1 to LNK-10: the new device shows six digits, the trusted one is told them.
async fn link(person: Person, device: Device, trusted: &Client, new: &Client) -> Result<(), Failure> {
    let password = SecretBytes::copy_of(DEMO_PASSWORD);
    let draft = LinkDraft { handle: handle(person)?, password, device_name: device.name().to_owned() };
    let mut pending = new.link_start(draft).await?;
    let approve = async {
        let requests = trusted.link_requests().await?;
        let request =
            requests.first().ok_or_else(|| Failure::unexpected(format!("{device} does not wait for approval")))?;
        Ok::<_, Failure>(trusted.approve_start(request.id).await?)
    };
    let show = async { Ok::<_, Failure>(pending.digits().await?) };
    let (mut approval, digits) = tokio::try_join!(approve, show)?;
    let (typed, finished) = tokio::join!(approval.type_digits(&digits), pending.finish());
    typed?;
    finished?;
    Ok(())
}

/// Returns a person's handle.
///
/// # Errors
/// [`Failure`] if the cast has an address that is none.
pub(crate) fn handle(person: Person) -> Result<Handle, Failure> {
    Handle::parse(&person.handle()).map_err(|error| Failure::unexpected(error.to_string()))
}

/// Returns when the person presses Ctrl-C.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
