"""Checkpoints of TensorFlow → arrays, without TensorFlow.

A checkpoint is two files. The index is a sorted table in the format of LevelDB (doc/table_format.md there): blocks of
keys and values, and a footer that says where the block about the blocks is. Its values are protocol buffers that say
where in the data file a variable lies (tensorflow/core/protobuf/tensor_bundle.proto); there its numbers stand as they
are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import DataError

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER = 48  # bytes
FLOAT32 = 1  # of the types of variables
DTYPE, SHAPE, OFFSET, SIZE = 1, 2, 4, 5  # the fields of a variable's entry
DIM, LENGTH = 2, 1  # the fields of a shape, and of each of its dimensions


def read_checkpoint(index: Path, data: Path) -> dict[str, NDArray[np.float32]]:
    """The two files of a checkpoint → its float32 variables by name. Raises `DataError` for other files."""
    table, numbers = index.read_bytes(), data.read_bytes()
    if not table.endswith(MAGIC):
        raise DataError(f"{index}: this is not the index of a TensorFlow checkpoint")
    variables = {}
    _, after = _block(table, table, len(table) - FOOTER)  # about filters, of which there are none
    blocks, _ = _block(table, table, after)
    for _, place in _entries(blocks):
        for name, value in _entries(_block(table, place, 0)[0]):
            entry = dict(_fields(value))
            if name and entry[DTYPE] == FLOAT32:
                shape = [dict(_fields(dim))[LENGTH] for field, dim in _fields(entry.get(SHAPE, b"")) if field == DIM]
                start = entry.get(OFFSET, 0)
                part = np.frombuffer(numbers[start : start + entry[SIZE]], dtype="<f4")
                variables[name.decode()] = part.reshape(shape).astype(np.float32)
    return variables


def _block(table: bytes, handle: bytes, position: int) -> tuple[bytes, int]:
    """A table and where a block's handle (its offset and size) is written → the block, and the end of the handle."""
    offset, position = _varint(handle, position)
    size, position = _varint(handle, position)
    if table[offset + size]:
        raise DataError("this checkpoint's index is compressed; only plain ones can be read")
    return table[offset : offset + size], position


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A block → its keys and values. A key is written without what it shares with the start of the one before."""
    n_restarts = int.from_bytes(block[-4:], "little")
    end, position, key = len(block) - 4 * (n_restarts + 1), 0, b""
    while position < end:
        shared, position = _varint(block, position)
        n_key, position = _varint(block, position)
        n_value, position = _varint(block, position)
        key = key[:shared] + block[position : position + n_key]
        position += n_key + n_value
        yield key, block[position - n_value : position]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """A protocol buffer → the numbers of its fields and their values: integers, or bytes for all else."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield field, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, position = _varint(message, position)
        yield field, message[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Bytes and a position → the integer that starts there, seven bits a byte, lowest first, and the position after."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
