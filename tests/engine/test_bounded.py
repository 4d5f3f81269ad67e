"""The byte budget, counted by hand."""

from napari_surgisam.engine.bounded import BoundedStore


def test_the_longest_unused_goes_first():
    store = BoundedStore(budget=10)
    for key in "abc":
        store.keep(key, key.upper(), 4 if key == "a" else 3)
    assert store.nbytes == 10
    assert store.get("a") == "A"
    store.keep("d", "D", 1)
    assert [k for k in "abcd" if k in store] == ["a", "c", "d"]
    assert (len(store), store.nbytes) == (3, 8)


def test_a_key_is_replaced_and_what_is_too_large_is_not_kept():
    store = BoundedStore(budget=10)
    store.keep("a", 1, 6)
    store.keep("a", 2, 8)
    assert (store.get("a"), store.nbytes) == (2, 8)
    store.keep("a", 3, 11)
    assert store.get("a") is None
    assert store.nbytes == 0
    store.keep("b", 1, 1)
    store.clear()
    assert (len(store), store.nbytes) == (0, 0)


def test_the_latest_are_kept_whatever_they_take():
    store = BoundedStore(budget=10, least=2)
    for key in "abc":
        store.keep(key, key, 20)
    assert [k for k in "abc" if k in store] == ["b", "c"]
    assert store.nbytes == 40
    for key in "de":
        store.keep(key, key, 1)
    assert [k for k in "bcde" if k in store] == ["d", "e"]
    store.keep("f", "f", 1)
    assert (len(store), store.nbytes) == (3, 3)
