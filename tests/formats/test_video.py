import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from formats.movies import RECIPES, Recipe, decode_all, picture

from napari_surgisam.errors import DataError
from napari_surgisam.formats import video
from napari_surgisam.formats.sources import open_source
from napari_surgisam.formats.video import VideoFrames

Movies = Callable[[str], Path]


@pytest.mark.parametrize("name", RECIPES)
def test_random_access_equals_decoding_from_the_start(
    name: str, movies: Movies, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = decode_all(movies(name))
    monkeypatch.setattr(video, "CACHED_BYTES", 0)  # 8 frames: most reads have to decode
    frames = VideoFrames(movies(name))
    assert len(frames) == len(expected) == RECIPES[name].frames
    assert frames.temporal and frames.axis == 0 and frames.spacing is None and not frames.damage
    backward = range(len(frames))[::-1]
    shuffled = np.random.default_rng(0).permutation(len(frames)).tolist()
    for frame in (*range(len(frames)), *backward, *shuffled):
        np.testing.assert_array_equal(frames.read(frame), expected[frame], f"frame {frame}")


@pytest.mark.parametrize("name", ["h264-open-gop", "hevc-open-gop", "mpeg4-b-frames"])
def test_the_clips_do_have_frames_that_lean_on_what_precedes_their_keyframe(
    name: str, movies: Movies
) -> None:
    index = VideoFrames(movies(name))._index
    leaning = [
        frame
        for key in index.keyframes[1:]
        for frame in range(index.frame_of[key])
        if index.order[frame] > key
    ]
    assert leaning
    for frame in leaning:
        nearest = max(key for key in index.keyframes if key <= index.order[frame])
        assert index.starts(frame)[0] < nearest


@pytest.mark.parametrize("name", ["h264-b-frames", "mjpeg-avi", "mpeg4-b-frames-avi", "vp9"])
def test_reading_on_never_seeks_and_a_jump_seeks_once(
    name: str, movies: Movies, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = VideoFrames(movies(name))
    frames._cache.clear()
    frames._open()
    starts: list[int] = []
    start_at = VideoFrames._start_at

    def noting(self: VideoFrames, start: int) -> None:
        starts.append(start)
        start_at(self, start)

    monkeypatch.setattr(VideoFrames, "_start_at", noting)
    for frame in range(25):
        frames.read(frame)
    assert starts == []
    frames._cache.clear()
    frames.read(3)
    frames.read(4)
    assert len(starts) == 1


def test_decoded_frames_stay_within_their_budget(
    movies: Movies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "CACHED_BYTES", 10 * 48 * 64 * 3 // 2)
    frames = VideoFrames(movies("h264-b-frames"))
    for frame in (*range(40), *range(40)[::-1]):
        frames.read(frame)
        assert len(frames._cache) <= 10


def test_reading_backwards_through_one_long_group_decodes_it_in_stretches(
    movies: Movies, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = VideoFrames(movies("h264-one-keyframe"))
    frames._capacity = 10
    decoded = 0
    decode_packet = VideoFrames._decode_packet

    def counting(self: VideoFrames) -> list[av.VideoFrame]:
        nonlocal decoded
        decoded += 1
        return decode_packet(self)

    monkeypatch.setattr(VideoFrames, "_decode_packet", counting)
    for frame in range(40)[::-1]:
        frames.read(frame)
    assert decoded < 40 * 5  # frame by frame it would be 40 * 40 / 2


def test_many_threads_read_the_same_frames(movies: Movies) -> None:
    expected = decode_all(movies("h264-b-frames"))
    frames = VideoFrames(movies("h264-b-frames"))
    frames._capacity = 8
    order = np.random.default_rng(1).integers(0, 40, 120).tolist()
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(frames.read, order))
    for frame, image in zip(order, images, strict=True):
        np.testing.assert_array_equal(image, expected[frame])


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("share", [0.55, 0.7, 0.85, 0.97])
def test_of_a_cut_movie_the_readable_frames_are_kept(
    ending: str, share: float, tmp_path: Path
) -> None:
    recipe = Recipe(ending, "libx264", b_frames=3, faststart=ending == ".mp4", size=(96, 128))
    whole = recipe.write(tmp_path / f"whole{ending}")
    expected = decode_all(whole)
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    frames = VideoFrames(cut)
    last = len(frames) - 1
    assert 0 < len(frames) < 40
    assert len(frames) >= len(decode_all(cut)) - 4  # the decoder's own view, at its reordering
    for frame in range(len(frames)):
        np.testing.assert_array_equal(frames.read(frame), expected[frame], f"frame {frame}")
    assert f"last readable frame is {last}" in frames.damage and str(cut) in frames.damage
    with pytest.raises(DataError, match=f"last readable frame is {last}"):
        frames.read(last + 1)


def test_whole_movies_are_not_called_cut(movies: Movies) -> None:
    assert [name for name in RECIPES if VideoFrames(movies(name)).damage] == []


def test_an_mp4_that_lost_its_index_says_so(movies: Movies, tmp_path: Path) -> None:
    path = tmp_path / "no-moov.mp4"
    whole = movies("h264-b-frames").read_bytes()  # the moov box comes last
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="moov"):
        open_source(path)


def test_what_is_no_movie_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("Frame 12: grasper enters from the left.\n" * 20)
    with pytest.raises(DataError, match=r"notes\.mp4 cannot be opened as a movie: it is no movie"):
        open_source(path)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_an_empty_movie_says_so(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.open()
        container.start_encoding()
    with pytest.raises(DataError, match=r"has no frames|cannot be opened|no moving picture"):
        open_source(path)


def test_a_file_without_a_byte_says_so(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.mp4"
    nothing.touch()
    with pytest.raises(DataError, match="empty file"):
        open_source(nothing)


def test_an_unknown_codec_says_so(movies: Movies, tmp_path: Path) -> None:
    path = tmp_path / "strange.mp4"
    path.write_bytes(movies("h264-b-frames").read_bytes().replace(b"avc1", b"zq7x"))
    with pytest.raises(DataError, match="codec"):
        open_source(path)


def test_sound_alone_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match="no moving picture"):
        open_source(path)


@pytest.mark.parametrize(
    ("matrix", "bright"),
    [
        ((0, 1, 0, -1, 0, 0), np.s_[:, -8:]),  # clockwise: the sensor's top is on the right
        ((0, -1, 0, 1, 0, 0), np.s_[:, :8]),
        ((-1, 0, 0, 0, -1, 0), np.s_[-8:]),
    ],
)
def test_a_phone_held_upright_gives_upright_frames(
    matrix: tuple[int, ...], bright: tuple[slice, ...], tmp_path: Path
) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(5):
            image = np.zeros((48, 64, 3), np.uint8)
            image[:8] = 255  # the sensor's top edge
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    track = data.index(b"tkhd")
    place = data.index(struct.pack(">6i", 1 << 16, 0, 0, 0, 1 << 16, 0), track)
    data[place : place + 24] = struct.pack(">6i", *(value << 16 for value in matrix))
    path.write_bytes(data)
    frames = VideoFrames(path)
    assert frames.shape == ((64, 48) if matrix[0] == 0 else (48, 64))
    image = frames.read(2)
    assert image.shape == (*frames.shape, 3) and image.flags.c_contiguous
    edge = np.zeros(frames.shape, bool)
    edge[bright] = True
    assert image[edge].mean() > 200 and image[~edge].mean() < 20


def test_channel_and_window(movies: Movies) -> None:
    plain = VideoFrames(movies("mpeg4")).read(7)
    green = VideoFrames(movies("mpeg4"), channel=1).read(7)
    np.testing.assert_array_equal(green, np.repeat(plain[..., 1:2], 3, axis=2))
    narrow = VideoFrames(movies("mpeg4"), window=(50.0, 150.0)).read(7)
    expected = np.rint((plain.clip(50, 150) - 50.0) * 2.55)
    np.testing.assert_allclose(narrow, expected, atol=1)
    with pytest.raises(DataError, match="channel 3"):
        VideoFrames(movies("mpeg4"), channel=3)
    with pytest.raises(DataError, match="axis 0"):
        open_source(movies("mpeg4"), axis=1)


def test_the_fingerprint_is_of_the_content(movies: Movies, tmp_path: Path) -> None:
    movie = movies("mpeg4")
    copy = tmp_path / "renamed.mp4"
    copy.write_bytes(movie.read_bytes())
    other = replace(RECIPES["mpeg4"], frames=39).write(tmp_path / "other.mp4")
    fingerprint = VideoFrames(movie).fingerprint
    assert VideoFrames(copy).fingerprint == fingerprint
    assert VideoFrames(other).fingerprint != fingerprint
    assert VideoFrames(movie, window=(0.0, 99.0)).fingerprint != fingerprint
    assert VideoFrames(movie, channel=0).fingerprint != fingerprint


def test_frames_beyond_the_end_are_refused(movies: Movies) -> None:
    frames = VideoFrames(movies("mpeg4"))
    for frame in (-1, 40):
        with pytest.raises(DataError, match="frames 0 to 39"):
            frames.read(frame)


def test_the_pictures_are_those_that_were_encoded(movies: Movies) -> None:
    frames = VideoFrames(movies("h264-b-frames"))
    errors = [
        np.abs(frames.read(frame).astype(int) - picture(frame)).mean() for frame in (0, 13, 39)
    ]
    assert max(errors) < 20
    wrong = np.abs(frames.read(13).astype(int) - picture(20)).mean()
    assert wrong > 1.5 * errors[1]
