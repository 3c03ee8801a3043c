import pytest

from keras_kd._text import bytes_in_words, duration_in_words, markdown, milliseconds_in_words, pairs


def test_a_markdown_table_aligns_words_and_numbers_and_escapes_bars():
    assert markdown(("Method", "Top-1"), [("a|b [red]x", "9 %"), ("int8", "93.50 %")]) == (
        "| Method      |   Top-1 |\n"
        "| :---------- | ------: |\n"
        "| a\\|b [red]x |     9 % |\n"
        "| int8        | 93.50 % |"
    )


def test_a_notebook_gets_text_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "student" in markdown(("Method", "Top-1"), [("student", "9 %")])
    assert pairs([("runs", 0)]) == "runs  0"


def test_pairs_leave_out_what_has_no_value_and_wrap_nothing():
    long = "CONV_2D 4, " * 60
    assert pairs([("file", long), ("threads", None), ("note", ""), ("runs", 0)]) == (
        f"file  {long.strip()}\nruns  0"
    )
    assert pairs([("  in", "[b]")], gap=1, least=6) == "  in   [b]"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.96, "1.0 kB"),
        (4328, "4.3 kB"),
        (999_960, "1.0 MB"),
        (2_500_000_000_000, "2,500.0 GB"),
    ],
)
def test_bytes_in_words(count, words):
    assert bytes_in_words(count) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0.002334, "0.00233 ms"), (0.5, "0.5 ms"), (12.34, "12.3 ms"), (1234, "1,234 ms")],
)
def test_milliseconds_in_words(count, words):
    assert milliseconds_in_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (90, "90 s"), (900, "15 min"), (9000, "2.5 h")]
)
def test_duration_in_words(seconds, words):
    assert duration_in_words(seconds) == words
