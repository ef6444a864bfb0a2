# SPDX-License-Identifier: Apache-2.0
"""Every way in which a server can be broken or hostile.

A fault names a route of the double and applies to its next `times` calls (default 1). Some replace
the answer, some spoil a right one, and those that begin with ws_ act inside of an attach:

  status     the status `value`, with an error envelope        plain     the same as plain text
  redirect   302 to the same place, for ever                   hang      no answer at all
  close      the connection ends without one                   garbage   not HTTP
  huge       100 MiB of JSON                                   drip      a right answer, a byte each 50 ms
  truncated  half of the JSON, as if it were whole             short     half of it, then the end
  types      every string a number, every number a string      empty     {}
  headers    a response head of a megabyte                     spawn     what an image without the program gives
  ws_status  no upgrade but 200                                ws_accept a wrong Sec-WebSocket-Accept
  ws_cut     the connection ends after `value` bytes of output ws_frame  a frame that makes no sense
  ws_big     a frame that claims 1 GiB                         ws_no_exit  the end without an exit
  ws_no_output  exit, with all output left out                 ws_types  an exit code that is a string
  ws_text    control text that is not JSON, before the rest
"""
import asyncio
import json
import struct

import wire

LATE = {"drip", "truncated", "short", "types"}
CODES = {400: "invalid_argument", 401: "unauthenticated", 404: "not_found", 409: "invalid_state",
         410: "session_reaped", 422: "image_pull_failed", 429: "resource_exhausted", 500: "internal",
         503: "engine_unavailable", 504: "timeout"}


def take(faults, route):
    for fault in faults:
        if fault["route"] == route and fault.setdefault("times", 1) > 0:
            fault["times"] -= 1
            return dict(fault)
    return None


def is_late(fault):
    """Does the route do its work all the same?"""
    return fault["kind"] in LATE or fault["kind"].startswith("ws_") and fault["kind"] not in (
        "ws_status", "ws_accept")


async def misbehave(fault, request, writer):
    kind = fault["kind"]
    status = fault.get("value", 500)
    if kind == "status":
        error = {"message": "as told", "type": "AnyError", "code": CODES.get(status, "surprise")}
        return wire.Reply(status, {"error": error})
    if kind == "plain":
        return wire.text(status, "no JSON here")
    if kind == "redirect":
        return wire.Reply(302, headers={"Location": request.path})
    if kind == "spawn":
        error = {"message": "internal error: spawn_failed: no such file", "type": "InternalError", "code": "internal"}
        return wire.Reply(500, {"error": error})
    if kind == "empty":
        return wire.Reply(200, {})
    if kind == "ws_status":
        return wire.Reply(200, {})
    if kind == "ws_accept":
        writer.write(wire.Reply(101, headers={"Upgrade": "websocket", "Connection": "Upgrade",
                                              "Sec-WebSocket-Accept": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}).head())
    elif kind == "garbage":
        writer.write(b"\x00\xff\x13 no HTTP at all \r\n\r\n")
    elif kind == "headers":
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-Much: " + b"x" * (1 << 20) + b"\r\n\r\n")
    elif kind == "hang":
        await asyncio.sleep(3600)
    elif kind == "huge":
        size = 100 << 20
        writer.write(wire.Reply(200, b"").head(size) + b'{"boxes":[')
        for _ in range(size >> 16):
            writer.write(b" " * (1 << 16))
            await writer.drain()
    await writer.drain()
    return None


def swap_types(value):
    if isinstance(value, dict):
        return {key: swap_types(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [swap_types(inner) for inner in value]
    return str(value) if isinstance(value, (int, float)) else 4711


async def spoil(fault, reply, request, writer):
    kind, body = fault["kind"], reply.body or b"{}"
    if kind == "types":
        return wire.Reply(reply.status, swap_types(json.loads(body)))
    if kind == "truncated":
        return wire.Reply(reply.status, body[:len(body) // 2])
    if kind == "short":
        writer.write(reply.head() + body[:len(body) // 2])
        await writer.drain()
        return None
    writer.write(reply.head())
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)
    return None


async def in_stream(fault, opcode, payload, writer):
    """Before a frame is sent; True ends the connection."""
    kind = fault["kind"]
    is_exit = opcode == wire.TEXT and b'"exit"' in payload
    if kind == "ws_cut" and opcode == wire.BINARY:
        fault["value"] -= len(payload) - 1
        if fault["value"] < 0:
            writer.transport.abort()
            return True
    elif kind == "ws_no_exit" and is_exit:
        writer.write(wire.frame(wire.CLOSE, struct.pack("!H", 1000)))
        await writer.drain()
        return True
    elif kind == "ws_frame":
        writer.write(b"\xff\xff\xff\xff")
        await writer.drain()
        return True
    elif kind == "ws_big":
        writer.write(struct.pack("!BBQ", 0x82, 127, 1 << 30))
        await writer.drain()
        await asyncio.sleep(1)
        return True
    elif kind == "ws_types" and is_exit:
        writer.write(wire.frame(wire.TEXT, b'{"type":"exit","exit_code":"seven"}'))
    elif kind == "ws_text" and opcode == wire.PING:
        writer.write(wire.frame(wire.TEXT, b'{"type":') + wire.frame(wire.TEXT, b"[[[["))
    return False
