//! Native adapters of the client's network ports: TLS, WebSocket, HTTPS.
