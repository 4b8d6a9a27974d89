//! Another device joins this account: the trusted device's side. Spec: 21-linking.md (LNK-2 to LNK-9).
//!
//! Owns the order of the calls, and the alarm when a link was tampered with. Does not know commitments and digits:
//! `directory::link_approval::approver` does.
//!
//! - The account key is sealed only after the person typed the digits that the new device shows.

use std::sync::Arc;

use halcyon_directory::{
    SignedList,
    link_approval::approver::{Approved, ApproverError, Candidate, Challenged, Comparing, Typed},
};
use halcyon_types::{DeviceId, LinkId, Timestamp};

use crate::{
    alerts,
    api::{LinkListed, LinkState, Request},
    client::{Client, Inner},
    devices::{LIST_TRIES_MAX, OwnDevice, own_device},
    error::{ApiError, ApproveError, DevicesError, ProfileError},
    event::Notice,
    link::{LINK_WAIT, POLL_PAUSE},
};

/// A device that asks to be linked, as a device of the account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequestShown {
    /// Names it.
    pub id: LinkId,
    /// What the new device calls itself.
    pub device_name: String,
    /// Its id.
    pub device: DeviceId,
    /// When it asked.
    pub created: Timestamp,
}

/// An approval that waits for the digits. Dropping it leaves the link to its 15 minutes; [`Approval::reject`] ends it.
pub struct Approval {
    inner: Arc<Inner>,
    id: LinkId,
    device_name: String,
    step: Step,
}

enum Step {
    Comparing(Comparing),
    /// The digits were right; the list is still to be published.
    Approved(Approved),
    Over,
}

impl Client {
    /// Returns the devices that ask to be linked to this account (LNK-2).
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn link_requests(&self) -> Result<Vec<LinkRequestShown>, ApproveError> {
        let (list, device) = self.inner.own_list()?;
        let links = self.inner.open_links().await?;
        // One whose entry is not valid is not shown: there is nothing true to say about it.
        let shown = links.into_iter().filter(|link| link.waiting).filter_map(|link| {
            let candidate = Candidate::examine(&list, device, &link.request).ok()?;
            Some(LinkRequestShown {
                id: link.id,
                device_name: candidate.entry().name().to_owned(),
                device: candidate.entry().id(),
                created: link.created,
            })
        });
        Ok(shown.collect())
    }

    /// Challenges a device that asks to be linked, and waits until it revealed its nonce: then the person can type what it shows.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn approve_start(&self, link: LinkId) -> Result<Approval, ApproveError> {
        let inner = &*self.inner;
        // 1. What does it ask for?
        let (list, _) = inner.current_list().await?;
        let (_, device) = inner.own_list()?;
        let listed = inner.open_links().await?.into_iter().find(|listed| listed.id == link);
        let listed = listed.ok_or(ApproveError::NoSuchLink)?;
        let candidate = Candidate::examine(&list, device, &listed.request)?;
        let device_name = candidate.entry().name().to_owned();
        // 2. Challenge it: from here on this side is bound, too.
        let (challenged, challenge) = candidate.challenge(inner.rng().as_rng());
        inner.link_call(Request::challenge(link, &challenge)).await?;
        // 3. Its nonce, against its commitment.
        let comparing = inner.await_reveal(link, challenged, &device_name).await?;
        Ok(Approval { inner: self.inner.clone(), id: link, device_name, step: Step::Comparing(comparing) })
    }

    /// Refuses a device that asks to be linked.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn reject_link(&self, link: LinkId) -> Result<(), ApproveError> {
        self.inner.link_call(Request::reject(link)).await
    }
}

