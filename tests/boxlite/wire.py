# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 and WebSocket (RFC 6455) for the double of the BoxLite server: just enough, over asyncio."""
import asyncio
import base64
import hashlib
import json
import struct
import urllib.parse

BODY_MAX = 2 << 20
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
REASONS = {100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 204: "No Content"}


class Request:
    def __init__(self, method, target, headers, body):
        self.method = method
        split = urllib.parse.urlsplit(target)
        self.path = split.path
        self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Reply:
    """What a handler gives back; body None sends no body and no type."""

    def __init__(self, status, body=None, kind="application/json", headers=None):
        self.status = status
        self.body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        self.kind = kind
        self.headers = headers or {}

    def head(self, length=None):
        size = len(self.body or b"") if length is None else length
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Whatever')}"]
        if self.body is not None:
            lines.append(f"Content-Type: {self.kind}")
        if self.status not in (101, 204):
            lines.append(f"Content-Length: {size}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def text(status, message):
    return Reply(status, message.encode(), "text/plain; charset=utf-8")


class TooLarge(Exception):
    pass


async def read_body(reader, writer, headers):
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
            if len(body) > BODY_MAX:
                raise TooLarge
        await reader.readline()
        return body
    size = int(headers.get("content-length", "0"))
    if size > BODY_MAX:
        raise TooLarge
    return await reader.readexactly(size)


async def read_request(reader, writer):
    """The next request of a connection; None at its end."""
    line = await reader.readline()
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, target, headers, await read_body(reader, writer, headers))


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def frame(opcode, payload, final=True):
    """A frame as servers send it: not masked."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        return struct.pack("!BB", first, len(payload)) + payload
    if len(payload) < 1 << 16:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


async def read_frame(reader):
    """(opcode, payload) of one client frame, which must be masked and not fragmented."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size, = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        size, = struct.unpack("!Q", await reader.readexactly(8))
    if not second & 0x80:
        raise ValueError("a client's frame is not masked")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    pad = mask * (size // 4 + 1)
    plain = int.from_bytes(data, "little") ^ int.from_bytes(pad[:size], "little")
    return first & 0x0F, plain.to_bytes(size, "little")
