//! How many connections each source address has. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns the counts, and how fast each address comes back. Does not know what a connection is for.
//!
//! - All addresses together have a bounded number, and what is remembered of them is bounded, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_courier::bucket::TokenBucket;
use halcyon_courier::limits::Limits;
use halcyon_types::Timestamp;
use tokio::time::Instant;

/// The connections of all source addresses.
#[derive(Clone)]
pub struct SourceAddresses {
    counts: Arc<Mutex<Counts>>,
    limits: AddressLimits,
    /// Rates are counted from here; a clock on the wall may jump.
    begun: Instant,
}

/// What an address may have, and all of them together.
#[derive(Clone, Copy, Debug)]
pub struct AddressLimits {
    /// Connections of one address.
    pub connections: usize,
    /// New connections of one address in a second.
    pub connects_per_s: u32,
    /// New connections of one address at once, after a rest.
    pub connects_burst: u32,
    /// Connections of all addresses.
    pub total: usize,
    /// Whether this machine is an address like others.
    pub loopback: Loopback,
}

/// What this machine's own connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// Behind it are a proxy, a test, or the operator: it counts in the total only.
    Trusted,
    /// An address like others.
    Limited,
}

#[derive(Default)]
struct Counts {
    total: usize,
    addresses: HashMap<IpAddr, Address>,
}

struct Address {
    connections: usize,
    rate: TokenBucket,
}

/// One connection of an address, until it is dropped.
pub struct Place {
    addresses: SourceAddresses,
    /// Nothing for what counts in the total only.
    counted: Option<IpAddr>,
}

/// Whether one more connection of an address may be served.
pub enum Admission {
    /// It may.
    Served(Place),
    /// It may not, but is told so (`TOO_MANY_CONNECTIONS`).
    Told(Place),
    /// It is not even told: a handshake costs more than the refusal is worth.
    Dropped,
    /// The server has as many connections as it can hold, whoever has them.
    Full,
}

impl AddressLimits {
    /// Returns the limits of the courier, or of another listener with `total` connections.
    #[must_use]
    pub fn new(limits: &Limits, total: usize, loopback: Loopback) -> Self {
        Self {
            connections: limits.connections_per_address,
            connects_per_s: limits.connects_per_address_s,
            connects_burst: limits.connects_per_address_burst,
            total,
            loopback,
        }
    }
}

impl SourceAddresses {
    /// Allows so much.
    #[must_use]
    pub fn new(limits: AddressLimits) -> Self {
        Self { counts: Arc::default(), limits, begun: Instant::now() }
    }

    /// Counts one more connection of an address.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Admission {
        let mut counts = self.lock();
        if counts.total >= self.limits.total {
            return Admission::Full;
        }
        if self.limits.loopback == Loopback::Trusted && address.to_canonical().is_loopback() {
            counts.total += 1;
            return Admission::Served(Place { addresses: self.clone(), counted: None });
        }
        let key = key(address);
        if counts.addresses.len() >= ADDRESSES_MAX && !counts.addresses.contains_key(&key) {
            // Those without connections are only remembered for their rate.
            counts.addresses.retain(|_, address| address.connections > 0);
        }
        let now = Timestamp::from_millis(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let AddressLimits { connections, connects_per_s, connects_burst, .. } = self.limits;
        let fresh = || Address { connections: 0, rate: TokenBucket::full(connects_burst, now) };
        let address = counts.addresses.entry(key).or_insert_with(fresh);
        if !address.rate.take(connects_per_s, connects_burst, now)
            || address.connections >= connections.saturating_add(TOLD_MAX)
        {
            return Admission::Dropped;
        }
        address.connections += 1;
        let served = address.connections <= connections;
        counts.total += 1;
        drop(counts);
        let place = Place { addresses: self.clone(), counted: Some(key) };
        if served { Admission::Served(place) } else { Admission::Told(place) }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // A panic while it was held left counts that are off by one at most.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        counts.total -= 1;
        if let Some(address) = self.counted.and_then(|address| counts.addresses.get_mut(&address)) {
            address.connections -= 1;
        }
    }
}

