"""Arrow's values without pandas.

pa.array and pa.scalar import pandas, to see whether what they are given is its. That takes a third
of a second, which a run on DuckDB can do without.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

TEXT = pa.large_string()
"""A batch may hold more than 2 GiB of text."""


def array(values: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> pa.Array:
    """The values as an array."""
    if values.dtype == np.bool_:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def text(value: str) -> pa.Scalar:
    """The text as a scalar of TEXT."""
    content = value.encode()
    ends = pa.py_buffer(np.array([0, len(content)], np.int64))
    return pa.Array.from_buffers(TEXT, 1, [None, ends, pa.py_buffer(content)])[0]
