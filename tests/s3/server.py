"""moto's S3 server on a free loopback port, which fails in the ways that it is told to.

Prints its port, then reads commands, one a line, and answers each with one line: `bucket NAME`; `stop` and `start` the
server; `ignore` conditions of puts; `hold PART` the next put of a path with that part, which prints `held`, until
`release` carries it out, `drop` forgets it, or `lose` carries it out and cuts the answer off. Ends with its input.
"""

import logging
import socket
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import make_server

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Store:
    def __init__(self):
        self.app = create_backend_app("s3")
        self.port = 0
        self.server = None
        self.running = False
        self.ignores = False
        self.hold = None
        self.fate = None
        self.decided = threading.Event()

    def __call__(self, environ, start_response):
        if not self.running:
            return self.cut(environ)
        if "Credential=refused/" in environ.get("HTTP_AUTHORIZATION", ""):
            start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))])
            return [DENIED]
        if self.ignores:
            environ.pop("HTTP_IF_NONE_MATCH", None)
            environ.pop("HTTP_IF_MATCH", None)
        held = self.hold
        if held and environ["REQUEST_METHOD"] == "PUT" and held in environ["PATH_INFO"]:
            self.hold = None
            self.decided.clear()
            say("held")
            self.decided.wait()
            if self.fate == "drop":
                return self.cut(environ)
            if self.fate == "lose":
                list(self.app(environ, lambda *_: None))
                return self.cut(environ)
        return self.app(environ, start_response)

    def cut(self, environ):
        try:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        raise ConnectionError("cut")

    def start(self):
        self.server = make_server("127.0.0.1", self.port, self, threaded=True)
        self.port = self.server.server_port
        self.running = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.running = False
        self.server.shutdown()
        self.server.server_close()

    def decide(self, fate):
        self.fate = fate
        self.decided.set()

    def bucket(self, name):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        urllib.request.urlopen(request).close()


def say(line):
    print(line, flush=True)


def main():
    logging.disable(logging.CRITICAL)
    store = Store()
    store.start()
    say(store.port)
    for line in sys.stdin:
        match line.split():
            case ["bucket", name]:
                store.bucket(name)
            case ["stop"]:
                store.stop()
            case ["start"]:
                store.start()
            case ["ignore"]:
                store.ignores = True
            case ["hold", part]:
                store.hold = part
            case [("release" | "drop" | "lose") as fate]:
                store.decide(fate)
            case _:
                sys.exit(f"what is {line!r}?")
        say("ok")


main()
