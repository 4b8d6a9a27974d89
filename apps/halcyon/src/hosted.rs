//! An agent inside of another program, for a profile that the program opened.
//!
//! Owns its beginning and end. Does not know what the program does with the client meanwhile: both use the same one.

#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::sync::Arc;

use halcyon_client::{Client, ServerAddress};
use halcyon_client_store::SqliteStore;
#[cfg(unix)]
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[cfg(unix)]
use crate::agent::endpoint::Endpoint;
#[cfg(unix)]
use crate::agent::service::{Manner, Service};
use crate::failure::Failure;
#[cfg(unix)]
use crate::keeper::Keeper;
use crate::session::{Session, Unlocked};

/// A profile that is open, to be served to commands and programs.
pub struct Hosted {
    session: Session,
    serving: Option<Serving>,
}

struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Hosted {
    /// Takes a profile that was just opened, for a server whose certificate an authority (PEM) signed. Nothing is sent, and nobody served.
    ///
    /// # Errors
    /// [`Failure`] if the authority is not PEM, or the profile is damaged.
    pub async fn open(store: SqliteStore, server: ServerAddress, authority: String) -> Result<Self, Failure> {
        let session = Unlocked::of(store, server, authority)?.session().await;
        Ok(Self { session, serving: None })
    }

    /// Returns the client.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.session.client()
    }

    /// Serves commands of the profile in a folder, until [`close`](Self::close). Needs a tokio runtime with several threads.
    ///
    /// # Errors
    /// [`Failure`] if an agent of the profile runs already, or there is no place for its socket; the client goes on without.
    #[cfg(unix)]
    pub fn serve(&mut self, folder: &Path) -> Result<(), Failure> {
        let endpoint = Endpoint::claim(folder)?;
        let keeper = Arc::new(Keeper::open(folder.to_owned(), self.session.clone()));
        let service = Service::new(keeper, Handle::current(), Manner::default());
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            service.serve(&endpoint, stop).await;
        });
        self.serving = Some(Serving { stop, task });
        Ok(())
    }

    /// Ends the client's work in good order, and whoever is served.
    pub async fn close(self) {
        match self.serving {
            Some(Serving { stop, task }) => {
                stop.send_replace(true);
                // A task that panicked has ended, too.
                let _ = task.await;
            }
            None => self.session.close().await,
        }
    }
}
