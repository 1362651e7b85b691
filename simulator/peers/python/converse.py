"""Conversations of librouteros with one device of a fleet.

Reads one JSON object from standard input: address, port, tls, login, username, password, name and
whether the device says !empty. Prints one line for each conversation held; any other end is a failure.
"""

import json
import ssl
import sys

import librouteros
from librouteros.exceptions import MultiTrapError, TrapError
from librouteros.login import plain, token
from librouteros.query import And, Key, Or


def expect(held, what):
    if not held:
        raise SystemExit(f"librouteros: {what}")
    print(f"ok {what}")


def trapped(what, *words):
    """The traps of a command that must be refused, as (category, message)."""
    try:
        tuple(what())
    except TrapError as trap:
        return [(trap.category, trap.message)]
    except MultiTrapError as traps:
        return [(trap.category, trap.message) for trap in traps.traps]
    raise SystemExit(f"librouteros: not refused: {words}")


def connect(device, password=None):
    settings = {
        "username": device["username"],
        "password": password or device["password"],
        "host": device["address"],
        "port": device["port"],
        "login_method": token if device["login"] == "challenge" else plain,
        "timeout": 60,
    }
    if device["tls"]:
        context = ssl.create_default_context()
        # Routers sign their own certificates.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        settings["ssl_wrapper"] = context.wrap_socket
    return librouteros.connect(**settings)


def queries(api, device):
    identity = tuple(api("/system/identity/print"))
    expect(identity[0]["name"] == device["name"], "print of one row")
    name, kind, running = Key("name"), Key("type"), Key("running")
    ports = api.path("interface")
    every = tuple(ports)
    expect(len(every) > 2 and all("mac-address" in row for row in every), "print of a table")
    names = tuple(ports.select(name))
    expect([tuple(row) for row in names] == [("name",)] * len(every), "a proplist")
    bridges = tuple(ports.select(name, kind).where(kind == "bridge"))
    expect([row["type"] for row in bridges] == ["bridge"], "a query")
    either = tuple(ports.select(name).where(Or(kind == "bridge", kind == "ether")))
    none = tuple(ports.select(name).where(And(kind == "bridge", kind == "ether")))
    expect(len(either) > len(bridges) and not none, "queries with operations")
    expect(tuple(ports.select(name).where(running == True)) != (), "a query for a flag")  # noqa: E712
    count = tuple(api.rawCmd("/interface/print", "=count-only="))
    expect(count[0]["ret"] == len(every), "a count")


def writes(api):
    addresses = api.path("ip", "address")
    new = addresses.add(address="192.0.2.1/24", interface="ether1", comment="a peer's")
    expect(str(new).startswith("*"), "add gives an id")
    key, comment = Key(".id"), Key("comment")
    mine = tuple(addresses.select(key, comment, Key("network")).where(key == new))
    expect([row["network"] for row in mine] == ["192.0.2.0"], "what was added is there")
    addresses.update(**{".id": new, "comment": "changed", "disabled": True})
    mine = tuple(addresses.select(comment, Key("disabled")).where(key == new))
    expect(mine == ({"comment": "changed", "disabled": True},), "set changes it")
    told = tuple(addresses("get", **{".id": new, "value-name": "comment"}))
    expect(told == ({"ret": "changed"},), "get tells it")
    addresses.remove(new)
    expect(not any(row[".id"] == new for row in addresses), "remove takes it away")


def traps(api, device):
    addresses = api.path("ip", "address")
    gone = trapped(lambda: addresses("remove", **{".id": "*FFFFFF"}))
    expect(gone == [(0, "no such item")], "a trap for an item that is not there")
    bad = trapped(lambda: addresses("add", address="192.0.2.1/24", interface="asdf"))
    expect(bad == [(1, "input does not match any value of interface")], "a trap for a value")
    missing = trapped(lambda: addresses("add", interface="ether1"))
    expect(missing == [(0, "missing =address=")], "a trap for a value that is missing")
    unknown = trapped(lambda: api("/no/such/menu/print"))
    expect(all("no such command" in message for _, message in unknown), "a trap for a menu")
    empty = tuple(api("/ip/firewall/filter/print"))
    expect(empty == (), "an empty table" + (" with !empty" if device["says_empty"] else ""))
    try:
        connect(device, password="guess")
    except TrapError as trap:
        expect("invalid user name or password" in trap.message, "a wrong password is refused")
    else:
        raise SystemExit("librouteros: a wrong password was taken")


def listens(device):
    """librouteros reads one command at a time: the words of both are sent, then all is read."""
    listener, writer = connect(device), connect(device)
    listener.protocol.writeSentence("/ip/address/listen", ".tag=5")
    listener.protocol.writeSentence("/system/identity/print", ".tag=6")
    first = [listener.protocol.readSentence() for _ in range(2)]
    expect([word for word, _ in first] == ["!re", "!done"], "an answer while a listener goes on")
    new = writer.path("ip", "address").add(address="198.51.100.1/24", interface="ether1")
    word, words = listener.protocol.readSentence()
    expect(word == "!re" and ".tag=5" in words and f"=.id={new}" in words, "a listener hears of it")
    writer.path("ip", "address").remove(new)
    word, words = listener.protocol.readSentence()
    expect(word == "!re" and "=.dead=true" in words, "a listener hears that it is gone")
    listener.protocol.writeSentence("/cancel", "=tag=5", ".tag=7")
    ends = [listener.protocol.readSentence() for _ in range(3)]
    expect([word for word, _ in ends] == ["!trap", "!done", "!done"], "a listener is cancelled")
    expect("=category=2" in ends[0][1] and "=message=interrupted" in ends[0][1], "as interrupted")
    expect([".tag=7" in ends[1][1], ".tag=5" in ends[2][1]] == [True, True], "in this order")
    listener.close()
    writer.close()


def main():
    device = json.load(sys.stdin)
    api = connect(device)
    queries(api, device)
    writes(api)
    traps(api, device)
    listens(device)
    api.close()


main()
