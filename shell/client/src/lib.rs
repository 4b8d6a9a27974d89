//! The client: in which order things happen between send and receive.
