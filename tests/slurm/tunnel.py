"""What ``ssh -L`` does, without a login: bytes from a port here to a port of a host's loopback.

    tunnel.py listen PORT SOCKET       on the login node
    tunnel.py connect PORT SOCKET      on the host

The two meet at a socket in the file system that both share.
"""

from __future__ import annotations

import socket
import sys
import threading


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def main(side: str, port: str, path: str) -> None:
    address = ("127.0.0.1", int(port))
    if side == "listen":
        server = socket.create_server(address)
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
    while True:
        near, _ = server.accept()
        if side == "listen":
            far = socket.socket(socket.AF_UNIX)
            far.connect(path)
        else:
            far = socket.create_connection(address)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