/// One subscriber of IPv6 has at least a /64, and could otherwise count as as many addresses as it likes.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// Connections over the limit that are told why they are refused; more of one address are dropped.
const TOLD_MAX: usize = 8;
/// Addresses that are remembered: more than can have connections by default, at about 64 bytes each.
const ADDRESSES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const GENEROUS: AddressLimits = AddressLimits {
        connections: 2,
        connects_per_s: 1_000,
        connects_burst: 1_000,
        total: 1_000,
        loopback: Loopback::Trusted,
    };

    fn served(admission: Admission) -> Place {
        match admission {
            Admission::Served(place) => place,
            _ => panic!("not served"),
        }
    }

    /// COU-14: an address has its places, gets them back, and a whole IPv6 subscriber is one address.
    #[test]
    fn an_address_has_so_many_places() {
        let addresses = SourceAddresses::new(GENEROUS);
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let first = served(admit("2001:db8::1"));
        let _second = served(admit("2001:db8::2"));
        assert!(matches!(admit("2001:db8::3"), Admission::Told(_)));
        let _other = served(admit("192.0.2.1"));
        drop(first);
        let _third = served(admit("2001:db8::3"));
        let told: Vec<_> = (0..TOLD_MAX).map(|_| admit("2001:db8::4")).collect();
        assert!(told.iter().all(|admission| matches!(admission, Admission::Told(_))));
        assert!(matches!(admit("2001:db8::4"), Admission::Dropped));
    }

    /// COU-14: loopback is limited only if the operator says so.
    #[test]
    fn loopback_is_not_limited_by_default() {
        for (loopback, is_served) in [(Loopback::Trusted, true), (Loopback::Limited, false)] {
            let addresses = SourceAddresses::new(AddressLimits { connections: 0, loopback, ..GENEROUS });
            for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                let admission = addresses.admit(address.parse().unwrap());
                assert_eq!(matches!(admission, Admission::Served(_)), is_served, "{address}");
            }
            assert!(matches!(addresses.admit("192.0.2.1".parse().unwrap()), Admission::Told(_)));
        }
    }

    /// COU-14: all addresses together have so many, and this machine is one of them.
    #[test]
    fn all_together_have_so_many_places() {
        let addresses = SourceAddresses::new(AddressLimits { total: 3, ..GENEROUS });
        let places: Vec<_> =
            ["192.0.2.1", "192.0.2.2", "127.0.0.1"].map(|text| served(addresses.admit(text.parse().unwrap()))).into();
        for late in ["192.0.2.3", "127.0.0.1"] {
            assert!(matches!(addresses.admit(late.parse().unwrap()), Admission::Full));
        }
        drop(places);
        served(addresses.admit("192.0.2.3".parse().unwrap()));
    }

    /// COU-14: an address that comes back again and again is dropped until it has rested.
    #[tokio::test(start_paused = true)]
    async fn an_address_comes_so_often() {
        let addresses = SourceAddresses::new(AddressLimits { connects_per_s: 2, connects_burst: 3, ..GENEROUS });
        let admit = || addresses.admit("192.0.2.1".parse().unwrap());
        for _ in 0..3 {
            drop(served(admit()));
        }
        assert!(matches!(admit(), Admission::Dropped));
        assert!(matches!(addresses.admit("192.0.2.2".parse().unwrap()), Admission::Served(_)));
        tokio::time::advance(std::time::Duration::from_millis(500)).await;
        drop(served(admit()));
        assert!(matches!(admit(), Admission::Dropped));
    }

    /// COU-14: what is remembered of addresses that left is bounded.
    #[test]
    fn addresses_are_forgotten() {
        let addresses = SourceAddresses::new(GENEROUS);
        for number in 0..70_000_u32 {
            drop(addresses.admit(std::net::Ipv4Addr::from_bits(0xc000_0000 + number).into()));
        }
        assert!(addresses.lock().addresses.len() <= ADDRESSES_MAX);
    }
}
