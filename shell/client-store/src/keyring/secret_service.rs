//! The desktop's secret service (GNOME Keyring, KWallet, KeePassXC, …), spoken to over the session bus.
//!
//! Owns the conversation: <https://specifications.freedesktop.org/secret-service-spec/>. Does not know what is kept.
//!
//! - A call that nobody answers ends after [`ANSWER_MAX`], or [`OPEN_MAX`] where a profile depends on it; one that asks a
//!   person, after [`PROMPT_MAX`]. Without a screen nobody is asked.
//! - Each call has a thread, a runtime and a connection of its own, and leaves none behind.
//! - Values travel as they are: the bus is a socket between programs of one user, each of whom may ask the service for the
//!   value anyway. (The protocol's other way is a key exchange that authenticates nobody.)

use std::{collections::HashMap, thread, time::Duration};

use futures_util::StreamExt;
use halcyon_crypto::SecretBytes;
use zbus::{
    Connection, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, message,
};

use super::{Item, Keyring, KeyringError};

/// How long a service that is to keep something new may take to answer. Without it the secret goes into a file, and a person
/// waits for that.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long it may take where a profile that exists depends on it: it may have to be started first, on a busy machine.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// How long a person gets to type the password that opens the keyring.
const PROMPT_MAX: Duration = Duration::from_mins(1);

const SERVICE: &str = "org.freedesktop.secrets";
const SERVICE_PATH: &str = "/org/freedesktop/secrets";
/// The collection that lives in memory alone; every service has it here.
const SESSION_COLLECTION: &str = "/org/freedesktop/secrets/collection/session";
/// How the protocol says "no object".
const NONE: &str = "/";
const CONTENT_TYPE: &str = "application/octet-stream";

/// A secret on the wire: session, parameters of its encryption (none), value, content type.
type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// The secret service of the session that this process belongs to.
pub(super) struct SecretService;

impl Keyring for SecretService {
    fn find(&self, id: &str) -> Result<Option<SecretBytes>, KeyringError> {
        on_own_thread(async || Conversation::begin(OPEN_MAX).await?.find(id).await)
    }

    fn keep(&self, item: &Item<'_>, value: &SecretBytes) -> Result<(), KeyringError> {
        on_own_thread(async || Conversation::begin(ANSWER_MAX).await?.keep(item, value).await)
    }

    fn remove(&self, id: &str) -> Result<(), KeyringError> {
        on_own_thread(async || Conversation::begin(OPEN_MAX).await?.remove(id).await)
    }
}

/// Runs `work` where no other runtime is, and waits for it.
fn on_own_thread<T: Send>(work: impl AsyncFnOnce() -> Result<T, KeyringError> + Send) -> Result<T, KeyringError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| KeyringError::Absent(error.kind().to_string()))?.block_on(work())
    };
    let ended = thread::scope(|scope| {
        let thread = thread::Builder::new().name("keyring".into()).spawn_scoped(scope, run);
        thread.map(thread::ScopedJoinHandle::join)
    });
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(KeyringError::Refused("the conversation with it broke off".into())),
        Err(error) => Err(KeyringError::Absent(error.kind().to_string())),
    }
}

/// A connection to the bus, and a session with the service.
struct Conversation {
    connection: Connection,
    session: OwnedObjectPath,
    patience: Duration,
}

impl Conversation {
    async fn begin(patience: Duration) -> Result<Self, KeyringError> {
        let begin = async {
            let connection = zbus::conn::Builder::session().method_timeout(patience).build().await.map_err(no_bus)?;
            let mut conversation = Self { connection, session: path(NONE)?, patience };
            let opened = conversation.service("OpenSession", &("plain", Variant::new(""))).await?;
            let (_, session): (OwnedVariant, OwnedObjectPath) = read(&opened)?;
            conversation.session = session;
            Ok(conversation)
        };
        tokio::time::timeout(patience, begin).await.unwrap_or(Err(KeyringError::Silent(patience.as_secs())))
    }

