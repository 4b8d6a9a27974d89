//! One plaintext for every device of an account. Spec: 60-client.md §1 (SND-1, SND-4), 42-padding-and-suites.md §2.
//!
//! Owns the choice of a suite for each device and the list of those that cannot be sealed for. Pure: sessions, randomness and time are
//! arguments, and nothing is stored or sent.
//!
//! - A device that cannot be sealed for does not keep the others from getting the message (SND-4).
//! - Devices come out of the resolver, so nothing is sealed for one that was not verified (DIR-9).

use std::collections::BTreeMap;

use bytes::Bytes;
use halcyon_content::Place;
use halcyon_crypto::Rng;
use halcyon_directory::{VerifiedDevice, VerifiedDevices};
use halcyon_suites::{
    ChoiceError, ChosenSuite, DeviceKeys, Outgoing, PairIdentity, PeerDevice, SealError, Session, Suite, choice,
    pair_ec::PrekeyError, pq3::AuthData,
};
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, PushToken, SuiteId, Timestamp};

/// What became of one device.
#[derive(Debug)]
pub(crate) struct Fanned {
    pub(crate) device: DeviceId,
    pub(crate) outcome: Result<SealedFor, Unsealable>,
}

/// A message sealed for one device.
#[derive(Debug)]
pub(crate) struct SealedFor {
    /// Drawn here, since `pq3` binds the message to it (PQ3-22).
    pub(crate) envelope: EnvelopeId,
    pub(crate) push_token: PushToken,
    pub(crate) suite: SuiteId,
    pub(crate) payload: Bytes,
    /// To be committed before the payload leaves (I1).
    pub(crate) next: Session,
}

/// Why a device does not get a message (SND-4). The others do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsealable {
    /// DIR-22.
    #[error("the server gave no address for this device")]
    NoAddress,
    /// SUI-3 to SUI-7.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// SUI-6: what was forced is no suite of ours.
    #[error("{0} is not a suite that this version speaks")]
    ForcedUnknown(SuiteId),
    /// PEC-3.
    #[error("this device's prekey is not valid: {0}")]
    Prekey(#[from] PrekeyError),
    /// The suites.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Unsealable {
    /// Says whether it helps to wait: the device may come back and give a prekey (SND-4).
    pub(crate) fn may_pass(&self) -> bool {
        use SealError::{BadBundle, NoPrekey, PrekeyRolledBack, StalePrekey};
        match self {
            Self::NoAddress | Self::Prekey(_) => true,
            Self::Seal(error) => matches!(error, NoPrekey | StalePrekey | PrekeyRolledBack | BadBundle(_)),
            Self::Choice(_) | Self::ForcedUnknown(_) => false,
        }
    }
}

/// What a fan-out is made with.
pub(crate) struct FanOut<'a> {
    pub(crate) plaintext: &'a [u8],
    pub(crate) own: &'a DeviceKeys,
    /// The own account.
    pub(crate) account: AccountId,
    /// This device's push token, if it knows it.
    pub(crate) push_token: Option<PushToken>,
    /// The handle that the message is from.
    pub(crate) from: &'a Handle,
    /// The handle that it is for.
    pub(crate) to: &'a Handle,
    /// Suites that may be used, of those that the keys speak.
    pub(crate) allowed: &'a [Suite],
    pub(crate) forced: Option<SuiteId>,
    pub(crate) now: Timestamp,
}

impl FanOut<'_> {
    /// Seals for those devices of an account that `copies` names, in the order of device ids: each with its present session and the
    /// place of its copy.
    pub(crate) fn seal(
        &self,
        devices: &VerifiedDevices,
        mut copies: BTreeMap<DeviceId, (Session, Place)>,
        rng: &mut dyn Rng,
    ) -> Vec<Fanned> {
        let mut fanned = Vec::with_capacity(copies.len());
        for device in devices.devices() {
            let Some((session, place)) = copies.remove(&device.device_id()) else { continue };
            fanned.push(Fanned { device: device.device_id(), outcome: self.seal_one(device, session, &place, rng) });
        }
        fanned
    }

    fn seal_one(
        &self,
        device: &VerifiedDevice,
        session: Session,
        place: &Place,
        rng: &mut dyn Rng,
    ) -> Result<SealedFor, Unsealable> {
        let push_token = *device.push_token().ok_or(Unsealable::NoAddress)?;
        let suite = self.choose(device)?;
        let peer = peer_device(device, suite.suite())?;
        let mut id = [0; EnvelopeId::LEN];
        rng.fill_bytes(&mut id);
        let auth_data = AuthData {
            envelope: EnvelopeId::from_bytes(id),
            sender: self.from.clone(),
            recipient: self.to.clone(),
            sender_push_token: self.push_token,
            recipient_push_token: push_token,
        };
        let outgoing = Outgoing { account: self.account, auth_data: &auth_data, now: self.now };
        let plaintext = halcyon_content::with_place(self.plaintext, place); // CON-8
        let (sealed, next) = session.seal(suite, self.own, &peer, &outgoing, rng, &plaintext)?;
        Ok(SealedFor {
            envelope: auth_data.envelope,
            push_token,
            suite: sealed.suite,
            payload: sealed.bytes.into(),
            next,
        })
    }

    /// SUI-3 to SUI-6: the strongest that both speak, never less than was seen, unless a person forced one.
    fn choose(&self, device: &VerifiedDevice) -> Result<ChosenSuite, Unsealable> {
        let mut own = self.own.suites();
        own.retain(|suite| self.allowed.contains(suite)); // SUI-9
        let seen = Suite::try_from(device.strongest_seen()).ok();
        match self.forced {
            None => Ok(choice::choose(&own, device.suites(), seen)?),
            Some(id) => {
                let forced = Suite::try_from(id).map_err(|_| Unsealable::ForcedUnknown(id))?;
                Ok(choice::dangerous_force(forced, &own, device.suites(), seen)?)
            }
        }
    }
}

/// Returns a device as the suites see it. A broken prekey is an error only where a prekey is needed.
fn peer_device(device: &VerifiedDevice, suite: Suite) -> Result<PeerDevice, PrekeyError> {
    let peer = sender_device(device);
    let record = device.prekey(suite.id());
    match suite {
        Suite::Pair => Ok(peer),
        Suite::PairEc => match record {
            Some(record) => peer.with_prekey(record),
            None => Ok(peer),
        },
        Suite::Pq3 => Ok(peer.with_pq3(device.account(), record.map(|record| &record[..]))),
    }
}

/// Returns a device as the suites see the sender of a message.
pub(crate) fn sender_device(device: &VerifiedDevice) -> PeerDevice {
    // The resolver checked the blob; one that these suites cannot read leaves the device without suite 1.
    let pair = device.pair_identity().and_then(|blob| PairIdentity::from_bytes(blob).ok());
    PeerDevice::new(device.key().clone(), pair).with_pq3(device.account(), None)
}

#[cfg(test)]
mod tests;
