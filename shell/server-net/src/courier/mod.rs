//! The courier's two bindings: native over TLS, and WebSocket. Spec: 30-courier.md §1 (COU-1, COU-2).
//!
//! Owns how connections come about and how frames lie in them. Does not know what a frame means: that is
//! [`halcyon_server::courier`].

pub mod addresses;
pub mod native;
pub mod websocket;
