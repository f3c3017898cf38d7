"""A server that keeps 64 KiB of each request for ever. Says its port."""
import http.server

kept = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kept.append(bytes(65536))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("ready")
print(server.server_port, flush=True)
server.serve_forever()
