"""Domain names in wire form, and their text.

In `dns/` (wire format, no I/O). Change here: how names are read from text, compared, and printed.

A *name* is bytes everywhere in dnsd: its uncompressed wire form (RFC 1035 section
3.1), ASCII letters in lower case, the root label included. Two names are the same name when the
bytes are equal. A name is below another when it ends with it at a label boundary. A name can go
into a packet or a dict as it is. Only the edges use text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

Name = bytes
ROOT: Name = b"\x00"
MAX_NAME = 255  # octets on the wire, RFC 1035 2.3.4
MAX_LABEL = 63


class BadName(ValueError):
    """Text that is not a domain name; names the label and the reason."""


def name_of(*labels: str | bytes, below: Name = ROOT) -> Name:
    """The name made of `labels` (leftmost first) in front of `below`; lower-cased.

    Raises BadName for a label of 0 or over 63 octets, or a name over 255.
    """
    out = bytearray()
    for label in labels:
        raw = label.encode("ascii", "strict") if isinstance(label, str) else label
        if not 0 < len(raw) <= MAX_LABEL:
            raise BadName(f"label {label!r} has {len(raw)} octets, must have 1 to {MAX_LABEL}")
        out.append(len(raw))
        out += raw.lower()
    out += below
    if len(out) > MAX_NAME:
        raise BadName(f"{text_of(bytes(out))} has {len(out)} octets, a name has at most {MAX_NAME}")
    return bytes(out)


def name_from_text(text: str, origin: Name = ROOT) -> Name:
    r"""The name written as `text` (RFC 1035 5.1: `\.`, `\\`, `\DDD`); `@` or empty is `origin`.

    Without a trailing dot the name is relative to `origin`. Raises BadName.
    """
    if text in ("", "@"):
        return origin
    if text == ".":
        return ROOT
    labels: list[bytes] = []
    label = bytearray()
    absolute = False
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == ".":
            if not label:
                raise BadName(f"{text!r} has an empty label")
            labels.append(bytes(label))
            label.clear()
            absolute = position == len(text)
        elif char == "\\":
            digits = text[position : position + 3]
            if len(digits) == 3 and digits.isascii() and digits.isdigit():
                if int(digits) > 255:
                    raise BadName(f"{text!r}: \\{digits} is over 255")
                label.append(int(digits))
                position += 3
            elif position < len(text) and text[position].isascii():
                label.append(ord(text[position]))
                position += 1
            else:
                raise BadName(f"{text!r} ends inside an escape")
        elif char.isascii():
            label.append(ord(char))
        else:
            raise BadName(f"{text!r} has {char!r}, write it as an A-label (xn--…)")
    if label:
        labels.append(bytes(label))
    return name_of(*labels, below=ROOT if absolute else origin)


def labels_of(name: Name) -> Iterator[bytes]:
    """The labels of a name, leftmost first, without the root."""
    position = 0
    while length := name[position]:
        yield name[position + 1 : position + 1 + length]
        position += 1 + length


def name_end(data: bytes, position: int) -> int:
    """The offset after the uncompressed, well-formed name that begins at `position`."""
    while data[position]:
        position += 1 + data[position]
    return position + 1


def parent_of(name: Name) -> Name:
    """The name without its leftmost label; the root's parent is the root."""
    return name[1 + name[0] :] if name[0] else ROOT


def is_below(name: Name, ancestor: Name) -> bool:
    """Whether `name` is `ancestor` or lies below it."""
    if not name.endswith(ancestor):
        return False
    position, end = 0, len(name) - len(ancestor)
    while position < end:
        position += 1 + name[position]
    return position == end


def longest_suffix(name: Name, among: Container[Name]) -> Name | None:
    """The longest of these names that `name` is or lies below. One lookup for each label."""
    while name not in among:
        if name == ROOT:
            return None
        name = parent_of(name)
    return name


_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/+="
_TEXT = [f"\\{octet:03d}" for octet in range(256)]  # of each octet of a label
for _octet in _PLAIN + b'.\\"();@$':
    _TEXT[_octet] = chr(_octet) if _octet in _PLAIN else "\\" + chr(_octet)


def text_of(name: Name) -> str:
    r"""The name as absolute text with its trailing dot, special octets escaped (RFC 1035 5.1)."""
    labels = ["".join([_TEXT[octet] for octet in label]) for label in labels_of(name)]
    return ".".join(labels) + "."


def reverse_name(packed: bytes) -> Name:
    """The in-addr.arpa or ip6.arpa name of a packed address (RFC 1035 3.5, RFC 3596 2.5)."""
    if len(packed) == 4:
        a, b, c, d = packed
        return _OCTETS[d] + _OCTETS[c] + _OCTETS[b] + _OCTETS[a] + IN_ADDR_ARPA
    return b"".join([_NIBBLES[octet] for octet in reversed(packed)]) + IP6_ARPA


IN_ADDR_ARPA = name_of("in-addr", "arpa")
IP6_ARPA = name_of("ip6", "arpa")

# The labels of every octet, ready made: every endpoint has a reverse name.
_OCTETS = tuple(name_of(str(octet))[:-1] for octet in range(256))
_NIBBLES = tuple(name_of(*reversed(f"{octet:02x}"))[:-1] for octet in range(256))
