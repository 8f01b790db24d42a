"""Both ends of a forwarding attack: listeners that tell a secret, and a reader that wants it.

serve tcp:ADDR:PORT=SECRET unix:PATH=SECRET ...   tell it to whoever connects
read tcp HOST PORT | unix PATH | socks PORT HOST PORT   print what comes
journal PATH OUT   take the signer's records, as the journal does, and append them to OUT
"""
import os
import socket
import socketserver
import sys
import threading


def serve(specs):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(self.server.secret)

    class Tcp(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    for spec in specs:
        where, secret = spec.split("=")
        kind, rest = where.split(":", 1)
        if kind == "unix":
            server = socketserver.ThreadingUnixStreamServer(rest, Handler)
            os.chmod(rest, 0o777)
        else:
            host, port = rest.rsplit(":", 1)
            server = Tcp((host, int(port)), Handler)
        server.secret = secret.encode() + b"\r\n"
        threading.Thread(target=server.serve_forever).start()
    print("ready", flush=True)


def read(kind, *where):
    peer = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    peer.settimeout(5)
    try:
        if kind == "unix":
            peer.connect(where[0])
        elif kind == "tcp":
            peer.connect((where[0], int(where[1])))
        else:
            peer.connect(("127.0.0.1", int(where[0])))
            peer.sendall(b"\5\1\0")
            if peer.recv(2) != b"\5\0":
                sys.exit("socks: no greeting")
            target = socket.inet_aton(where[1]) + int(where[2]).to_bytes(2, "big")
            peer.sendall(b"\5\1\0\1" + target)
            reply = peer.recv(10)
            if reply[1:2] != b"\0":
                sys.exit(f"socks: {reply.hex()}")
        while data := peer.recv(4096):
            sys.stdout.write(data.decode())
    except OSError as error:
        sys.exit(str(error))


def journal(path, out):
    records = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    records.bind(path)
    os.chmod(path, 0o666)
    with open(out, "ab", buffering=0) as log:
        while True:
            log.write(records.recv(65536) + b"\n")


if sys.argv[1] == "journal":
    journal(*sys.argv[2:])
elif sys.argv[1] == "serve":
    serve(sys.argv[2:])
else:
    read(*sys.argv[2:])
