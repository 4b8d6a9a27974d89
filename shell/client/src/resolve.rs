//! From handles to devices that may be sealed for. Spec: 11-directory.md §3 (DIR-6 to DIR-9, DIR-20 to DIR-24).
//!
//! Owns when the server is asked, what of its answer is committed, and the alarm when it is not believed.
//! Does not decide whether to believe: that is `directory::resolver`.
//!
//! - What was accepted is committed before its devices are returned.
//! - A refusal is committed as an alert before it is returned.

use halcyon_directory::{
    VerifiedDevices,
    lookup::{HANDLES_MAX, LookupAnswer, LookupRequest, UnverifiedAccount},
    resolver::{self, Acceptance, Known, Refusal},
};
use halcyon_types::{AccountId, DeviceId, Handle, SuiteId};

use crate::{
    alerts,
    api::Request,
    client::{Client, Inner},
    devices::LIST_TRIES_MAX,
    error::{ApiError, LookupError, ProfileError},
    event::{Event, Notice},
    outbox::{Targets, alone},
    ports::{Change, Commit, store::KnownHandleRecord},
    state::{State, addresses_record},
};

/// What a lookup found.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedUp {
    /// The handle.
    pub handle: Handle,
    /// Its account.
    pub account: AccountId,
    /// The version of its device list.
    pub list_version: u64,
    /// Its devices.
    pub devices: Vec<LookedUpDevice>,
    /// What changed since it was looked up last (DIR-8).
    pub changes: Vec<resolver::Change>,
}

/// A device that a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUpDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// Suites that it speaks.
    pub suites: Vec<SuiteId>,
    /// Whether the server gave an address to deliver to (DIR-22).
    pub deliverable: bool,
}

/// What became of one handle.
#[derive(Clone, Debug)]
pub(crate) enum Resolved {
    /// Its devices, and what changed if the server was asked.
    Devices(VerifiedDevices, Vec<resolver::Change>),
    /// DIR-21.
    Unknown,
    /// The answer was not believed.
    Refused(Refusal),
    /// The server was to be asked and did not answer.
    Unanswered(ApiError),
}

/// Whether what is kept will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What is kept, until it is to be refreshed (DIR-24); also after that, if the server cannot be reached.
    Kept,
    /// Ask the server; what is kept, if it cannot be reached.
    Asked,
    /// Ask the server.
    Fresh,
}

/// Whether a handle may stand for another account than before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pin {
    Held,
    /// The user said so (DIR-7).
    Replaced,
}

impl Client {
    /// Looks a handle up anew and shows its devices (DIR-20).
    ///
    /// # Errors
    /// [`LookupError`]
    pub async fn lookup(&self, handle: &Handle) -> Result<LookedUp, LookupError> {
        self.inner.look_up_one(handle, Pin::Held).await
    }

    /// Looks a handle up and accepts that it stands for another account than before, because its owner said so (DIR-7).
    ///
    /// # Errors
    /// [`LookupError`]
    pub async fn dangerous_accept_new_account(&self, handle: &Handle) -> Result<LookedUp, LookupError> {
        let found = self.inner.look_up_one(handle, Pin::Replaced).await?;
        // What waited for the refused account can go on.
        self.inner.outbox.notify_one();
        Ok(found)
    }
}

impl Inner {
    /// Resolves handles, in their order. Asks the server once for every 20 that need it (DIR-24).
    pub(crate) async fn resolve(
        &self,
        handles: &[Handle],
        freshness: Freshness,
    ) -> Result<Vec<Resolved>, ProfileError> {
        let mut resolved: Vec<Option<Resolved>> = Vec::with_capacity(handles.len());
        for handle in handles {
            resolved.push(match freshness {
                Freshness::Kept => self.state().kept_devices(handle, KeptUse::UntilRefresh(self.now()))?,
                Freshness::Asked | Freshness::Fresh => None,
            });
        }
        let asked: Vec<usize> = (0..handles.len()).filter(|at| resolved[*at].is_none()).collect();
        for batch in asked.chunks(HANDLES_MAX) {
            let wanted: Vec<Handle> = batch.iter().map(|at| handles[*at].clone()).collect();
            match self.ask_and_judge(&wanted, Pin::Held).await? {
                Ok(judged) => {
                    for (at, found) in batch.iter().zip(judged) {
                        resolved[*at] = Some(found);
                    }
                }
                Err(error) => {
                    for at in batch {
                        let kept = match freshness {
                            Freshness::Kept | Freshness::Asked => {
                                self.state().kept_devices(&handles[*at], KeptUse::WhileUnreachable)?
                            }
                            Freshness::Fresh => None,
                        };
                        resolved[*at] = Some(kept.unwrap_or_else(|| Resolved::Unanswered(error.clone())));
                    }
                }
            }
        }
        let unanswered = || Resolved::Unanswered(ApiError::Malformed("a lookup"));
        Ok(resolved.into_iter().map(|found| found.unwrap_or_else(unanswered)).collect())
    }

