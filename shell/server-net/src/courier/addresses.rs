//! How many connections each source address has. Spec: 30-courier.md §2 (COU-14).
//!
//! Owns the counts. Loopback is not counted: behind it are a proxy, a test, or the operator.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of all source addresses.
#[derive(Clone)]
pub struct SourceAddresses {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// One connection of an address, until it is dropped.
pub struct Place {
    /// Nothing for what is not counted.
    counted: Option<(SourceAddresses, IpAddr)>,
}

/// Whether one more connection of an address may be served.
pub enum Admission {
    /// It may.
    Served(Place),
    /// It may not, but is told so (`TOO_MANY_CONNECTIONS`).
    Told(Place),
    /// It is not even told: a handshake costs more than the refusal is worth.
    Dropped,
}

impl SourceAddresses {
    /// Allows `max` connections an address.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { counts: Arc::default(), max }
    }

    /// Counts one more connection of an address.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Admission {
        if address.to_canonical().is_loopback() {
            return Admission::Served(Place { counted: None });
        }
        let key = key(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.max.saturating_add(TOLD_MAX) {
            return Admission::Dropped;
        }
        *count += 1;
        let served = *count <= self.max;
        drop(counts);
        let place = Place { counted: Some((self.clone(), key)) };
        if served { Admission::Served(place) } else { Admission::Told(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((addresses, address)) = self.counted.take() else { return };
        let mut counts = addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-14: an address has its places, gets them back, and a whole IPv6 subscriber is one address.
    #[test]
    fn an_address_has_so_many_places() {
        let addresses = SourceAddresses::new(2);
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let served = |admission| match admission {
            Admission::Served(place) => place,
            _ => panic!("not served"),
        };
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

    /// COU-14: loopback is not limited.
    #[test]
    fn loopback_is_not_limited() {
        let addresses = SourceAddresses::new(0);
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(addresses.admit(address.parse().unwrap()), Admission::Served(_)), "{address}");
        }
        assert!(matches!(addresses.admit("192.0.2.1".parse().unwrap()), Admission::Told(_)));
    }
}
