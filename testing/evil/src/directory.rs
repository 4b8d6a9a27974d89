//! A directory that lies about who has which devices. Spec: 11-directory.md.
//!
//! Owns the lies, and a memory of every true answer, which is what old lists and other people's lists are taken from.
//! Does not know keys beyond those that a lie brings along ([`Signing`]).
//!
//! - A request always reaches the real server first; only its answer is changed.
//! - A lie about somebody touches nothing that is said about others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use halcyon_client::ports::{Http, HttpError, HttpRequest, HttpResponse};
use halcyon_directory::wire;
use halcyon_types::{Handle, Timestamp};
use prost::Message;

use crate::forge::{Forgery, Ghost, Signing, id_of, noise};

/// What the directory says instead of the truth.
#[derive(Clone)]
#[non_exhaustive]
pub enum Lie {
    /// Nothing: the truth.
    Honest,
    /// A device more, which is the forger's.
    Ghost(Signing),
    /// The first device with the forger's key in the place of its own; its id stays.
    SwappedKey(Signing),
    /// Another `pair` identity, and with it suite 1, for the first device.
    SwappedPairIdentity(Signing),
    /// One device less: the last.
    Dropped(Signing),
    /// The first device speaks suite 1 only, as if it had given the stronger one up.
    WeakerSuites(Signing),
    /// Another list of the same version: its first device is called differently, and everything else is as it was.
    Equivocation(Signing),
    /// The oldest list that was ever given out, in an answer that is otherwise today's.
    RolledBackList,
    /// The oldest prekeys that were ever given out, in an answer that is otherwise today's.
    RolledBackPrekeys,
    /// The whole oldest answer, again and again: list, addresses, session.
    Frozen,
    /// The account of another handle.
    OtherAccount(Handle),
    /// The whole answer to an earlier, other question.
    OtherAnswer,
    /// The answers to a question about several handles, in another order.
    Shuffled,
    /// A session token with one bit changed.
    AlteredSession,
    /// The forger's prekeys in every address.
    ForeignPrekeys,
    /// The forger's push token in every address.
    ForeignAddresses,
    /// No prekeys.
    NoPrekeys,
    /// No address for the last device.
    HiddenAddress,
    /// Bytes that are no answer.
    Garbage,
    /// Nobody has this handle.
    Denied,
}

