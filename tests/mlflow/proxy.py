"""A server between a client and two others: each request is asked of both."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that are about one connection, or that the server adds itself.
OF_CONNECTION = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "date", "server"}


@contextlib.contextmanager
def proxy(pair):
    """Serves the answers of the stock server of a pair. Yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.body()
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_CONNECTION}
            answer = pair.ask("of the client", self.command, self.path, headers, body, of_client=True)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in OF_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def body(self):
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                pieces = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
