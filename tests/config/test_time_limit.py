import pytest

from pvbias.config.time_limit import minutes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("12:00:00", 720), ("0:00:01", 1), ("2-00", 2880), ("1-6:30", 1830), ("10-00:00:30", 14401)],
)
def test_minutes(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "12:00", "1:60:00", "-5", "2 days", "1-", "1:2:3", "43200s", "1-2-3"])
def test_not_a_time_limit(text):
    with pytest.raises(ValueError, match=text or "^$"):
        minutes(text)
