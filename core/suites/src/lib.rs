//! Seals and opens one message for one device.