    async fn find(&self, id: &str) -> Result<Option<SecretBytes>, KeyringError> {
        let Some(item) = self.item(id).await? else { return Ok(None) };
        let answer = self.call(&item, "org.freedesktop.Secret.Item", "GetSecret", &(&self.session,)).await?;
        let (secret,): (Secret,) = read(&answer)?;
        Ok(Some(SecretBytes::from_vec(secret.2)))
    }

    async fn keep(&self, item: &Item<'_>, value: &SecretBytes) -> Result<(), KeyringError> {
        let collection = self.default_collection().await?;
        self.unlock(&collection).await?;
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::new(item.label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::new(attributes(item.id))),
        ]);
        let secret = (&self.session, Vec::<u8>::new(), value.expose(), CONTENT_TYPE);
        let replace = true;
        let call = (properties, secret, replace);
        let created = self.call(&collection, "org.freedesktop.Secret.Collection", "CreateItem", &call).await?;
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) = read(&created)?;
        self.answer_prompt(&prompt).await
    }

    async fn remove(&self, id: &str) -> Result<(), KeyringError> {
        let Some(item) = self.item(id).await? else { return Ok(()) };
        let deleted = self.call(&item, "org.freedesktop.Secret.Item", "Delete", &()).await?;
        let (prompt,): (OwnedObjectPath,) = read(&deleted)?;
        self.answer_prompt(&prompt).await
    }

    /// Returns the item with this id, unlocked.
    async fn item(&self, id: &str) -> Result<Option<OwnedObjectPath>, KeyringError> {
        let found = self.service("SearchItems", &(attributes(id),)).await?;
        let (unlocked, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) = read(&found)?;
        if let Some(item) = unlocked.into_iter().next() {
            return Ok(Some(item));
        }
        let Some(item) = locked.into_iter().next() else {
            // A service may hide what a locked collection has: then that is the news, not that there is nothing.
            return if self.default_is_locked().await? { Err(KeyringError::Locked) } else { Ok(None) };
        };
        self.unlock(&item).await?;
        Ok(Some(item))
    }

    async fn default_is_locked(&self) -> Result<bool, KeyringError> {
        match self.default_collection().await {
            Ok(collection) => self.is_locked(&collection, "org.freedesktop.Secret.Collection").await,
            Err(KeyringError::NoPlace) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn default_collection(&self) -> Result<OwnedObjectPath, KeyringError> {
        let (collection,): (OwnedObjectPath,) = read(&self.service("ReadAlias", &("default",)).await?)?;
        let real = ![NONE, SESSION_COLLECTION].contains(&collection.as_str());
        real.then_some(collection).ok_or(KeyringError::NoPlace)
    }

    async fn is_locked(&self, object: &OwnedObjectPath, interface: &str) -> Result<bool, KeyringError> {
        let answer = self.call(object, "org.freedesktop.DBus.Properties", "Get", &(interface, "Locked")).await?;
        let (locked,): (OwnedVariant,) = read(&answer)?;
        bool::try_from(locked).map_err(broken)
    }

    /// Unlocks an item or a collection; asks the person if it takes a password.
    async fn unlock(&self, object: &OwnedObjectPath) -> Result<(), KeyringError> {
        let answer = self.service("Unlock", &(vec![object],)).await?;
        let (unlocked, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) = read(&answer)?;
        if unlocked.contains(object) {
            return Ok(());
        }
        self.answer_prompt(&prompt).await
    }

    /// Lets the service ask the person, if there is a screen to ask on, and waits for the answer.
    async fn answer_prompt(&self, prompt: &OwnedObjectPath) -> Result<(), KeyringError> {
        const INTERFACE: &str = "org.freedesktop.Secret.Prompt";
        if prompt.as_str() == NONE {
            return Ok(());
        }
        if !has_screen() {
            return Err(KeyringError::Locked);
        }
        let completed = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .path(prompt)
            .interface(INTERFACE)
            .member("Completed")
            .build()
            .map_err(broken)?;
        let mut completed = MessageStream::for_match_rule(completed, &self.connection, None)
            .await
            .map_err(|error| self.refusal(error))?;
        self.call(prompt, INTERFACE, "Prompt", &("",)).await?;
        match tokio::time::timeout(PROMPT_MAX, completed.next()).await {
            Ok(Some(Ok(signal))) => {
                let (dismissed, _): (bool, OwnedVariant) = read(&signal)?;
                if dismissed { Err(KeyringError::Locked) } else { Ok(()) }
            }
            Ok(Some(Err(_)) | None) => Err(KeyringError::Absent("it ended while it asked for a password".into())),
            Err(_) => {
                // The window would stay; that nobody takes it away is no news.
                let _ = self.call(prompt, INTERFACE, "Dismiss", &()).await;
                Err(KeyringError::Locked)
            }
        }
    }

    async fn service(
        &self,
        method: &str,
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> Result<Message, KeyringError> {
        self.call(&path(SERVICE_PATH)?, "org.freedesktop.Secret.Service", method, body).await
    }

    async fn call(
        &self,
        object: &OwnedObjectPath,
        interface: &str,
        method: &str,
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> Result<Message, KeyringError> {
        let answer = self.connection.call_method(Some(SERVICE), object, Some(interface), method, body).await;
        answer.map_err(|error| self.refusal(error))
    }

    /// The service's words stay out: nobody knows what they repeat.
    fn refusal(&self, error: zbus::Error) -> KeyringError {
        match error {
            zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                KeyringError::Silent(self.patience.as_secs())
            }
            zbus::Error::InputOutput(error) => KeyringError::Absent(error.kind().to_string()),
            zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.Secret.Error.IsLocked" => {
                KeyringError::Locked
            }
            zbus::Error::MethodError(name, ..) => KeyringError::Refused(name.to_string()),
            zbus::Error::FDO(error) => match *error {
                zbus::fdo::Error::ServiceUnknown(_) | zbus::fdo::Error::NameHasNoOwner(_) => {
                    KeyringError::Absent("the session has no secret service".into())
                }
                zbus::fdo::Error::SpawnChildExited(_) | zbus::fdo::Error::SpawnExecFailed(_) => {
                    KeyringError::Absent("the secret service does not start".into())
                }
                zbus::fdo::Error::NoReply(_) | zbus::fdo::Error::Timeout(_) | zbus::fdo::Error::TimedOut(_) => {
                    KeyringError::Silent(self.patience.as_secs())
                }
                _ => KeyringError::Refused("an error of the bus".into()),
            },
            _ => KeyringError::Refused("its answer is not understood".into()),
        }
    }
}

/// What an item is found by.
fn attributes(id: &str) -> HashMap<&'static str, &str> {
    HashMap::from([("application", "halcyon"), ("id", id)])
}

/// Whether a window can be shown to whoever runs this process. The service may have a screen of its own, but perhaps another
/// person, or nobody, sits before it.
fn has_screen() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn no_bus(error: zbus::Error) -> KeyringError {
    KeyringError::Absent(match error {
        zbus::Error::InputOutput(error) => format!("no session bus: {}", error.kind()),
        _ => "no session bus".into(),
    })
}

fn read<T>(message: &Message) -> Result<T, KeyringError>
where
    T: for<'a> serde::Deserialize<'a> + zbus::Type,
{
    message.body().deserialize().map_err(broken)
}

fn broken<E>(_error: E) -> KeyringError {
    KeyringError::Refused("its answer is not understood".into())
}

fn path(text: &'static str) -> Result<OwnedObjectPath, KeyringError> {
    ObjectPath::try_from(text).map(Into::into).map_err(broken)
}
