"""The embedding cache: what it keeps, in which order it forgets, and threads."""

import threading

import pytest
import torch

from napari_surgisam.engine.embeddings import EmbeddingCache, EmbeddingKey
from napari_surgisam.engine.network import FrameEmbedding


def embedding(value=0.0):
    return FrameEmbedding(
        torch.full((1, 1, 4, 4), value), (torch.zeros(1, 1, 8, 8),), (48, 64)
    )  # 80 floats


BYTES = 320


def key(frame, source="film", encoder="tiny"):
    return EmbeddingKey(source, frame, encoder)


def refuse():
    raise AssertionError("computed again")


def test_an_embedding_is_computed_once_per_content():
    cache = EmbeddingCache()
    first = cache.get(key(0), embedding)
    assert cache.get(key(0), refuse) is first
    for other in (key(1), key(0, source="scan"), key(0, encoder="large")):
        assert cache.get(other, embedding) is not first
    assert len(cache) == 4
    assert cache.nbytes == 4 * BYTES


def test_the_longest_unused_is_forgotten_first():
    cache = EmbeddingCache(budget=2 * BYTES + 1)
    cache.get(key(0), embedding)
    cache.get(key(1), embedding)
    cache.get(key(0), refuse)
    cache.get(key(2), embedding)
    assert [f for f in range(3) if key(f) in cache] == [0, 2]
    assert cache.nbytes == 2 * BYTES
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_what_is_larger_than_the_budget_is_passed_through():
    cache = EmbeddingCache(budget=BYTES - 1)
    assert cache.get(key(0), embedding).size == (48, 64)
    assert len(cache) == 0


def test_a_failed_computation_is_told_and_tried_again():
    cache = EmbeddingCache()
    with pytest.raises(ZeroDivisionError):
        cache.get(key(0), lambda: 1 / 0)
    assert cache.get(key(0), embedding) is cache.get(key(0), refuse)


def test_threads_wait_for_the_one_that_computes():
    cache, started, finish = EmbeddingCache(), threading.Event(), threading.Event()
    results = []

    def slow():
        started.set()
        assert finish.wait(10)
        return embedding()

    first = threading.Thread(target=lambda: results.append(cache.get(key(0), slow)))
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=lambda: results.append(cache.get(key(0), refuse)))
    second.start()
    cache.get(key(1), embedding)  # another frame does not wait
    finish.set()
    first.join(10)
    second.join(10)
    assert results[0] is results[1]
