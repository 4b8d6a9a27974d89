//! Native adapters of the server's network: listeners, TLS, HTTP.
