"""One order of a frame's elements in the graph, one on a stream, and the way between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.ir.integer_graph import IntType, Tensor
from qdeploy.ir.layout import graph_shape, stream_shape, to_graph_order, to_stream_order

sizes = st.integers(1, 5)
shapes = st.one_of(
    st.tuples(sizes),
    st.tuples(sizes, sizes, sizes),
)


def test_a_map_travels_pixel_by_pixel_with_its_channels_innermost() -> None:
    values = np.array([[[1, 2, 3]], [[4, 5, 6]]])  # two channels, one row, three columns
    assert to_stream_order(values, frames=False).reshape(-1).tolist() == [1, 4, 2, 5, 3, 6]
    assert to_stream_order(values[None], frames=True).shape == (1, 1, 3, 2)


def test_shapes_of_a_map_by_hand() -> None:
    tensor = Tensor("x", (3, 4, 5), IntType(8, False), 0, 255)
    assert stream_shape(tensor) == stream_shape([3, 4, 5]) == (4, 5, 3)
    assert graph_shape([4, 5, 3]) == (3, 4, 5)


@pytest.mark.parametrize("count", [0, 2])
def test_vectors_have_one_order(count: int) -> None:
    assert stream_shape((7,)) == graph_shape((7,)) == (7,)
    vectors = np.arange(7 * count).reshape(count, 7)
    assert np.array_equal(to_stream_order(vectors, frames=True), vectors)
    assert np.array_equal(to_graph_order(vectors, frames=True), vectors)
    assert np.array_equal(to_graph_order(np.arange(7), frames=False), np.arange(7))


@given(shapes, st.booleans())
def test_the_way_there_and_back_changes_nothing_and_shapes_follow(
    shape: tuple[int, ...], frames: bool
) -> None:
    full = (2, *shape) if frames else shape
    values = np.arange(np.prod(full)).reshape(full)
    there = to_stream_order(values, frames=frames)
    assert there.shape[int(frames) :] == stream_shape(shape)
    assert graph_shape(stream_shape(shape)) == shape
    assert np.array_equal(to_graph_order(there, frames=frames), values)