type Tamper = Box<dyn FnMut(&HttpRequest, Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> + Send>;

/// A directory between a client and the server, as the client's port of HTTP.
pub struct EvilDirectory {
    inner: Arc<dyn Http>,
    state: Mutex<State>,
}

struct State {
    lie: Lie,
    /// Nobody: the lie is about everybody.
    about: Option<Handle>,
    ghost: Ghost,
    told: usize,
    /// Every true answer about a handle that differs from the one before, oldest first.
    truth: BTreeMap<String, Vec<wire::AccountAnswer>>,
    /// Every true own list, oldest first.
    own_lists: Vec<wire::SignedDeviceList>,
    bodies: Vec<(Bytes, Bytes)>,
    tamper: Option<Tamper>,
}

impl EvilDirectory {
    /// Puts a lie between a client and its server.
    #[must_use]
    pub fn wrap(inner: Arc<dyn Http>, lie: Lie) -> Arc<Self> {
        let state = State {
            lie,
            about: None,
            ghost: Ghost::conjure(Timestamp::default()),
            told: 0,
            truth: BTreeMap::new(),
            own_lists: Vec::new(),
            bodies: Vec::new(),
            tamper: None,
        };
        Arc::new(Self { inner, state: Mutex::new(state) })
    }

    /// Tells another lie from now on, about everybody.
    pub fn tell(&self, lie: Lie) {
        let mut state = self.state();
        (state.lie, state.about, state.told) = (lie, None, 0);
    }

    /// Tells another lie from now on, about this handle alone.
    pub fn tell_about(&self, handle: &Handle, lie: Lie) {
        self.tell(lie);
        self.state().about = Some(handle.clone());
    }

    /// Tells the truth from now on.
    pub fn be_honest(&self) {
        self.tell(Lie::Honest);
        self.state().tamper = None;
    }

    /// Returns how many answers were changed since the lie began. A story in which it is 0 tells nothing.
    #[must_use]
    pub fn told(&self) -> usize {
        self.state().told
    }

    /// Lets the forger's device be this one: fresh at the client's time, where that is not the machine's.
    pub fn haunt(&self, ghost: Ghost) {
        self.state().ghost = ghost;
    }

    /// Changes answers by hand, after the lie: for what no [`Lie`] says.
    pub fn tamper(
        &self,
        with: impl FnMut(&HttpRequest, Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> + Send + 'static,
    ) {
        self.state().tamper = Some(Box::new(with));
    }

    /// Changes the account in every answer of a lookup by hand.
    pub fn tamper_accounts(&self, mut with: impl FnMut(&mut wire::AccountAnswer) + Send + 'static) {
        self.tamper(move |request, answer| {
            let mut answer = answer?;
            if is_lookup(request)
                && let Ok(mut response) = wire::LookupResponse::decode(answer.body.clone())
            {
                response.answers.iter_mut().filter_map(|answer| answer.account.as_mut()).for_each(&mut with);
                answer.body = response.encode_to_vec().into();
            }
            Ok(answer)
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of a tampering closure leaves whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Http for EvilDirectory {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.inner.call(request.clone()).await;
        let mut state = self.state();
        if let Ok(answer) = &mut answer {
            state.change(&request, answer);
        }
        match &mut state.tamper {
            Some(tamper) => tamper(&request, answer),
            None => answer,
        }
    }
}

impl State {
    fn change(&mut self, request: &HttpRequest, answer: &mut HttpResponse) {
        if answer.status != 200 {
            return;
        }
        let changed = if is_lookup(request) {
            self.lookup(&request.body, &answer.body)
        } else if request.path == "/v1/account" {
            self.own_account(&answer.body)
        } else {
            None
        };
        if let Some(changed) = changed.filter(|changed| *changed != answer.body) {
            self.told += 1;
            answer.body = changed;
        }
    }

    /// Notes a true answer to a lookup, and returns the one to give instead.
    fn lookup(&mut self, question: &Bytes, body: &Bytes) -> Option<Bytes> {
        let mut response = wire::LookupResponse::decode(body.clone()).ok()?;
        for answer in &response.answers {
            if let Some(account) = &answer.account {
                let history = self.truth.entry(answer.handle.clone()).or_default();
                if history.last() != Some(account) {
                    history.push(account.clone());
                }
            }
        }
        let concerned = response.answers.iter().any(|answer| self.concerns(&answer.handle));
        let other = self.bodies.iter().find(|(other, _)| other != question).map(|(_, body)| body.clone());
        self.bodies.push((question.clone(), body.clone()));
        match self.lie {
            _ if !concerned => return None,
            Lie::Honest => return None,
            Lie::OtherAnswer => return other,
            Lie::Garbage => return Some(noise(200)),
            Lie::Shuffled => response.answers.reverse(),
            _ => {
                for answer in &mut response.answers {
                    self.answer(answer);
                }
            }
        }
        Some(response.encode_to_vec().into())
    }

    fn concerns(&self, handle: &str) -> bool {
        self.about.as_ref().is_none_or(|about| about.as_uri() == handle)
    }

    fn answer(&self, answer: &mut wire::LookupAnswer) {
        if !self.concerns(&answer.handle) {
            return;
        }
        if let Lie::Denied = self.lie {
            answer.account = None;
        }
        let Some(account) = answer.account.as_mut() else { return };
        let first = self.truth.get(&answer.handle).and_then(|history| history.first());
        match (&self.lie, first) {
            (Lie::Frozen, Some(first)) => *account = first.clone(),
            (Lie::RolledBackList, Some(first)) => account.list.clone_from(&first.list),
            (Lie::RolledBackPrekeys, Some(first)) => {
                for address in &mut account.devices {
                    let old = first.devices.iter().find(|old| old.device_id == address.device_id);
                    if let Some(old) = old {
                        address.prekeys.clone_from(&old.prekeys);
                    }
                }
            }
            (Lie::OtherAccount(other), _) => {
                if let Some(theirs) = self.truth.get(other.as_uri()).and_then(|history| history.last()) {
                    *account = theirs.clone();
                }
            }
            (Lie::AlteredSession, _) => {
                let mut token = account.session_token.to_vec();
                if let Some(last) = token.last_mut() {
                    *last ^= 1;
                }
                account.session_token = token.into();
            }
            (Lie::ForeignPrekeys, _) => {
                account.devices.iter_mut().for_each(|address| address.prekeys = self.ghost.prekeys());
            }
            (Lie::ForeignAddresses, _) => {
                let token = self.ghost.address().push_token;
                account.devices.iter_mut().for_each(|address| address.push_token = token.clone());
            }
            (Lie::NoPrekeys, _) => account.devices.iter_mut().for_each(|address| address.prekeys.clear()),
            (Lie::HiddenAddress, _) => {
                account.devices.sort_by(|a, b| a.device_id.cmp(&b.device_id));
                drop(account.devices.pop());
            }
            (Lie::Ghost(_), _) => {
                account.devices.push(self.ghost.address());
                self.list(account.list.as_mut());
            }
            _ => self.list(account.list.as_mut()),
        }
    }

    /// Notes the true own list, and returns the answer to give instead.
    fn own_account(&mut self, body: &Bytes) -> Option<Bytes> {
        let mut document: serde_json::Value = serde_json::from_slice(body).ok()?;
        let encoded = STANDARD.decode(document["device_list"].as_str()?).ok()?;
        let mut signed = wire::SignedDeviceList::decode(Bytes::from(encoded)).ok()?;
        if self.own_lists.last() != Some(&signed) {
            self.own_lists.push(signed.clone());
        }
        let handles = document["handles"].as_array()?;
        let concerned = handles.iter().filter_map(|one| one["handle"].as_str()).any(|handle| self.concerns(handle));
        if !concerned {
            return None;
        }
        match &self.lie {
            Lie::Frozen | Lie::RolledBackList => signed = self.own_lists.first()?.clone(),
            Lie::Garbage => return Some(noise(200)),
            _ => self.list(Some(&mut signed)),
        }
        document["device_list"] = STANDARD.encode(signed.encode_to_vec()).into();
        Some(document.to_string().into())
    }

    /// Forges a list, where the lie is one about lists.
    fn list(&self, signed: Option<&mut wire::SignedDeviceList>) {
        let Some(signed) = signed else { return };
        let (Lie::Ghost(signing)
        | Lie::SwappedKey(signing)
        | Lie::SwappedPairIdentity(signing)
        | Lie::Dropped(signing)
        | Lie::WeakerSuites(signing)
        | Lie::Equivocation(signing)) = &self.lie
        else {
            return;
        };
        let Some(mut forgery) = Forgery::begin(signed, signing, &self.ghost) else { return };
        let Some(account) = forgery.account() else { return };
        match &self.lie {
            Lie::Ghost(_) => {
                let entry = forgery.ghost().entry(account);
                forgery.insert(entry);
                forgery.list.version += 1;
            }
            Lie::SwappedKey(_) => {
                let entry = forgery.ghost().entry(account);
                let stolen = wire::DeviceEntry::decode(entry.entry).map(|entry| entry.device_key).unwrap_or_default();
                forgery.alter(0, |entry| entry.device_key = stolen);
                forgery.list.version += 1;
            }
            Lie::SwappedPairIdentity(_) => {
                forgery.alter(0, |entry| entry.pair_identity = swapped_identity(&entry.pair_identity));
                forgery.list.version += 1;
            }
            Lie::Dropped(_) => {
                forgery.list.devices.sort_by_key(|entry| id_of(entry).to_vec());
                forgery.list.devices.pop();
                forgery.list.version += 1;
            }
            Lie::WeakerSuites(_) => {
                forgery.alter(0, |entry| entry.suites = vec![1]);
                forgery.list.version += 1;
            }
            _ => forgery.alter(0, |entry| entry.name = "another name".to_owned()),
        }
        forgery.finish(signed);
    }
}

/// Another identity of the same form: its elliptic-curve key and its modulus are others.
fn swapped_identity(identity: &Bytes) -> Bytes {
    let mut swapped = identity.to_vec();
    // The last byte of the modulus, before the exponent's five; odd, as a modulus is.
    if let Some(at) = swapped.len().checked_sub(6) {
        swapped[at] ^= 2;
    }
    swapped.into()
}

/// Says whether a request is a lookup (DIR-20).
#[must_use]
pub fn is_lookup(request: &HttpRequest) -> bool {
    request.path == "/v1/lookup"
}
