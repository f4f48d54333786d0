"""A network of one operation as an ONNX file, written by hand: tests need no library for it."""


def mean_of_colours(side: int) -> bytes:
    """[1, 3, side, side] → [1, 1, side, side], the mean over the colours."""
    axes = _text(1, "axes") + _number(8, 1) + _number(20, 7)
    node = _text(1, "x") + _text(2, "y") + _text(4, "ReduceMean") + _bytes(5, axes)
    graph = _bytes(1, node) + _text(2, "tiny")
    graph += _bytes(11, _value("x", (1, 3, side, side))) + _bytes(
        12, _value("y", (1, 1, side, side))
    )
    return _number(1, 8) + _bytes(8, _number(2, 13)) + _bytes(7, graph)


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    tensor = _number(1, 1) + _bytes(2, sides)  # FLOAT
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])
