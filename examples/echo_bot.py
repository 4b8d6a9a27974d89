#!/usr/bin/env python3
"""Answers each message with its own text. Needs nothing but Python 3 and a running, unlocked `halcyon agent`.

    python3 examples/echo_bot.py ~/.local/share/halcyon/profiles/bot

docs/agent.md describes the protocol.
"""

import json
import pathlib
import signal
import socket
import sys


class Agent:
    """A connection to the agent of a profile: JSON-RPC 2.0, one object a line."""

    def __init__(self, profile):
        path = pathlib.Path(profile, "agent.lock").read_text()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.calls = 0

    def ask(self, method, **params):
        """Sends a request, and returns its id. What comes of it is among the lines that follow."""
        self.calls += 1
        request = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.calls

    def __iter__(self):
        return (json.loads(line) for line in self.lines)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    agent = Agent(sys.argv[1])
    asked = agent.ask("handles")
    listening = None
    own = set()
    for line in agent:
        if "error" in line:
            print(f"the agent says: {line['error']['message']}", file=sys.stderr, flush=True)
            if line["id"] in (asked, listening):
                sys.exit(1)
        elif line.get("id") == asked:
            own = {result["handle"] for result in line["result"]}
            listening = agent.ask("listen", stream=True)
            print("listening", flush=True)
        elif line.get("method") == "result" and line["params"]["call"] == listening:
            message = line["params"]["value"]
            if message["type"] == "message" and message["origin"] == "peer" and message["text"]:
                # Everybody in the conversation: who wrote, and the others whom it was for.
                to = {message["sender"], *message["recipients"]} - own
                agent.ask("send", to=sorted(to), text=message["text"])


if __name__ == "__main__":
    # As a service manager and a person end it.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: sys.exit())
    main()
