"""tools/infer.py and Predictor, on the models that the tests trained."""

from __future__ import annotations

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from convnext_dense.inference import Predictor
from convnext_dense_runtime.results import Unreadable

pytestmark = pytest.mark.slow


def saved(trained, kind) -> tuple[str, str]:
    """Return the config and the checkpoint that training left."""
    (config,) = trained[kind].glob("*.py")
    return str(config), str(trained[kind] / {"det": "epoch_3.pth", "seg": "iter_6.pth"}[kind])


@pytest.fixture(scope="module")
def detector(trained):
    return Predictor(*saved(trained, "det"), device="cpu")


@pytest.fixture(scope="module")
def segmenter(trained):
    return Predictor(*saved(trained, "seg"), device="cpu")


@pytest.fixture(scope="module")
def photos(shapes) -> list[str]:
    return sorted(str(path) for path in (shapes / "val").iterdir())


@pytest.fixture(scope="module")
def scenes(ade) -> list[str]:
    return sorted(str(path) for path in (ade / "images" / "validation").iterdir())


def infer(cli, trained, kind, *argv):
    status, out, err = cli.call(
        "infer", [*saved(trained, kind), *map(str, argv), "--device", "cpu"]
    )
    assert status == 0, err
    return out


def same(one, other):
    assert one.labels.tolist() == other.labels.tolist()
    assert one.boxes == pytest.approx(other.boxes, abs=1e-3)
    assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert (one.masks != other.masks).mean() < 1e-3


def test_detections_are_those_of_a_test(cli, detector, trained, shapes):
    cli.test("det", trained["det"] / "epoch_3.pth", "--work-dir", "w", "--out", "kept.json")
    kept = json.loads(Path("kept.json").read_text())
    truth = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    numbers = [category["id"] for category in truth["categories"]]
    compared = 0
    for image in truth["images"]:
        (found,) = detector(shapes / "val" / image["file_name"])
        expected = [entry for entry in kept if entry["image_id"] == image["id"]]
        assert found.scores == pytest.approx([entry["score"] for entry in expected], abs=1e-5)
        assert [numbers[i] for i in found.labels] == [entry["category_id"] for entry in expected]
        assert found.masks.shape == (len(expected), image["height"], image["width"])
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in expected)]
        assert found.boxes == pytest.approx(np.reshape(boxes, (-1, 4)), abs=1e-3)
        compared += len(expected)
    assert compared
    assert found.masks.dtype == bool
    assert found.classes == ("circle", "square", "triangle", "star", "ring")


def test_label_maps_are_those_of_a_test(cli, trained, scenes):
    cli.test("seg", trained["seg"] / "iter_6.pth", "--work-dir", "w", "--out", "labels")
    infer(cli, trained, "seg", *scenes, "--save", "masks,json,pictures")
    for scene in scenes:
        name = Path(scene).stem
        ours, theirs = (
            np.array(Image.open(file))
            for file in (f"predictions/masks/{name}.png", f"labels/{name}.png")
        )
        assert (ours != theirs).mean() < 1e-3
        shares = json.loads(Path(f"predictions/json/{name}.json").read_text())["shares"]
        assert sum(shares.values()) == pytest.approx(1)
        assert set(shares) <= {"left", "right", "disc"}


@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_result_does_not_depend_on_its_batch(trained, detector, photos, tmp_path, batch_size):
    picture = cv2.imread(photos[0])
    cv2.imwrite(str(tmp_path / "wide.png"), cv2.resize(picture, (160, 90)))
    given = [photos[0], photos[1], str(tmp_path / "wide.png"), photos[2], photos[3]]
    batched = Predictor(*saved(trained, "det"), device="cpu", batch_size=batch_size)
    for one, other in zip(detector(given), batched(given), strict=True):
        same(one, other)


def test_arrays_are_as_good_as_files(detector, segmenter, photos, scenes):
    (file,) = detector(photos[0])
    (array,) = detector(cv2.imread(photos[0]))
    same(file, array)
    first, second = segmenter([scenes[0], cv2.imread(scenes[0])])
    assert (first.labels == second.labels).all()
    assert first.labels.shape == (64, 80)
    assert first.labels.dtype == np.uint8
    assert first.classes == ("left", "right", "disc")


def test_a_score_leaves_out_the_others_and_nothing_else(trained, detector, photos):
    found = detector(photos)
    score = float(np.median(np.concatenate([one.scores for one in found])))
    above = Predictor(*saved(trained, "det"), device="cpu", score=score)(photos)
    assert 0 < sum(map(len, above)) < sum(map(len, found))
    for one, other in zip(found, above, strict=True):
        kept = one.scores > score
        assert other.boxes == pytest.approx(one.boxes[kept], abs=1e-4)
        assert (other.masks != one.masks[kept]).mean() < 1e-3 if len(other) else True


