//! Every limit of the courier, as a number with a reason and as a setting. Spec: 30-courier.md.
//!
//! Owns the defaults. What a peer may rely on whatever the settings are is a constant; what an operator may change is a
//! field of [`Limits`].

use halcyon_types::Duration;

/// Version of the protocol in hello and connect (COU-11).
pub const PROTOCOL_VERSION: u32 = 1;
/// Largest frame: a full send to a small group fits, and a connection's buffer stays small (COU-3).
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Largest frame before `Connected`: a full `Connect` has 1.6 KiB, and a stranger gets no larger buffer (COU-14).
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * 1024;
/// Largest payload of one envelope: the 16 KiB of the protocol that we rebuild, and 4 KiB for what a message of `pq3` carries
/// beside its text while a session starts or is rekeyed; longer texts travel as attachments (COU-40).
pub const PAYLOAD_BYTES_MAX: usize = 20 * 1024;
/// What an envelope adds to its payload at most: ids, handle of 261 bytes, topic, times, tags.
pub const ENVELOPE_OVERHEAD_BYTES_MAX: usize = 512;
/// Largest encoded envelope.
pub const ENVELOPE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + ENVELOPE_OVERHEAD_BYTES_MAX;
/// Envelopes of one send: 16 people with 32 devices each, or 100 people with five (COU-40).
pub const ENVELOPES_MAX: usize = 512;
/// Topics of one connection (COU-11).
pub const TOPICS_MAX: usize = 16;
/// The longest that a notification waits (COU-40).
pub const EXPIRY_MAX: Duration = Duration::from_days(30);
/// The longest that a send is held before it is made (COU-60).
pub const HOLD_MAX: Duration = Duration::from_days(14);
/// Sends that are held for one device: more than a person plans, and what a server keeps for a device stays bounded (COU-64).
pub const HOLDS_MAX: usize = 64;
/// Bytes of the sends that are held for one device, as on the wire (COU-64).
pub const HOLDS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What became of holds is remembered for so many of a device, beside those held (COU-64).
pub const HOLDS_REMEMBERED_MAX: usize = 256;
/// What became of a hold is remembered for so long after it was due, as marks of what was seen are (COU-64, RCV-4).
pub const HOLDS_REMEMBERED_FOR: Duration = Duration::from_days(31);
/// Clocks of devices without network time are off by minutes, not more (COU-12).
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);
/// From the first byte to `Connected`; a phone on a bad network needs seconds, an attacker would take hours (COU-14).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A frame that has begun is whole by then: at the speed of the slowest telephone networks the largest one takes half of
/// it, and a beginning is memory (COU-3).
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(60);
/// What a server grants beyond the keep-alive interval, for a slow network (COU-15).
pub const KEEP_ALIVE_GRACE: Duration = Duration::from_secs(60);
/// Text of a `Close`, for people (COU-4).
pub const CLOSE_DETAIL_BYTES_MAX: usize = 256;

/// The settings of a server, with the spec's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame, at most [`FRAME_BYTES_MAX`] (COU-3).
    pub frame_bytes_max: usize,
    /// Largest payload, at most [`PAYLOAD_BYTES_MAX`] (COU-40).
    pub payload_bytes_max: usize,
    /// Envelopes of one send, at most [`ENVELOPES_MAX`] (COU-40).
    pub envelopes_max: usize,
    /// Deliveries that are not acknowledged, in number: enough to fill a round trip, and a slow device costs no more (COU-51).
    pub window_count: usize,
    /// Deliveries that are not acknowledged, in bytes of envelopes (COU-51).
    pub window_bytes: usize,
    /// Shortest keep-alive interval; below it a phone's radio never sleeps (COU-15).
    pub keep_alive_min: Duration,
    /// Longest keep-alive interval; beyond it most networks forget a connection (COU-15).
    pub keep_alive_max: Duration,
    /// Time from the first byte to `Connected` (COU-14).
    pub handshake_timeout: Duration,
    /// Sends a second that a device may keep up (COU-45).
    pub sends_per_s: u32,
    /// Sends that a device may make at once after a rest (COU-45).
    pub sends_burst: u32,
    /// Sends of one connection that are being stored at the same time; more wait unread, so that a fast device costs
    /// bounded memory.
    pub sends_in_flight_max: usize,
    /// Envelopes in a mailbox (COU-45).
    pub mailbox_count_max: usize,
    /// Bytes in a mailbox (COU-45).
    pub mailbox_bytes_max: usize,
    /// Time from the beginning of a frame to its end (COU-3).
    pub frame_timeout: Duration,
    /// Frames a second that are taken from one connection; more wait unread, so that no device has the processor for
    /// itself (COU-16).
    pub frames_per_s: u32,
    /// Frames that are taken at once after a rest (COU-16).
    pub frames_burst: u32,
    /// Bytes a second that are taken from one connection, TLS and all; more wait in the network (COU-16).
    pub bytes_per_s: u32,
    /// Connections of one source address; loopback is exempt unless the server says otherwise (COU-14).
    pub connections_per_address: usize,
    /// New connections a second from one source address; loopback is exempt likewise (COU-14).
    pub connects_per_address_s: u32,
    /// New connections from one source address at once, after a rest (COU-14).
    pub connects_per_address_burst: u32,
    /// Connections of all addresses, those in their handshake included (COU-14).
    pub connections_max: usize,
    /// Connections of all addresses that are in their handshake (COU-14).
    pub handshakes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            envelopes_max: ENVELOPES_MAX,
            window_count: 64,
            window_bytes: 1024 * 1024,
            keep_alive_min: Duration::from_mins(1),
            keep_alive_max: Duration::from_mins(30),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            sends_per_s: 50,
            sends_burst: 200,
            sends_in_flight_max: 16,
            mailbox_count_max: 10_000,
            mailbox_bytes_max: 64 * 1024 * 1024,
            frame_timeout: FRAME_TIMEOUT,
            frames_per_s: 1_000,
            frames_burst: 2_000,
            bytes_per_s: 1024 * 1024,
            connections_per_address: 100,
            connects_per_address_s: 20,
            connects_per_address_burst: 200,
            connections_max: 50_000,
            handshakes_max: 1_000,
        }
    }
}

impl Limits {
    /// Returns how long a connection may be silent before the server ends it (COU-15).
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.keep_alive_max.as_millis().saturating_add(KEEP_ALIVE_GRACE.as_millis()))
    }
}
