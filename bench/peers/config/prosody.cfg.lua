-- Prosody with what a messenger needs: archive (MAM) of all messages, offline store, acknowledgements of streams (XEP-0198),
-- carbons, rosters. Storage is its own files, the default, which are not synced; with SQLite, which is, it took a thirtieth as
-- many. Limits are lifted, as Halcyon's are.
run_as_root = true
pidfile = "@folder@/prosody.pid"
data_path = "@folder@/data"
interfaces = { "127.0.0.1" }
c2s_ports = {}
s2s_ports = {}
c2s_direct_tls_ports = { @port@ }
legacy_ssl_ports = { @port@ }
ssl = { certificate = "@folder@/certificate.pem", key = "@folder@/key.pem" }
c2s_direct_tls_ssl = { certificate = "@folder@/certificate.pem", key = "@folder@/key.pem" }
-- The clients of the bench make their accounts themselves.
allow_registration = true
authentication = "internal_plain"
modules_enabled = {
  "roster", "saslauth", "tls", "disco", "carbons", "mam", "offline", "smacks", "register_ibr", "presence", "message", "iq",
}
modules_disabled = { "s2s", "limits" }
default_archive_policy = true
archive_expires_after = "never"
smacks_max_queue_size = 100000
log = { warn = "*console" }
VirtualHost "localhost"
