# SPDX-License-Identifier: BSD-3-Clause
"""Servers of a test, each a daemon thread with sockets in a namespace of the test's choice."""

import contextlib
import hashlib
import socket
import threading

from tests.support import kernel
from tests.support.guest import DEADLINE

_BLOCK = 1 << 16
_IDLE = 600.0  # s; no test program lives longer: how long a connection is idle is the test's affair, not the server's


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound(netns, address, port, kind):
    """A bound socket in the namespace."""
    with kernel.in_netns(netns):
        result = socket.socket(family_of(address), kind)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if result.family == socket.AF_INET6:
        result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    result.bind((address, port))
    return result


def stream(size):
    """Blocks of `size` bytes in all, no two blocks alike, so that a lost or swapped one shows."""
    sent = 0
    while sent < size:
        block = hashlib.sha256(sent.to_bytes(8, "big")).digest() * (_BLOCK // 32)
        yield block[:size - sent]
        sent += _BLOCK


def stream_digest(size):
    digest = hashlib.sha256()
    for block in stream(size):
        digest.update(block)
    return digest.hexdigest()


def send_stream(connection, size):
    for block in stream(size):
        connection.sendall(block)


def receive_digest(connection):
    """(bytes, SHA-256) of all that comes until the end."""
    digest, size = hashlib.sha256(), 0
    buffer = bytearray(1 << 18)
    while True:
        count = connection.recv_into(buffer)
        if count == 0:
            return size, digest.hexdigest()
        digest.update(memoryview(buffer)[:count])
        size += count


def receive_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise AssertionError(f"ended after {len(data)} of {size} bytes")
        data += more
    return data


# What a TCP server does with a connection.
def echo(connection):
    while data := connection.recv(_BLOCK):
        connection.sendall(data)


def sink(connection):
    """Takes all, answers with the SHA-256."""
    connection.sendall(receive_digest(connection)[1].encode())


def source(size):
    def serve(connection):
        send_stream(connection, size)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            connection.recv(1)

    return serve


class TcpServer:
    """Serves each connection in a thread. peers: the addresses the clients came from."""

    def __init__(self, netns, address, serve=echo, port=0):
        self._listener = bound(netns, address, port, socket.SOCK_STREAM)
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self.peers = []
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        connection.settimeout(_IDLE)
        with connection, contextlib.suppress(OSError):
            self._serve(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE)


class UdpServer:
    """Answers each datagram by answer(datagram). datagrams and peers: what came from where."""

    def __init__(self, netns, address, port=0, answer=lambda datagram: datagram):
        self._socket = bound(netns, address, port, socket.SOCK_DGRAM)
        self.port = self._socket.getsockname()[1]
        self.datagrams, self.peers = [], []
        self._answer = answer
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        self._socket.settimeout(0.1)
        while not self._stop:
            try:
                data, peer = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                continue
            self.datagrams.append(data)
            self.peers.append(peer[0])
            answer = self._answer(data)
            if answer is not None:
                with contextlib.suppress(OSError):
                    self._socket.sendto(answer, peer)

    def close(self):
        self._stop = True
        self._thread.join(DEADLINE)
        self._socket.close()


class Tripwire:
    """Listens on TCP and UDP, both families, every address of a namespace, and never accepts: tripped() tells what came."""

    def __init__(self, netns, port):
        self._sockets = [bound(netns, address, port, kind) for address in ("0.0.0.0", "::")
                         for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        for one in self._sockets:
            if one.type == socket.SOCK_STREAM:
                one.listen(128)
            one.setblocking(False)

    def tripped(self):
        found = []
        for one in self._sockets:
            with contextlib.suppress(BlockingIOError):
                if one.type == socket.SOCK_STREAM:
                    connection, peer = one.accept()
                    connection.close()
                    found.append(("tcp", peer))
                else:
                    data, peer = one.recvfrom(2048)
                    found.append(("udp", peer, data))
        return found

    def close(self):
        for one in self._sockets:
            one.close()
