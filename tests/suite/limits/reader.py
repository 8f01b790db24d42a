"""reader.py REQUEST SIGNER...: runs the signer 20 times at once, each with a TCP socket as its
standard output that has a little less room than the one before, and whose other end reads
nothing. Prints the exit codes, or "hangs"."""

import socket
import subprocess
import sys
import time

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
server.bind(("127.0.0.1", 0))
server.listen(50)

running = []
for fill in range(0, 4000, 200):
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    end.connect(server.getsockname())
    other, _ = server.accept()
    end.setblocking(False)
    sent = 0
    try:
        while sent < fill:
            sent += end.send(b"x" * min(64, fill - sent))
            time.sleep(0.005)
    except BlockingIOError:
        pass
    end.setblocking(True)
    signer = subprocess.Popen(
        sys.argv[2:], stdin=open(sys.argv[1]), stdout=end, stderr=subprocess.DEVNULL
    )
    running.append((signer, end, other))
for signer, *_ in running:
    try:
        print(signer.wait(60))
    except subprocess.TimeoutExpired:
        signer.kill()
        print("hangs")
