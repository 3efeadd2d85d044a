"""Files that are not there: found before anything is decoded, listed once, and the end of a run when they are many."""

import json
import types

import pytest

from pvbias.data import BadVideo, BadVideoLog, VideoRecord, bad_videos, build_source, forget, look_up
from pvbias.data.lookup import check_attributes
from pvbias.errors import ConfigError, DataError
from pvbias.tools.main import main
from pvbias.transcoding.prepare import prepare
from pvbias.video import BadVideoError

from ..video.videos import data_cfg, write_video


def listed(folder):
    file = folder / "bad_videos.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def bad(number):
    record = VideoRecord(path=f"/x/{number}.mp4", name=f"{number}.mp4")
    return BadVideo.of(number, record, BadVideoError("missing", "why"), "test")


def test_too_many_missing_files_end_the_run_at_once(tmp_path):
    for name in ("here.mp4", "broken.mp4"):
        (tmp_path / name).write_bytes(b"no video")  # not opened
    (tmp_path / "frames").mkdir()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    lines = ["here.mp4 0", "gone.mp4 1", "frames 2", "broken.mp4 7", "dangling.mp4 1", "gone.mp4 1", "here.mp4/x.mp4 0"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    source = build_source(data_cfg(tmp_path / "list.csv"), "test")
    assert source.missing() == [1, 4, 5, 6]
    look_up(source, BadVideoLog(tmp_path / "enough", 5 / 7), split="test", num_classes=3)
    assert listed(tmp_path / "enough") == [], "each is listed in its turn"
    with pytest.raises(
        DataError, match=r"5 of the 7 videos of .*list\.csv .*\(missing 4, label out of range 1\)(.|\n)*PATH_PREFIX"
    ):
        look_up(source, BadVideoLog(tmp_path / "out", 0.5), split="test", num_classes=3)
    found = {entry["name"]: (entry["cause"], entry["split"]) for entry in listed(tmp_path / "out")}
    assert found == {
        "gone.mp4": ("missing", "test"),
        "dangling.mp4": ("missing", "test"),
        "here.mp4/x.mp4": ("missing", "test"),
        "broken.mp4": ("label out of range", "test"),
    }


def test_prepare_looks_files_up_first(tmp_path):
    write_video(tmp_path / "a.mp4", 3)
    (tmp_path / "list.csv").write_text("a.mp4 0\ngone.mp4 1\n")
    with pytest.raises(DataError, match=r"1 of the 2 videos(.|\n)*Nothing was decoded"):
        prepare(tmp_path / "list.csv", tmp_path / "out", workers=0, progress=False)
    assert not list((tmp_path / "out").glob("*.mp4"))
    assert [entry["name"] for entry in listed(tmp_path / "out")] == ["gone.mp4"]


def test_a_line_of_the_list_costs_the_same_however_long_it_is(tmp_path, monkeypatch):
    """Two processes list 200 videos each, in turn; each reads every line at most once."""
    read = []
    monkeypatch.setattr(
        bad_videos.json, "loads", lambda text: read.append(text) or json.JSONDecoder().decode(str(text, "utf-8"))
    )
    logs = [BadVideoLog(tmp_path, 1.0), BadVideoLog(tmp_path, 1.0)]
    for number in range(400):
        logs[number % 2].add(bad(number))
    assert len(read) <= 2 * 400
    for log in logs:
        log.add(*map(bad, range(400)))
    assert len(read) <= 2 * 400
    monkeypatch.undo()
    assert [entry["name"] for entry in listed(tmp_path)] == [f"{number}.mp4" for number in range(400)]


def test_a_list_that_is_begun_anew_is_read_anew(tmp_path):
    log, other = BadVideoLog(tmp_path, 1.0), BadVideoLog(tmp_path, 1.0)
    log.add(bad(1), bad(2))
    forget(tmp_path, {"test"})
    other.add(bad(1))
    log.add(bad(3))
    assert [entry["name"] for entry in listed(tmp_path)] == ["1.mp4", "3.mp4"]


def test_names_that_are_folders_of_the_file_system(tmp_path, monkeypatch):
    """``.`` is a folder of frames like any other; ``/`` is no video; new files do not lie among their sources."""
    (tmp_path / "frames").mkdir()
    monkeypatch.chdir(tmp_path / "frames")
    write_video(tmp_path / "v.mp4", 2)
    import av

    with av.open(str(tmp_path / "v.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(f"{number}.png")
    summary = prepare(".", tmp_path / "out", workers=0, progress=False)
    assert [file.target for file in summary.finished] == ["frames.mp4"]
    (tmp_path / "root.csv").write_text("/ 0\n")
    with pytest.raises(DataError, match="the root of the file system"):
        prepare(tmp_path / "root.csv", tmp_path / "out2", workers=0, progress=False)
    with pytest.raises(ConfigError, match="lies in"):
        prepare(tmp_path, tmp_path / "out3", workers=0, progress=False)


@pytest.mark.parametrize(
    ("data", "weights", "code", "message"),
    [
        ("~nobody_of_this_name/list.csv", "w.pyth", 4, "~nobody_of_this_name"),
        ("list.csv", "http://[::1", 2, "Invalid IPv6 URL"),
        ("list.csv", "https://", 2, "there is no host"),
        ("list.csv", "http://host:99999/w.pyth", 2, "Port out of range"),
    ],
)
def test_odd_names_are_one_message(tmp_path, monkeypatch, capsys, data, weights, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("a.mp4 0\n")
    weights = "~nobody_of_this_name/w.pyth" if data.startswith("~") else weights
    assert main(["measure", "--model", "x3d_xs", "--weights", weights, "--data", data, "--out", "out"]) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_names_that_begin_with_a_tilde_are_files(tmp_path):
    (tmp_path / "list.csv").write_text("~weird.mp4 0\n~nobody_of_this_name/x.mp4 1\n")
    (tmp_path / "~weird.mp4").touch()
    source = build_source(data_cfg(tmp_path / "list.csv"), "test")
    assert source.records[0].path == str(tmp_path / "~weird.mp4")
    assert source.missing() == [1]


def test_attributes_that_are_asked_for(caplog):
    records = [
        VideoRecord(path="a", name="a", attributes={"scene": "kitchen", "people": 1}),
        VideoRecord(path="b", name="b", attributes={"scene": "street"}),
    ]
    source = types.SimpleNamespace(records=records, description="test.csv")
    plain = types.SimpleNamespace(records=[VideoRecord(path="a", name="a")], description="target.csv")
    check_attributes([source], ["scene"], "BIAS.BREAK_DOWN_BY")
    assert not caplog.records
    check_attributes([source], ["people"], "BIAS.BREAK_DOWN_BY")
    assert "asks for 'people', and 1 of the 2 videos of test.csv do not have it" in caplog.text
    with pytest.raises(
        DataError, match=r"BIAS\.BREAK_DOWN_BY asks for 'scenes', and no video of test\.csv .* 'scene'\?"
    ):
        check_attributes([source], ["scene", "scenes"], "BIAS.BREAK_DOWN_BY")
    with pytest.raises(DataError, match="Its videos have no attributes"):
        check_attributes([plain], ["x"], "y")
    check_attributes([plain, source], ["scene"], "y")
    assert "1 of the 3 videos of target.csv or test.csv" in caplog.text