impl Approval {
    /// Returns what the new device calls itself.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// Compares the digits that the person typed and, if they are right, adds the device (LNK-7, LNK-8).
    ///
    /// # Errors
    /// [`ApproveError::WrongDigits`] while tries are left: call again. After a network error call again, too: the digits need not be
    /// right a second time. Any other error ends the approval.
    pub async fn type_digits(&mut self, digits: &str) -> Result<OwnDevice, ApproveError> {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Over => return Err(ApproveError::Ended),
            Step::Approved(approved) => self.step = Step::Approved(approved),
            Step::Comparing(comparing) => match comparing.typed(digits) {
                Typed::Approved(approved) => self.step = Step::Approved(approved),
                Typed::Wrong(comparing) => {
                    let tries_left = comparing.tries_left();
                    self.step = Step::Comparing(comparing);
                    return Err(ApproveError::WrongDigits { tries_left });
                }
                Typed::Ended => {
                    // LNK-7
                    self.inner.link_call(Request::reject(self.id)).await?;
                    return Err(ApproveError::Ended);
                }
            },
        }
        self.complete().await
    }

    /// Ends the link.
    ///
    /// # Errors
    /// [`ApproveError`]
    pub async fn reject(self) -> Result<(), ApproveError> {
        self.inner.link_call(Request::reject(self.id)).await
    }

    /// LNK-8, DIR-4: if the list moved on in the meantime, the new device goes onto the new one.
    async fn complete(&mut self) -> Result<OwnDevice, ApproveError> {
        let inner = self.inner.clone();
        for _ in 0..LIST_TRIES_MAX {
            let (current, _) = inner.current_list().await?;
            let Step::Approved(approved) = &self.step else { return Err(ApproveError::Ended) };
            let account_key = inner.state().own()?.account_key.clone();
            let completion = approved.complete(&account_key, &current, inner.now())?;
            match inner.link_call(Request::complete(self.id, &completion)).await {
                Ok(()) => {
                    self.step = Step::Over;
                    let joined = joined(&current, &completion.list);
                    inner.accept_own_list(completion.list)??;
                    return joined.ok_or(ApproveError::NoSuchLink);
                }
                Err(ApproveError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApproveError::Conflict)
    }
}

impl Inner {
    async fn open_links(&self) -> Result<Vec<LinkListed>, ApproveError> {
        self.call_signed(Request::links(), |request| self.api.links(request)).await?.map_err(approve_error)
    }

    async fn link_call(&self, request: Request) -> Result<(), ApproveError> {
        self.call_signed(request, |request| self.api.call(request)).await?.map(drop).map_err(approve_error)
    }

    /// LNK-5
    async fn await_reveal(&self, link: LinkId, challenged: Challenged, name: &str) -> Result<Comparing, ApproveError> {
        let nonce = loop {
            let request = Request::link_state(link, LINK_WAIT);
            match self.call_signed(request, |request| self.api.link_state(request)).await? {
                Ok(LinkState::Revealed(Some(nonce))) => break nonce,
                Ok(LinkState::Revealed(None)) => return Err(ApproveError::Api(ApiError::Malformed("a link"))),
                Ok(LinkState::Waiting | LinkState::Challenged(_)) => {}
                Ok(LinkState::Approved(_) | LinkState::Rejected) => return Err(ApproveError::Taken),
                Ok(LinkState::Expired) => return Err(ApproveError::Expired),
                Err(ApiError::Http(_)) => tokio::time::sleep(POLL_PAUSE.to_std()).await,
                Err(error) => return Err(approve_error(error)),
            }
        };
        match challenged.revealed(nonce) {
            Ok(comparing) => Ok(comparing),
            Err(error) => {
                if error == ApproverError::Tampered {
                    // Reported as an attack, and ended as far as the server lets us.
                    alerts::raise(self, Notice::LinkTampered { name: name.to_owned() })?;
                    let _ = self.link_call(Request::reject(link)).await;
                }
                Err(error.into())
            }
        }
    }
}

fn joined(before: &SignedList, after: &SignedList) -> Option<OwnDevice> {
    let new = after.devices().iter().map(|device| device.entry()).find(|entry| before.device(entry.id()).is_none())?;
    Some(own_device(new, None))
}

impl From<DevicesError> for ApproveError {
    fn from(error: DevicesError) -> Self {
        match error {
            DevicesError::Profile(error) => Self::Profile(error),
            DevicesError::Api(error) => Self::Api(error),
            DevicesError::Refused(refusal) => Self::Refused(refusal),
            DevicesError::Conflict => Self::Conflict,
            DevicesError::Name(_)
            | DevicesError::NoSuchDevice
            | DevicesError::ThisDevice
            | DevicesError::LastSuite
            | DevicesError::List(_) => Self::Profile(ProfileError::Damaged("the own device list")),
        }
    }
}

fn approve_error(error: ApiError) -> ApproveError {
    match error.code() {
        Some("link_state") => ApproveError::Taken,
        Some("no_such_link") => ApproveError::NoSuchLink,
        Some("link_ended") => ApproveError::Expired,
        Some("list_conflict") => ApproveError::Conflict,
        _ => ApproveError::Api(error),
    }
}