    async fn look_up_one(&self, handle: &Handle, pin: Pin) -> Result<LookedUp, LookupError> {
        let judged = self.ask_and_judge(std::slice::from_ref(handle), pin).await?.map_err(LookupError::Api)?;
        match judged.into_iter().next().ok_or(LookupError::Api(ApiError::Malformed("a lookup")))? {
            Resolved::Devices(devices, changes) => Ok(shown(handle, &devices, changes)),
            Resolved::Unknown => Err(LookupError::Unknown),
            Resolved::Refused(refusal) => Err(LookupError::Refused(refusal)),
            Resolved::Unanswered(error) => Err(LookupError::Api(error)),
        }
    }

    /// Asks, and decides on each answer. Asks again for those that were overtaken by a newer list while they were on their way: that
    /// the list in them is older is no lie (DIR-6).
    async fn ask_and_judge(
        &self,
        handles: &[Handle],
        pin: Pin,
    ) -> Result<Result<Vec<Resolved>, ApiError>, ProfileError> {
        let mut judged: Vec<Option<Resolved>> = handles.iter().map(|_| None).collect();
        for attempt in 1..=LIST_TRIES_MAX {
            let left: Vec<usize> = (0..handles.len()).filter(|at| judged[*at].is_none()).collect();
            if left.is_empty() {
                break;
            }
            let accepted = if attempt < LIST_TRIES_MAX { Some(self.state().lists_accepted) } else { None };
            let answers = match self.ask(left.iter().map(|at| handles[*at].clone()).collect()).await? {
                Ok(answers) => answers,
                Err(error) => return Ok(Err(error)),
            };
            if answers.len() < left.len() {
                return Ok(Err(ApiError::Malformed("a lookup")));
            }
            for (at, answer) in left.into_iter().zip(answers) {
                judged[at] = self.judge(answer, pin, accepted)?;
            }
        }
        Ok(Ok(judged.into_iter().flatten().collect()))
    }

    async fn ask(&self, handles: Vec<Handle>) -> Result<Result<Vec<LookupAnswer>, ApiError>, ProfileError> {
        self.state().own()?;
        let Ok(asked) = LookupRequest::new(handles) else { return Ok(Ok(Vec::new())) };
        self.call_signed(Request::lookup(&asked), |request| self.api.lookup(&asked, request)).await
    }

    /// Decides on one answer, and commits what follows. None if it was overtaken: it holds an older list than is known, and lists were
    /// accepted since so many were, when it was asked for.
    fn judge(&self, answer: LookupAnswer, pin: Pin, accepted: Option<u64>) -> Result<Option<Resolved>, ProfileError> {
        let Some(account) = answer.account else { return Ok(Some(Resolved::Unknown)) };
        let was_overtaken = accepted.is_some_and(|accepted| accepted != self.state().lists_accepted);
        match self.accept(&answer.handle, &account, pin)? {
            Ok(acceptance) => {
                let known_before = !matches!(acceptance.changes.as_slice(), [resolver::Change::FirstMet { .. }] | []);
                if known_before {
                    // DIR-8
                    let changes = acceptance.changes.clone();
                    self.tell(Event::DevicesChanged { handle: answer.handle, changes });
                }
                Ok(Some(Resolved::Devices(acceptance.devices, acceptance.changes)))
            }
            Err(Refusal::RolledBack { .. }) if was_overtaken => Ok(None),
            Err(refusal) => {
                // DIR-7: what is kept does not outlive the doubt, so the next send asks and is refused, too.
                self.state().forget_addresses(&answer.handle)?;
                let notice = Notice::Refused { handle: answer.handle, reason: refusal.to_string() };
                alerts::raise(self, notice)?;
                Ok(Some(Resolved::Refused(refusal)))
            }
        }
    }

