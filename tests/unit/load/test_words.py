"""The words of many names at once are those of each."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cases import cases
from drops import INVISIBLE_TEXTS, NASTY_TEXTS
from experiment_features.load.words import find_words, words_of

plain = st.text("abZ09-._ ,'", max_size=130)
names = (
    st.none()
    | plain
    | plain.map(lambda name: 20 * name)
    | st.text(max_size=30)
    | st.sampled_from([*NASTY_TEXTS, *INVISIBLE_TEXTS])
)


@given(st.lists(names, max_size=20))
@settings(max_examples=cases(200))
def test_many_names_have_the_words_of_each(names: list[str | None]) -> None:
    """Plain or not, long, empty or without any word; a missing one has none."""
    found = [
        (name_from, name_before, key)
        for batch in find_words(range(len(names)), names)
        for name_from, name_before, key in zip(*(c.to_pylist() for c in batch.columns), strict=True)
    ]
    assert sorted(found) == sorted(
        (*word, key) for key, name in enumerate(names) if name for word in words_of(name)
    )