def test_pictures_that_cannot_be_read_come_at_their_place(detector, photos, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    bad = [str(tmp_path / name) for name in ("text.jpg", "empty.png", "nowhere.jpg")]
    given = [photos[0], bad[0], bad[1], photos[1], bad[2]]
    seen = list(detector.stream(given))
    assert [one.source for one in seen] == given
    unreadable = [one.result.reason for one in seen if isinstance(one.result, Unreadable)]
    assert len(unreadable) == 3
    assert all(path in reason for path, reason in zip(bad, unreadable, strict=True))
    assert unreadable[:2] == [f"{path} cannot be decoded as a picture" for path in bad[:2]]
    assert seen[0].picture.shape == (96, 96, 3)
    with pytest.raises(ValueError, match=r"text\.jpg"):
        detector(given)
    with pytest.raises(ValueError, match=r"is \(H, W, 3\) of uint8 in BGR order, got float64"):
        detector(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"an array of shape \(0, 10, 3\) has no pixel"):
        detector(np.zeros((0, 10, 3), np.uint8))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_pictures_that_cannot_be_run_come_at_their_place(trained, scenes, tmp_path, batch_size):
    thin, empty = str(tmp_path / "thin.png"), np.zeros((0, 10, 3), np.uint8)
    cv2.imwrite(thin, np.zeros((3, 900, 3), np.uint8))
    segmenter = Predictor(*saved(trained, "seg"), device="cpu", batch_size=batch_size)
    given = [scenes[0], thin, thin, empty, scenes[1]]
    results = [one.result for one in segmenter.stream(given)]
    unreadable = [index for index, one in enumerate(results) if isinstance(one, Unreadable)]
    assert unreadable == [1, 2, 3]
    assert results[1].reason.startswith(f"{thin}: ")
    with pytest.raises(ValueError, match=r"thin\.png: "):
        segmenter(thin)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_a_lack_of_memory_is_no_fault_of_a_picture(trained, scenes, monkeypatch, error):
    segmenter = Predictor(*saved(trained, "seg"), device="cpu", batch_size=2)

    def fail(data):
        raise error

    monkeypatch.setattr(segmenter.model, "test_step", fail)
    with pytest.raises(type(error)):
        segmenter(scenes)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_half_a_picture_is_not_taken_for_a_whole_one(detector, photos, tmp_path, suffix, half_read):
    _, encoded = cv2.imencode(suffix, cv2.imread(photos[0]))
    half = tmp_path / f"half{suffix}"
    half.write_bytes(encoded.tobytes()[: len(encoded) // 2])
    (seen,) = detector.stream([half])
    assert isinstance(seen.result, Unreadable)
    assert str(half) in seen.result.reason


@pytest.fixture
def half_read(monkeypatch):
    """Let OpenCV decode JPEGs that are cut off, as before 4.12."""
    decode = cv2.imdecode

    def lenient(content, flag):
        found = decode(content, flag)
        is_jpeg = content[:2].tobytes() == b"\xff\xd8"
        return np.zeros((96, 96, 3), np.uint8) if found is None and is_jpeg else found

    monkeypatch.setattr(cv2, "imdecode", lenient)


def test_few_pictures_are_in_memory(detector, photos):
    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield photos[0]

    for taken, _ in enumerate(detector.stream(endless()), start=1):
        assert len(drawn) <= taken + 20
        if taken == 40:
            break


def test_threads_of_torch_are_given_back(detector, photos):
    before = torch.get_num_threads()
    detector(photos)
    assert torch.get_num_threads() == before
    counted = []
    thread = threading.Thread(target=lambda: counted.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert counted == [before]


@pytest.mark.parametrize("kind", ["det", "seg"])
def test_needs_no_data_set(trained, shapes, ade, kind):
    config, checkpoint = saved(trained, kind)
    text = Path(config).read_text().replace(str({"det": shapes, "seg": ade}[kind]), "/nowhere")
    assert "/nowhere" in text
    moved = Predictor(Config.fromstring(text, ".py"), checkpoint, device="cpu")
    (found,) = moved(np.zeros((50, 70, 3), np.uint8))
    assert "disc" in found.classes if kind == "seg" else "ring" in found.classes


def test_refuses_what_it_cannot_run(trained):
    config, checkpoint = saved(trained, "det")
    with pytest.raises(FileNotFoundError, match=r"there is no config 'nowhere\.py'"):
        Predictor("nowhere.py", checkpoint)
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint 'nowhere\.pth'"):
        Predictor(config, "nowhere.pth")
    with pytest.raises(RuntimeError, match="does not fit this model"):
        Predictor(config, saved(trained, "seg")[1])
    with pytest.raises(ValueError, match="`batch_size` is at least 1, got 0"):
        Predictor(config, checkpoint, batch_size=0)
    with pytest.raises(ValueError, match="`score` is at least 0 and below 1, got 30"):
        Predictor(config, checkpoint, score=30)
    with pytest.raises(RuntimeError, match=r"`device='cuda:99'`: torch .* sees"):
        Predictor(config, checkpoint, device="cuda:99")


def test_tool_writes_all_that_is_asked(cli, trained, shapes):
    said = infer(
        cli, trained, "det", shapes / "val", "-o", "out", "--save", "pictures,json,masks",
        "--score", 0,
    )  # fmt: skip
    assert "4 of 4 pictures: pictures, json, masks in out" in said
    names = sorted(path.stem for path in (shapes / "val").iterdir())
    for kind, suffix in (("pictures", ".jpg"), ("json", ".json"), ("masks", ".png")):
        assert sorted(path.name for path in Path("out", kind).iterdir()) == [
            f"{name}{suffix}" for name in names
        ]
    written = json.loads(Path("out/json", f"{names[0]}.json").read_text())
    assert len(written["boxes"]) == len(written["scores"]) == len(written["masks"]) > 0
    assert written["picture"].endswith(names[0] + Path(written["picture"]).suffix)


def test_tool_reports_what_it_skipped_and_does_the_rest(cli, trained, photos):
    Path("in").mkdir()
    for index, photo in enumerate(photos[:3]):
        shutil.copy(photo, f"in/{index}{Path(photo).suffix}")
    Path("in/1a.jpg").write_bytes(Path(photos[0]).read_bytes()[:20])
    argv = [*saved(trained, "det"), "in", "--device", "cpu", "--save", "json"]
    status, out, err = cli.call("infer", argv)
    assert status == 1
    assert "skipped: in/1a.jpg" in err
    assert err.endswith("error: 1 of 4 pictures could not be used: in/1a.jpg\n")
    assert "3 of 4 pictures: json in predictions" in out
    assert sorted(path.name for path in Path("predictions/json").iterdir()) == [
        "0.json",
        "1.json",
        "2.json",
    ]


def test_a_long_name_is_cut(cli, trained, photos):
    Path("in").mkdir()
    for end in "ab":
        shutil.copy(photos[0], f"in/{'x' * 240}{end}{Path(photos[0]).suffix}")
    infer(cli, trained, "det", "in", "--save", "json")
    written = sorted(Path("predictions/json").iterdir(), key=lambda path: len(path.name))
    assert [path.stem for path in written] == ["x" * 200, "x" * 200 + "-2"]


def test_outputs_beside_the_inputs(cli, trained, photos):
    Path("in").mkdir()
    shutil.copy(photos[0], "in")
    for _ in range(2):
        assert "1 of 1 pictures" in infer(cli, trained, "det", "in", "-o", "in")
    message = cli.refused("infer", [*saved(trained, "det"), "in/pictures", "-o", "in"])
    what = "the input in/pictures is in the folder of the outputs"
    assert message == f"{what}: give another folder as --out"


def test_urls(cli, trained, photos):
    handler = partial(SimpleHTTPRequestHandler, directory=Path(photos[0]).parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        good, bad = f"{address}/{Path(photos[0]).name}", f"{address}/nowhere.jpg"
        argv = [*saved(trained, "det"), good, bad, "--device", "cpu", "--save", "json"]
        status, _, err = cli.call("infer", argv)
        server.shutdown()
    assert status == 1
    assert f"skipped: could not download {bad}: HTTP Error 404" in err.replace("\n", " ")
    assert Path("predictions/json", f"{Path(photos[0]).stem}.json").is_file()


def test_a_full_disk_stops_the_tool_and_leaves_whole_files(cli, trained, photos, monkeypatch):
    real, written = Path.write_bytes, []

    def fill(self, data):
        written.append(self)
        if len(written) > 2:
            real(self, data[:5])
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    argv = [*saved(trained, "det"), *photos, "--device", "cpu", "--save", "json"]
    message = cli.refused("infer", argv)
    assert "No space left on device; what was written before is whole" in message
    left = sorted(Path("predictions/json").iterdir())
    assert len(left) == 2
    assert all("boxes" in json.loads(path.read_text()) for path in left)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["nowhere"], "there is no picture or folder nowhere"),
        (["{photo}", "--save", "boxes"], "--save boxes: there is no 'boxes', choose from pictures"),
        (["{photo}", "--score", "1.5"], "--score is at least 0 and below 1, got 1.5"),
        (["{photo}", "--batch", "0"], "--batch is at least 1, got 0"),
        (["{photo}", "--classes", "a,b"], "--classes circle,square,triangle,star,ring"),
    ],
)
def test_tool_errors_are_one_line(cli, trained, photos, flags, said):
    argv = [flag.format(photo=photos[0]) for flag in flags]
    assert said in cli.refused("infer", [*saved(trained, "det"), *argv, "--device", "cpu"])


def test_help_has_an_example(cli, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.load_tool("infer").main(["--help"])
    assert "tools/infer.py work_dirs/shapes/config.py" in capsys.readouterr().out