    fn accept(
        &self,
        handle: &Handle,
        answer: &UnverifiedAccount,
        pin: Pin,
    ) -> Result<Result<Acceptance, Refusal>, ProfileError> {
        let now = self.now();
        let mut state = self.state();
        let pinned = match pin {
            Pin::Held => state.known_handle(handle)?,
            Pin::Replaced => None,
        };
        let account = match answer.claimed_account() {
            Some(claimed) => state.known(claimed)?,
            None => None,
        };
        let known = Known { handle: pinned.as_ref(), account: account.as_ref() };
        let acceptance = match resolver::accept(known, handle, answer, now) {
            Ok(acceptance) => acceptance,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut commit = Commit::new();
        if let Some(before) =
            account.filter(|before| state.any_own().is_some_and(|own| own.account == before.account()))
        {
            alone::serve_new(self, &mut state, before.list(), acceptance.known.list(), &mut commit)?; // SND-7
        }
        state.commit_acceptance(handle, &acceptance, commit)?;
        Ok(Ok(acceptance))
    }
}

/// How kept addresses are to be used.
#[derive(Clone, Copy)]
enum KeptUse {
    UntilRefresh(halcyon_types::Timestamp),
    /// Old addresses are better than none: the server refuses what is out of date, and the outbox repairs it.
    WhileUnreachable,
}

impl State {
    fn kept_devices(&mut self, handle: &Handle, usage: KeptUse) -> Result<Option<Resolved>, ProfileError> {
        let Some(kept) = self.kept(handle)? else { return Ok(None) };
        let Some((addresses, refresh)) = kept.addresses else { return Ok(None) };
        match usage {
            KeptUse::UntilRefresh(now) if now >= refresh => Ok(None),
            KeptUse::UntilRefresh(_) | KeptUse::WhileUnreachable => {
                Ok(Some(Resolved::Devices(VerifiedDevices::from_kept(&kept.known, &addresses), Vec::new())))
            }
        }
    }

    /// SND-7: takes what a newer list of the account has overtaken out of what was resolved, or what is kept now for it. Between a
    /// lookup and the commit that seals by it, this device may have approved another one.
    pub(crate) fn drop_overtaken(&mut self, resolved: &mut Targets) -> Result<(), ProfileError> {
        let mut newer = Vec::new();
        for (handle, found) in &*resolved {
            let Resolved::Devices(devices, _) = found else { continue };
            if self.known_version(devices.account())? > devices.list_version() {
                newer.push((handle.clone(), self.kept_devices(handle, KeptUse::WhileUnreachable)?));
            }
        }
        for (handle, kept) in newer {
            match kept {
                Some(kept) => resolved.insert(handle, kept),
                None => resolved.remove(&handle), // It is looked up anew.
            };
        }
        Ok(())
    }

    /// Forgets where the account that a handle stands for is delivered to; what was accepted of it stays.
    fn forget_addresses(&mut self, handle: &Handle) -> Result<(), ProfileError> {
        let Some(known) = self.known_handle(handle)? else { return Ok(()) };
        Ok(self.commit(&Commit::new().with(Change::RemoveAddresses(known.account())))?)
    }

    /// DIR-6: what was accepted is committed before anything is sealed.
    fn commit_acceptance(
        &mut self,
        handle: &Handle,
        acceptance: &Acceptance,
        commit: Commit,
    ) -> Result<(), ProfileError> {
        let commit = commit
            .with(Change::PutKnownHandle(KnownHandleRecord {
                handle: handle.clone(),
                account: acceptance.handle.account(),
                known: acceptance.handle.encode().into(),
            }))
            .with(Change::PutAddresses(addresses_record(acceptance.known.account(), &acceptance.addresses)));
        Ok(self.commit_known(acceptance.known.clone(), commit)?)
    }
}

fn shown(handle: &Handle, devices: &VerifiedDevices, changes: Vec<resolver::Change>) -> LookedUp {
    let device = |device: &halcyon_directory::VerifiedDevice| LookedUpDevice {
        device: device.device_id(),
        name: device.name().to_owned(),
        suites: device.suites().to_vec(),
        deliverable: device.push_token().is_some(),
    };
    LookedUp {
        handle: handle.clone(),
        account: devices.account(),
        list_version: devices.list_version(),
        devices: devices.devices().iter().map(device).collect(),
        changes,
    }
}
